//! A provider on standard input and output: what a plugin's `main` calls.

use crate::Provider;
use crate::lines::{Line, read_line};
use replank_provider_protocol::ProviderError;
use replank_provider_protocol::rpc::{MAX_LINE, Request, Response, RpcError, Verb};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

/// How many calls a provider works on at once; further ones wait in the pipe.
const MOST_IN_FLIGHT: usize = 32;

/// Serves a provider until the input ends. Calls are answered as they finish, each by its id; the
/// end of the input ends the plugin, with what was under way given up.
///
/// # Errors
/// When the input can't be read or the output can't be written.
pub async fn serve<R, W>(provider: Arc<dyn Provider>, mut input: R, mut output: W) -> std::io::Result<()>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (answers, mut outgoing) = mpsc::channel::<Response>(MOST_IN_FLIGHT);
    let mut calls = JoinSet::new();
    let mut partial = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(response) = outgoing.recv() => write(&mut output, &response).await?,
            // A call that panicked has no answer, ever: better to end, and be started and asked again.
            Some(ended) = calls.join_next(), if !calls.is_empty() => ended.map_err(std::io::Error::other)?,
            line = read_line(&mut input, &mut partial, MAX_LINE), if calls.len() < MOST_IN_FLIGHT => match line? {
                Line::End => return Ok(()),
                Line::TooLong => {
                    return Err(std::io::Error::other(format!("a request is longer than {MAX_LINE} bytes")));
                }
                Line::Whole(line) => match serde_json::from_slice::<Request>(&line) {
                    Ok(request) => {
                        let (provider, answers) = (Arc::clone(&provider), answers.clone());
                        calls.spawn(async move {
                            let response = answer(provider.as_ref(), request).await;
                            // The receiver lives as long as this loop, which aborts this task when it ends.
                            let _ = answers.send(response).await;
                        });
                    }
                    Err(error) => write(&mut output, &refusal(0, RpcError::PARSE, &error.to_string())).await?,
                },
            },
        }
    }
}

/// What is logged on stderr: warnings, or whatever `REPLANK_LOG` asks for.
pub fn asked() -> EnvFilter {
    EnvFilter::try_from_env("REPLANK_LOG").unwrap_or_else(|_| "warn".into())
}

/// All that a plugin's `main` does: serves a provider on this process's standard input and output, and logs on stderr.
pub fn main(provider: Arc<dyn Provider>, logged: EnvFilter) -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(logged).with_writer(std::io::stderr).init();
    match serve_stdio(provider) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell if stderr is gone.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_stdio(provider: Arc<dyn Provider>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        serve(provider, tokio::io::BufReader::new(tokio::io::stdin()), tokio::io::stdout()).await
    });
    // A read of stdin that still waits must not keep the process.
    runtime.shutdown_background();
    ended
}

async fn write<W: AsyncWrite + Unpin>(output: &mut W, response: &Response) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(response).map_err(std::io::Error::other)?;
    line.push(b'\n');
    output.write_all(&line).await?;
    output.flush().await
}

async fn answer(provider: &dyn Provider, request: Request) -> Response {
    let id = request.id;
    match Verb::parse(&request.method) {
        None => refusal(id, RpcError::METHOD_NOT_FOUND, &format!("there is no verb {:?}", request.method)),
        Some(verb) => match dispatch(provider, verb, request.params).await {
            Ok(result) => Response { jsonrpc: "2.0".into(), id, result: Some(result), error: None },
            Err(Refused::Params(message)) => refusal(id, RpcError::INVALID_PARAMS, &message),
            Err(Refused::Provider(error)) => {
                let rpc =
                    RpcError { code: RpcError::PROVIDER, message: error.message.clone(), data: Some(error) };
                Response { jsonrpc: "2.0".into(), id, result: None, error: Some(rpc) }
            }
        },
    }
}

fn refusal(id: u64, code: i64, message: &str) -> Response {
    let error = RpcError { code, message: message.into(), data: None };
    Response { jsonrpc: "2.0".into(), id, result: None, error: Some(error) }
}

enum Refused {
    Params(String),
    Provider(ProviderError),
}

impl From<ProviderError> for Refused {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

fn params<T: DeserializeOwned>(verb: Verb, value: Value) -> Result<T, Refused> {
    serde_json::from_value(value)
        .map_err(|error| Refused::Params(format!("the parameters of {} do not fit: {error}", verb.name())))
}

fn result<T: Serialize>(value: T) -> Result<Value, Refused> {
    serde_json::to_value(value)
        .map_err(|error| Refused::Params(format!("the result can't be written: {error}")))
}

async fn dispatch(p: &dyn Provider, verb: Verb, v: Value) -> Result<Value, Refused> {
    match verb {
        Verb::Initialize => result(p.initialize(params(verb, v)?).await?),
        Verb::Validate => result(p.validate(params(verb, v)?).await?),
        Verb::Find => result(p.find(params(verb, v)?).await?),
        Verb::List => result(p.list(params(verb, v)?).await?),
        Verb::Snapshot => result(p.snapshot(params(verb, v)?).await?),
        Verb::Restore => result(p.restore(params(verb, v)?).await?),
        Verb::Create => result(p.create(params(verb, v)?).await?),
        Verb::Get => result(p.get(params(verb, v)?).await?),
        Verb::Stop => result(p.stop(params(verb, v)?).await?),
        Verb::Start => result(p.start(params(verb, v)?).await?),
        Verb::Delete => result(p.delete(params(verb, v)?).await?),
        Verb::Deregister => result(p.deregister(params(verb, v)?).await?),
        Verb::Register => result(p.register(params(verb, v)?).await?),
        Verb::ConsoleLog => result(p.console_log(params(verb, v)?).await?),
        Verb::HostRun => result(p.host_run(params(verb, v)?).await?),
        Verb::HostRead => result(p.host_read(params(verb, v)?).await?),
        Verb::HostWrite => result(p.host_write(params(verb, v)?).await?),
    }
}
