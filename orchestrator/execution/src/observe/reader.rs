//! Requests that are asked again while they may pass.

use super::{ObserveError, Settings};
use crate::api::{Api, ApiError};
use crate::world::World;
use replank_provider_protocol::{ProviderError, Retry};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause before asking again; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// The eyes of `observe`.
pub(super) struct Reader<'a> {
    pub(super) world: &'a World,
    pub(super) api: Api,
    patience: Duration,
}

impl<'a> Reader<'a> {
    pub(super) fn new(world: &'a World, settings: &Settings) -> Self {
        Self { world, api: world.api(), patience: settings.patience }
    }

    /// Asks the API server until it answers.
    pub(super) async fn ask<T, F>(&self, what: &str, mut ask: impl FnMut() -> F) -> Result<T, ObserveError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.may_pass() && since.elapsed() < self.patience => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(source) => return Err(ObserveError::Api { what: what.to_owned(), source }),
            }
        }
    }

    /// One document.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ObserveError> {
        self.ask(path, || self.api.get(path)).await
    }

    /// A collection; none if there is no such collection. Objects are handed over page by page; a page may come
    /// twice when the server lost the place, so the caller keeps them by name or uid.
    pub(super) async fn each(
        &self,
        path: &str,
        query: &str,
        take: impl FnMut(Value),
    ) -> Result<(), ObserveError> {
        self.each_as(path, query, false, take).await
    }

    /// The same with the objects' metadata only.
    pub(super) async fn each_metadata(
        &self,
        path: &str,
        take: impl FnMut(Value),
    ) -> Result<(), ObserveError> {
        self.each_as(path, "", true, take).await
    }

    async fn each_as(
        &self,
        path: &str,
        query: &str,
        metadata: bool,
        mut take: impl FnMut(Value),
    ) -> Result<(), ObserveError> {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let each = |page: Vec<Value>| page.into_iter().for_each(&mut take);
            let read = if metadata {
                self.api.metadata_pages(path, query, each).await
            } else {
                self.api.pages(path, query, each).await
            };
            match read {
                Ok(_) => return Ok(()),
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) if error.may_pass() && since.elapsed() < self.patience => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(source) => return Err(ObserveError::Api { what: path.to_owned(), source }),
            }
        }
    }

    /// Asks the provider until it answers.
    pub(super) async fn provider<T, F>(
        &self,
        verb: &str,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, ObserveError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.retry == Retry::MayHelp && since.elapsed() < self.patience => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(source) => return Err(ObserveError::Provider { verb: verb.to_owned(), source }),
            }
        }
    }
}
