//! The API server, with every retry.

use super::waits::PATIENCE;
use super::{StepContext, StepError};
use crate::api::{ApiError, Follow, PatchKind};
use replank_planning::waiting::Waiting;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause before an API request is sent again, and the longest: quick for a dropped connection,
/// gentle with a server that is down.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(250);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(8);

impl StepContext<'_> {
    /// Sends a request again for as long as it may pass. The inner result is the server's last word.
    ///
    /// # Errors
    /// When it does not pass in a long time, or a pause was asked for.
    pub async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<Result<T, ApiError>, StepError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        self.patiently_if(ApiError::may_pass, || async { Ok(ask().await) }).await
    }

    /// The same for what changes something: before each try the lock is ours.
    async fn changing<T, F>(
        &self,
        again: impl Fn(&ApiError) -> bool,
        ask: impl Fn() -> F,
    ) -> Result<Result<T, ApiError>, StepError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        self.patiently_if(again, || async {
            self.permit().await?;
            Ok(ask().await)
        })
        .await
    }

    async fn patiently_if<T, F>(
        &self,
        again: impl Fn(&ApiError) -> bool,
        ask: impl Fn() -> F,
    ) -> Result<Result<T, ApiError>, StepError>
    where
        F: Future<Output = Result<Result<T, ApiError>, StepError>>,
    {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match ask().await? {
                Err(error) if again(&error) => self.trouble(&error, since, &mut pause).await?,
                answer => return Ok(answer),
            }
        }
    }

    async fn trouble(&self, error: &ApiError, since: Instant, pause: &mut Duration) -> Result<(), StepError> {
        self.waiting(Waiting::ApiServer { reason: error.message.clone() })?;
        if since.elapsed() >= PATIENCE {
            return Err(self.deadline(PATIENCE.as_secs()));
        }
        let asked = error.retry_after.map_or(Duration::ZERO, Duration::from_secs);
        self.sleep((*pause).max(asked.min(LONGEST_PAUSE))).await?;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// One object, if it is there.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, StepError> {
        let api = self.api();
        let answer = self.patiently(|| api.find(path)).await?;
        answer.map_err(|e| StepError::server(format!("read {path}"), &e))
    }

    /// All objects of a collection; none if there is no such collection.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn list(&self, path: &str, query: &str) -> Result<Vec<Value>, StepError> {
        let api = self.api();
        match self.patiently(|| api.list(path, query)).await? {
            Ok((items, _)) => Ok(items),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(StepError::server(format!("list {path}"), &error)),
        }
    }

    /// Creates an object. The inner error is the server's word for a refusal, `AlreadyExists` included.
    ///
    /// # Errors
    /// When the server gives no answer for long.
    pub async fn create(&self, collection: &str, body: &Value) -> Result<Result<Value, ApiError>, StepError> {
        let api = self.api();
        self.changing(in_another_state, || api.create(collection, body)).await
    }

    /// Changes an object. The inner error is the server's word for a refusal.
    ///
    /// # Errors
    /// When the server gives no answer for long.
    pub async fn patch(
        &self,
        path: &str,
        kind: PatchKind,
        body: &Value,
    ) -> Result<Result<Value, ApiError>, StepError> {
        let api = self.api();
        let versioned = body.pointer("/metadata/resourceVersion").is_some();
        let again = if versioned { ApiError::may_pass } else { in_another_state };
        self.changing(again, || api.patch(path, kind, body)).await
    }

    /// Deletes one incarnation of an object; fine if it is gone or was replaced by another.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete(&self, path: &str, uid: &str) -> Result<(), StepError> {
        let api = self.api();
        self.deletion(path, || api.delete(path, uid)).await
    }

    /// The same for an object that has no time left to end in.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete_at_once(&self, path: &str, uid: &str) -> Result<(), StepError> {
        let api = self.api();
        self.deletion(path, || api.delete_at_once(path, uid)).await
    }

    /// The same for an object that stays until its dependents are gone.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete_with_dependents(&self, path: &str, uid: &str) -> Result<(), StepError> {
        let api = self.api();
        self.deletion(path, || api.delete_with_dependents(path, uid)).await
    }

    async fn deletion<F>(&self, path: &str, ask: impl Fn() -> F) -> Result<(), StepError>
    where
        F: Future<Output = Result<Value, ApiError>>,
    {
        match self.changing(in_another_state, ask).await? {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(StepError::server(format!("delete {path}"), &error)),
        }
    }

    /// Follows a collection; what is there already is known when this returns.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn follow(&self, path: &str, query: &str) -> Result<Follow, StepError> {
        let mut follow = Follow::new(self.api(), path, query);
        self.changed(&mut follow).await?;
        Ok(follow)
    }

    /// Waits until what is followed may have changed.
    ///
    /// # Errors
    /// When the server refuses, or a pause was asked for.
    pub async fn changed(&self, follow: &mut Follow) -> Result<(), StepError> {
        let mut trouble: Option<(Instant, Duration)> = None;
        loop {
            let answer = tokio::select! {
                biased;
                () = self.running.stop.cancelled() => return Err(StepError::Paused),
                answer = follow.advance() => answer,
            };
            match answer {
                Ok(true) => return Ok(()),
                Ok(false) => trouble = None,
                Err(error) if error.may_pass() => {
                    let (since, mut pause) = trouble.unwrap_or((Instant::now(), FIRST_PAUSE));
                    self.trouble(&error, since, &mut pause).await?;
                    trouble = Some((since, pause));
                }
                Err(error) => return Err(StepError::server("watch", &error)),
            }
        }
    }
}

/// For requests that name no version of what they change: when someone else was quicker, the very same request
/// is as good as before.
fn in_another_state(error: &ApiError) -> bool {
    error.may_pass() || error.is_lost_race()
}
