//! The log, on stderr: warnings, or whatever `REPLANK_LOG` asks for.

use crate::telling::Told;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc::WeakUnboundedSender;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What is logged unless `REPLANK_LOG` says otherwise. A connection that fails is told as what the run waits
/// for; the client's own word of each attempt would tell it again.
const USUAL: &str = "warn,kube_client::client::builder=off";

/// Where lines go while a run is told: between its own, never into the middle of a live view.
static TELLING: Mutex<Option<WeakUnboundedSender<Told>>> = Mutex::new(None);

/// Begins to log.
pub(crate) fn begin() {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let filter = EnvFilter::try_from_env("REPLANK_LOG").unwrap_or_else(|_| USUAL.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines).with_ansi(colour).init();
}

/// From now on lines are told there, for as long as anyone listens.
pub(crate) fn divert(telling: WeakUnboundedSender<Told>) {
    *TELLING.lock().unwrap_or_else(PoisonError::into_inner) = Some(telling);
}

/// Makes a writer for each line.
struct Lines;

/// A line that is written when it is complete.
struct Line(Vec<u8>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.0);
        let text = text.trim_end();
        let telling = TELLING.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match telling.and_then(|telling| telling.upgrade()) {
            Some(telling) if telling.send(Told::Said(text.to_owned())).is_ok() => {}
            _ => {
                let _ = writeln!(io::stderr().lock(), "{text}");
            }
        }
    }
}
