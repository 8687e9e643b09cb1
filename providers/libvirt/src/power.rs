//! `stop` and `start`.

use crate::domain::Power;
use crate::hypervisor::Hypervisor;
use replank_provider_protocol::verbs::Progress;
use replank_provider_protocol::{MachineId, ProviderError};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often a guest is told: one that has just begun to boot does not listen yet.
const AGAIN: Duration = Duration::from_secs(10);

/// Guests that were told to shut down. Should this be forgotten, their time begins anew.
#[derive(Debug, Default)]
pub struct Graces(Mutex<BTreeMap<MachineId, Told>>);

#[derive(Clone, Copy, Debug)]
struct Told {
    first: Instant,
    last: Instant,
}

/// What is next for a guest that shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Tell,
    Wait(Duration),
    Switch,
}

impl Graces {
    fn next(&self, machine: &MachineId, grace: Duration) -> Next {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains_key(machine) {
            told.insert(machine.clone(), Told { first: now, last: now });
            return if grace.is_zero() { Next::Switch } else { Next::Tell };
        }
        match told.get_mut(machine) {
            Some(told) if now - told.first >= grace => Next::Switch,
            Some(told) if now - told.last >= AGAIN => {
                told.last = now;
                Next::Tell
            }
            Some(told) => Next::Wait(now - told.first),
            None => Next::Tell,
        }
    }

    fn forget(&self, machine: &MachineId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(machine);
    }
}

impl Hypervisor {
    /// Has the guest shut down, and switches it off if that takes too long.
    ///
    /// # Errors
    /// When there is no such machine, or libvirt refuses.
    pub async fn stop(&self, id: &MachineId, graces: &Graces) -> Result<Progress<()>, ProviderError> {
        let domain = self.domain(id).await?;
        let grace = Duration::from_secs(self.settings.grace_seconds);
        if domain.power == Power::Off {
            graces.forget(id);
            return Ok(Progress::Done { value: () });
        }
        let next = match domain.power {
            // There is nobody to tell.
            Power::Crashed => Next::Switch,
            _ => graces.next(id, grace),
        };
        match next {
            Next::Switch => {
                self.switch_off(id).await?;
                graces.forget(id);
                return Ok(Progress::Done { value: () });
            }
            Next::Tell => {
                // A guest that can't be told is switched off when its time is over.
                if let Err(error) = self.virsh.run(&["shutdown", id.as_str()]).await {
                    tracing::debug!(%error, "the guest can't be told");
                }
            }
            Next::Wait(_) => {}
        }
        let waited = if let Next::Wait(waited) = next { waited.as_secs() } else { 0 };
        let message = format!(
            "the guest {} shuts down; after {} s it is switched off ({waited} s have passed)",
            domain.name,
            grace.as_secs()
        );
        Ok(Progress::Pending { message })
    }

    /// Starts a machine; one that runs already stays as it is.
    ///
    /// # Errors
    /// When there is no such machine, or libvirt refuses.
    pub async fn start(&self, id: &MachineId) -> Result<(), ProviderError> {
        match self.domain(id).await?.power {
            Power::On => Ok(()),
            Power::Off => Ok(self.virsh.run(&["start", id.as_str()]).await.map(drop)?),
            Power::Crashed => {
                self.switch_off(id).await?;
                Ok(self.virsh.run(&["start", id.as_str()]).await.map(drop)?)
            }
            Power::Ending => {
                let message = format!("machine {id} is on its way down; it is started when it is off");
                Err(ProviderError::passing(replank_provider_protocol::ErrorCode::Unavailable, message))
            }
        }
    }

    /// Takes the power away.
    ///
    /// # Errors
    /// When libvirt refuses.
    pub async fn switch_off(&self, id: &MachineId) -> Result<(), ProviderError> {
        match self.virsh.run(&["destroy", id.as_str()]).await {
            // The guest was faster.
            Err(error) if error.says(&["domain is not running"]) => Ok(()),
            ended => Ok(ended.map(drop)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_guest_is_told_again_and_then_switched_off() {
        let (graces, id, grace) = (Graces::default(), MachineId::new("m"), Duration::from_secs(15));
        assert_eq!(graces.next(&id, grace), Next::Tell);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(graces.next(&id, grace), Next::Wait(Duration::from_secs(4)));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(graces.next(&id, grace), Next::Tell);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(graces.next(&id, grace), Next::Switch);
        graces.forget(&id);
        assert_eq!(graces.next(&id, grace), Next::Tell);
    }
}
