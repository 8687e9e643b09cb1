//! What all agents share: their shape, their patience and their attention.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use serde_json::Value;

use crate::machines::api::{Api, ApiFailure, Change, text};
use crate::machines::{ContainerSpecView, Exit, Program, ProgramContext};

/// A program made of two functions.
pub(super) struct Agent {
    pub(super) name: &'static str,
    pub(super) matches: fn(&ContainerSpecView<'_>) -> bool,
    pub(super) run: fn(ProgramContext) -> BoxFuture<'static, Exit>,
}

impl Program for Agent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn matches(&self, container: &ContainerSpecView<'_>) -> bool {
        (self.matches)(container)
    }

    fn run(&self, context: ProgramContext) -> BoxFuture<'static, Exit> {
        (self.run)(context)
    }
}

/// Why an agent gave up; what it would have logged as its last line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fatal {
    /// The API refused something that the agent can't do without.
    #[error("{doing}: {failure}")]
    Api {
        /// What was tried.
        doing: &'static str,
        /// The answer.
        failure: ApiFailure,
    },
    /// Anything else, in the agent's words.
    #[error("{0}")]
    Because(String),
}

/// Attaches what was tried to a refusal.
pub(super) trait Doing<T> {
    /// The result, or a [`Fatal`] that says what was tried.
    fn doing(self, what: &'static str) -> Result<T, Fatal>;
}

impl<T> Doing<T> for Result<T, ApiFailure> {
    fn doing(self, what: &'static str) -> Result<T, Fatal> {
        self.map_err(|failure| Fatal::Api { doing: what, failure })
    }
}

/// Publishes an agent's last words on its host as `AGENT/error`, and ends it.
pub(super) fn exit(context: &ProgramContext, agent: &str, outcome: Result<(), Fatal>) -> Exit {
    let flag = format!("{agent}/error");
    match outcome {
        Ok(()) => Exit::OK,
        Err(fatal) => {
            tracing::warn!(node = %context.node, agent, "{fatal}");
            context.host.publish(&flag, &fatal.to_string());
            Exit::Code(1)
        }
    }
}

/// Runs until the container is asked to stop; `None` if it was.
pub(super) async fn unless_stopped<T>(context: &ProgramContext, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = context.stop.cancelled() => None,
        done = work => Some(done),
    }
}

/// Repeats a request until it is answered well.
pub(super) async fn patiently<T, F>(retry: Duration, mut request: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ApiFailure>>,
{
    loop {
        match request().await {
            Ok(answer) => return answer,
            Err(failure) => {
                tracing::debug!("asking again after: {failure}");
                tokio::time::sleep(retry).await;
            }
        }
    }
}

/// Tells that something changed in any of some collections. What changed is not told: who
/// listens reads anew, and so can't miss anything.
pub(super) struct Attention(BoxStream<'static, ()>);

impl Attention {
    /// Listens to collections. One that can't be watched is tried again for ever; a watch that
    /// ends counts as a change.
    pub(super) fn to(api: &Api, collections: &[&str], retry: Duration) -> Self {
        Self::merged(
            collections.iter().map(|path| changes(api.clone(), (*path).to_owned(), Counts::All, retry)),
        )
    }

    /// Listens to the coming and going of objects only, not to their changes: most changes of
    /// Nodes are heartbeats.
    pub(super) fn to_comings(api: &Api, collections: &[&str], retry: Duration) -> Self {
        Self::merged(
            collections
                .iter()
                .map(|path| changes(api.clone(), (*path).to_owned(), Counts::ComingsAndGoings, retry)),
        )
    }

    /// Listens to the going of objects only.
    pub(super) fn to_goings(api: &Api, collections: &[&str], retry: Duration) -> Self {
        Self::merged(
            collections.iter().map(|path| changes(api.clone(), (*path).to_owned(), Counts::Goings, retry)),
        )
    }

    /// Listens to all that these listen to.
    pub(super) fn and(self, other: Self) -> Self {
        Self::merged([self.0, other.0])
    }

    fn merged(streams: impl IntoIterator<Item = BoxStream<'static, ()>>) -> Self {
        Self(futures::stream::select_all(streams).boxed())
    }

    /// Waits for the next change, and for those that come with it within `settle`.
    pub(super) async fn next(&mut self, settle: Duration) {
        if self.0.next().await.is_none() {
            std::future::pending::<()>().await;
        }
        let quiet = tokio::time::sleep(settle);
        tokio::pin!(quiet);
        loop {
            tokio::select! {
                biased;
                () = &mut quiet => return,
                _ = self.0.next() => {}
            }
        }
    }
}

/// Which changes of a collection are worth attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    All,
    ComingsAndGoings,
    Goings,
}

fn changes(api: Api, path: String, counts: Counts, retry: Duration) -> BoxStream<'static, ()> {
    let sessions = futures::stream::unfold((), move |()| {
        let (api, path) = (api.clone(), path.clone());
        async move {
            loop {
                let opened = async {
                    let (known, version) = api.list(&path).await?;
                    Ok::<_, ApiFailure>((known, api.watch(&path, "", &version).await?))
                };
                match opened.await {
                    Ok((known, events)) => {
                        return Some((
                            session(counts, known.iter().map(|object| uid(object)).collect(), events),
                            (),
                        ));
                    }
                    Err(_) => tokio::time::sleep(retry).await,
                }
            }
        }
    });
    sessions.flatten().boxed()
}

fn uid(object: &Value) -> String {
    text(object, "/metadata/uid").to_owned()
}

/// One watch until it fails: a change at its start, since what came before is unknown. The known
/// objects are those of its beginning.
fn session(
    counts: Counts,
    mut known: BTreeSet<String>,
    events: impl Stream<Item = Result<Change, ApiFailure>> + Send + 'static,
) -> BoxStream<'static, ()> {
    let changes = events
        .take_while(|event| std::future::ready(event.is_ok()))
        .filter(move |event| {
            let counts = match (event, counts) {
                (Ok(Change::Applied(_) | Change::Deleted(_)), Counts::All) => true,
                (Ok(Change::Applied(object)), Counts::ComingsAndGoings) => known.insert(uid(object)),
                (Ok(Change::Deleted(object)), Counts::ComingsAndGoings) => known.remove(&uid(object)),
                (Ok(Change::Deleted(_)), Counts::Goings) => true,
                _ => false,
            };
            std::future::ready(counts)
        })
        .map(|_| ());
    futures::stream::once(std::future::ready(())).chain(changes).boxed()
}
