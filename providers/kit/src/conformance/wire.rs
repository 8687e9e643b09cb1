//! Lines as they go over a plugin's pipes.

use super::case::Stop;
use crate::Provider;
use crate::lines::{Line, read_line};
use crate::server::serve;
use replank_provider_protocol::rpc::{CALL_SECONDS, MAX_LINE, Response};
use serde_json::Value;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How much a pipe within this process holds.
const PIPE: usize = 64 * 1024;

/// A plugin that has a second more to end than the protocol says, for a machine that is busy.
const END: Duration = Duration::from_secs(3);

/// Most of what is kept of standard error.
const LOG: u64 = 4 * 1024 * 1024;

/// A provider that was started and not greeted.
pub(super) struct Wire {
    input: Option<Box<dyn AsyncWrite + Unpin + Send>>,
    output: BufReader<Box<dyn AsyncRead + Unpin + Send>>,
    partial: Vec<u8>,
    process: Option<(Child, JoinHandle<Vec<u8>>)>,
    server: Option<JoinHandle<std::io::Result<()>>>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some((_, log)) = &self.process {
            log.abort();
        }
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

impl Wire {
    pub(super) fn process(path: &Path) -> std::io::Result<Self> {
        let mut command = Command::new(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let missing = || std::io::Error::other("the plugin has no pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let log = tokio::spawn(async move {
            let mut log = Vec::new();
            // What can't be read was not said.
            let _ = stderr.take(LOG).read_to_end(&mut log).await;
            log
        });
        Ok(Self {
            input: Some(Box::new(input)),
            output: BufReader::new(Box::new(output)),
            partial: Vec::new(),
            process: Some((child, log)),
            server: None,
        })
    }

    pub(super) fn in_process(provider: Arc<dyn Provider>) -> Self {
        let (input, served_input) = tokio::io::duplex(PIPE);
        let (served_output, output) = tokio::io::duplex(PIPE);
        let server = tokio::spawn(serve(provider, BufReader::new(served_input), served_output));
        Self {
            input: Some(Box::new(input)),
            output: BufReader::new(Box::new(output)),
            partial: Vec::new(),
            process: None,
            server: Some(server),
        }
    }

    /// Writes one line as it is.
    pub(super) async fn write(&mut self, line: &[u8]) -> Result<(), Stop> {
        let input = self.input.as_mut().ok_or_else(|| Stop::failed("its input was ended already"))?;
        let written = async {
            input.write_all(line).await?;
            input.write_all(b"\n").await?;
            input.flush().await
        };
        match tokio::time::timeout(Duration::from_secs(CALL_SECONDS), written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Stop::failed(format!("it does not take a line: {error}"))),
            Err(_) => Err(Stop::failed(format!(
                "it did not read a line of {} bytes within {CALL_SECONDS} s",
                line.len()
            ))),
        }
    }

    /// Reads one answer.
    pub(super) async fn read(&mut self) -> Result<Response, Stop> {
        let line = read_line(&mut self.output, &mut self.partial, MAX_LINE);
        match tokio::time::timeout(Duration::from_secs(CALL_SECONDS), line).await {
            Err(_) => Err(Stop::failed(format!("it did not answer within {CALL_SECONDS} s"))),
            Ok(Err(error)) => Err(Stop::failed(format!("its output can't be read: {error}"))),
            Ok(Ok(Line::End)) => Err(Stop::failed("it ended its output without an answer")),
            Ok(Ok(Line::TooLong)) => {
                Err(Stop::failed(format!("it printed a line of more than {MAX_LINE} bytes")))
            }
            Ok(Ok(Line::Whole(line))) => {
                let shown = || crate::escape::escape_line(&String::from_utf8_lossy(&line), 200);
                let response: Response = serde_json::from_slice(&line).map_err(|_| {
                    Stop::failed(format!("it printed a line that is no JSON-RPC answer: {}", shown()))
                })?;
                match (&response.result, &response.error) {
                    (Some(_), None) | (None, Some(_)) if response.jsonrpc == "2.0" => Ok(response),
                    _ => Err(Stop::failed(format!("this is no JSON-RPC 2.0 answer: {}", shown()))),
                }
            }
        }
    }

    /// Asks and reads the answer, which must carry the same id.
    pub(super) async fn ask(&mut self, id: u64, method: &str, params: Value) -> Result<Response, Stop> {
        let request = serde_json::json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.write(request.to_string().as_bytes()).await?;
        let response = self.read().await?;
        if response.id == id {
            Ok(response)
        } else {
            Err(Stop::failed(format!("it answered id {} when id {id} was asked", response.id)))
        }
    }

    /// Ends its input and waits for its end: how it ended and what it had said on standard error.
    /// One within this process has neither.
    pub(super) async fn end(mut self) -> Result<Option<(ExitStatus, Vec<u8>)>, Stop> {
        self.input = None;
        let late = || Stop::failed("it goes on for more than two seconds after the end of its input");
        if let Some(server) = self.server.take() {
            let ended = tokio::time::timeout(END, server).await.map_err(|_| late())?;
            return match ended {
                Ok(Ok(())) => Ok(None),
                Ok(Err(error)) => Err(Stop::failed(format!("it ended with an error: {error}"))),
                Err(error) => Err(Stop::failed(format!("it did not end in good order: {error}"))),
            };
        }
        let Some((child, log)) = self.process.as_mut() else { return Ok(None) };
        let status = tokio::time::timeout(END, child.wait()).await.map_err(|_| late())?;
        let status = status.map_err(|error| Stop::failed(format!("its end can't be waited for: {error}")))?;
        // A machine that it started may hold its standard error open: what came until now counts.
        let log = tokio::time::timeout(END, log).await;
        Ok(Some((status, log.ok().and_then(Result::ok).unwrap_or_default())))
    }
}
