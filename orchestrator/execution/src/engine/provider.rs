//! The provider, asked until its work is done.

use super::requests::{FIRST_PAUSE, LONGEST_PAUSE};
use super::{StepContext, StepError};
use replank_planning::waiting::Waiting;
use replank_provider_protocol::verbs::{Mutation, Progress};
use replank_provider_protocol::{OperationId, ProviderError, Retry};
use std::time::Duration;
use tokio::time::Instant;

/// How often a provider that answers "pending" is asked again: its backend can't be watched.
const PROVIDER_POLL: Duration = Duration::from_secs(2);
/// How long a provider that answers "pending", or fails in a way that may pass, is asked again.
const PROVIDER_PATIENCE: Duration = Duration::from_mins(15);

impl StepContext<'_> {
    /// What a mutating call carries. `effect` tells apart what one step asks for; the same effect always
    /// has the same id, until the step has been undone.
    pub fn mutation(&self, effect: &str) -> Mutation {
        let undone = self.running.ledger.state(|s| s.steps.get(&self.step.id).map_or(0, |s| s.undo_attempt));
        let mut operation = format!("{}/{}/{effect}", self.running.run, self.step.id);
        if undone > 0 {
            operation = format!("{operation}/{undone}");
        }
        Mutation {
            operation: OperationId::new(operation),
            run: self.running.run.clone(),
            cluster: self.running.cluster.to_string(),
            epoch: self.running.lock.epoch(),
        }
    }

    /// Asks the provider until its work is done.
    ///
    /// # Errors
    /// When it refuses, or does not get done in a long time.
    pub async fn provider<T, F>(&self, verb: &str, mut ask: impl FnMut() -> F) -> Result<T, StepError>
    where
        F: Future<Output = Result<Progress<T>, ProviderError>>,
    {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            self.permit().await?;
            let message = match ask().await {
                Ok(Progress::Done { value }) => return Ok(value),
                Ok(Progress::Pending { message }) => {
                    pause = PROVIDER_POLL;
                    message
                }
                Err(error) if error.retry == Retry::MayHelp => error.message,
                Err(error) => {
                    return Err(StepError::Provider(format!("the provider refused to {verb}: {error}")));
                }
            };
            self.waiting(Waiting::Provider { verb: verb.to_owned(), message })?;
            if since.elapsed() >= PROVIDER_PATIENCE {
                return Err(self.deadline(PROVIDER_PATIENCE.as_secs()));
            }
            self.sleep(pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks the provider for something that it answers at once.
    ///
    /// # Errors
    /// As [`StepContext::provider`].
    pub async fn provider_at_once<T, F>(&self, verb: &str, mut ask: impl FnMut() -> F) -> Result<T, StepError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        self.provider(verb, || {
            let answer = ask();
            async move { answer.await.map(|value| Progress::Done { value }) }
        })
        .await
    }
}
