//! The task that owns a plugin's process and matches answers to calls.

use super::clean::clean;
use super::fault::PluginFault;
use super::pending::{Answer, Call, Pending, Refused, deadline, refused, request};
use super::process::Process;
use crate::escape::escape_line;
use crate::lines::{Line, read_line};
use replank_provider_protocol::rpc::{CALL_SECONDS, MAX_LINE, Response, Verb};
use serde_json::Value;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often a call is sent to a fresh process after the one before died with it under way.
const MOST_RESTARTS: u32 = 3;

/// A plugin's calls, its process and how to start it again.
pub(super) struct Connection {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) initialize: Value,
    pub(super) calls: mpsc::Receiver<Call>,
    pending: Pending,
    running: Option<Running>,
    /// A fault that came when nobody was waiting: the next call hears of it.
    unheard: Option<PluginFault>,
}

struct Running {
    process: Process,
    /// The id of `initialize` and when it must have been answered, until it was.
    greeting: Option<(u64, Instant)>,
}

/// What happened next.
enum Happened {
    Called(Call),
    NoMoreCalls,
    Output(Line),
    Log(Vec<u8>),
    LogEnded,
    Written(usize),
    WriteFailed,
    TooLate(Verb),
}

impl Connection {
    pub(super) fn new(name: String, path: PathBuf, initialize: Value, calls: mpsc::Receiver<Call>) -> Self {
        Self { name, path, initialize, calls, pending: Pending::default(), running: None, unheard: None }
    }

    /// Serves calls until nobody can make any more.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(fault) = self.send_unsent() {
                self.give_up(&fault);
            }
            match self.next().await {
                Happened::Called(call) => self.called(call),
                Happened::NoMoreCalls => return self.close().await,
                happened => {
                    if let Err(fault) = self.handle(happened).await {
                        self.give_up(&fault);
                    }
                }
            }
        }
    }

    fn called(&mut self, call: Call) {
        match self.unheard.take() {
            // A caller that was cancelled does not listen any more.
            Some(fault) => drop(call.reply.send(Err(Refused::Fault(fault)))),
            None => self.pending.add(call),
        }
    }

    fn give_up(&mut self, fault: &PluginFault) {
        tracing::warn!(plugin = self.name, "{fault}");
        self.running = None;
        if self.pending.is_empty() {
            self.unheard = Some(fault.clone());
        }
        self.pending.fail(fault);
    }

    /// The end of its input ends a plugin; one that does not end is ended.
    async fn close(mut self) {
        if let Some(mut running) = self.running.take() {
            running.process.stdin = None;
            let _ =
                tokio::time::timeout(std::time::Duration::from_secs(2), running.process.child.wait()).await;
        }
    }

    fn send_unsent(&mut self) -> Result<(), PluginFault> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.running.is_none() {
            let mut process = Process::start(&self.path)?;
            let id = self.pending.next_id();
            queue(&mut process, &request(id, Verb::Initialize, self.initialize.clone()))?;
            self.running = Some(Running { process, greeting: Some((id, deadline())) });
        }
        let Some(running) = self.running.as_mut().filter(|r| r.greeting.is_none()) else { return Ok(()) };
        for request in self.pending.unsent() {
            queue(&mut running.process, &request)?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Happened {
        let late = self.first_deadline();
        let Some(running) = self.running.as_mut() else {
            return self.calls.recv().await.map_or(Happened::NoMoreCalls, Happened::Called);
        };
        let Process { stdin, stdout, stderr, partial, outgoing, .. } = &mut running.process;
        let mut log = [0; 8192];
        tokio::select! {
            biased;
            line = read_line(stdout, partial, MAX_LINE) => Happened::Output(line.unwrap_or(Line::End)),
            read = read_log(stderr.as_mut(), &mut log) => match read {
                0 => Happened::LogEnded,
                n => Happened::Log(log[..n].to_vec()),
            },
            written = write_some(stdin.as_mut(), outgoing) => written.map_or(Happened::WriteFailed, Happened::Written),
            call = self.calls.recv() => call.map_or(Happened::NoMoreCalls, Happened::Called),
            verb = too_late(late) => Happened::TooLate(verb),
        }
    }

    fn first_deadline(&self) -> Option<(Instant, Verb)> {
        match self.running.as_ref().and_then(|r| r.greeting) {
            Some((_, deadline)) => Some((deadline, Verb::Initialize)),
            None => self.pending.first_deadline(),
        }
    }

    async fn handle(&mut self, happened: Happened) -> Result<(), PluginFault> {
        let Some(running) = self.running.as_mut() else { return Ok(()) };
        match happened {
            Happened::Output(Line::Whole(line)) => self.answered(&line),
            Happened::Output(Line::TooLong) => Err(PluginFault::EndlessLine),
            Happened::Output(Line::End) => self.died().await,
            Happened::Log(bytes) => running.process.log(&self.name, &bytes),
            Happened::LogEnded => {
                running.process.stderr = None;
                Ok(())
            }
            Happened::Written(bytes) => {
                running.process.outgoing.drain(..bytes);
                Ok(())
            }
            // Its death shows at its output; without an input there is only that to wait for.
            Happened::WriteFailed => {
                running.process.stdin = None;
                Ok(())
            }
            Happened::TooLate(verb) => Err(PluginFault::Hung {
                verb: verb.name(),
                seconds: CALL_SECONDS,
                unfinished: running.process.partial.len(),
            }),
            Happened::Called(_) | Happened::NoMoreCalls => Ok(()),
        }
    }

    fn answered(&mut self, line: &[u8]) -> Result<(), PluginFault> {
        let rubbish = || PluginFault::Rubbish { line: escape_line(&String::from_utf8_lossy(line), 200) };
        let value: Value = serde_json::from_slice(line).map_err(|_| rubbish())?;
        let response: Response = serde_json::from_value(clean(value)?).map_err(|_| rubbish())?;
        let answer: Answer = match (response.result, response.error) {
            (Some(result), None) => Ok(result),
            (None, Some(error)) => Err(refused(error)),
            _ => return Err(rubbish()),
        };
        match self.running.as_mut() {
            Some(running) if running.greeting.is_some_and(|(id, _)| id == response.id) => {
                running.greeting = None;
                match answer {
                    Ok(greeting) => self.pending.greeted(&greeting),
                    Err(refused) => self.refused_greeting(&refused),
                }
                Ok(())
            }
            _ => self.pending.answer(response.id, answer),
        }
    }

    /// A plugin that refuses `initialize` can't serve the calls that wait for it.
    fn refused_greeting(&mut self, refused: &Refused) {
        self.running = None;
        self.pending.refuse(refused);
    }

    async fn died(&mut self) -> Result<(), PluginFault> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let greeting = running.greeting.is_some();
        let status = running.process.ended().await;
        running.process.rest_of_log(&self.name).await;
        let stderr = running.process.last_words();
        let died =
            |verb, times| PluginFault::Died { status: status.clone(), times, verb, stderr: stderr.clone() };
        self.pending.restart(greeting, MOST_RESTARTS).map_err(|verb| died(verb, MOST_RESTARTS + 1))
    }
}

fn queue(
    process: &mut Process,
    request: &replank_provider_protocol::rpc::Request,
) -> Result<(), PluginFault> {
    let line = serde_json::to_vec(request).map_err(|e| PluginFault::NotStarted { reason: e.to_string() })?;
    process.outgoing.extend(line);
    process.outgoing.push_back(b'\n');
    Ok(())
}

/// Reads some of the log; waits for ever once it has ended.
async fn read_log(stderr: Option<&mut tokio::process::ChildStderr>, buffer: &mut [u8]) -> usize {
    match stderr {
        Some(stderr) => stderr.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

/// Writes some of what is queued; waits for ever while there is nothing to write or nowhere.
async fn write_some(
    stdin: Option<&mut tokio::process::ChildStdin>,
    outgoing: &std::collections::VecDeque<u8>,
) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) if !outgoing.is_empty() => stdin.write(outgoing.as_slices().0).await,
        _ => std::future::pending().await,
    }
}

async fn too_late(late: Option<(Instant, Verb)>) -> Verb {
    match late {
        Some((deadline, verb)) => {
            tokio::time::sleep_until(deadline).await;
            verb
        }
        None => std::future::pending().await,
    }
}
