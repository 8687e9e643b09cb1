//! Epochs, where every computer that drives this libvirt sees them: the name of an empty volume in the pool.

use crate::hypervisor::Hypervisor;
use crate::volumes::{New, OURS};
use replank_provider_kit::ledger::short;
use replank_provider_protocol::verbs::Mutation;
use replank_provider_protocol::{Epoch, ErrorCode, ProviderError};

/// Digits enough for every epoch.
const DIGITS: usize = 20;

impl Hypervisor {
    /// Refuses a lower epoch than the highest that was seen of this cluster, and remembers a higher one.
    ///
    /// # Errors
    /// When it is old, or libvirt can't be asked.
    pub async fn fence(&self, mutation: &Mutation) -> Result<(), ProviderError> {
        let begin = format!("{OURS}epoch-{}-", short(&mutation.cluster));
        let mut seen: Vec<(Epoch, String)> = Vec::new();
        for volume in self.volumes().await? {
            if let Some(epoch) = volume.strip_prefix(&begin).and_then(|digits| digits.parse().ok()) {
                seen.push((Epoch(epoch), volume));
            }
        }
        let highest = seen.iter().map(|(epoch, _)| *epoch).max();
        if let Some(highest) = highest.filter(|highest| mutation.epoch < *highest) {
            let message = format!(
                "epoch {} is over: {highest} was seen for this cluster, so another run holds its lock",
                mutation.epoch
            );
            return Err(ProviderError::lasting(ErrorCode::Denied, message));
        }
        if highest == Some(mutation.epoch) {
            return Ok(());
        }
        let name = format!("{begin}{:0DIGITS$}", mutation.epoch.0);
        self.make(&New { name: &name, format: "raw", capacity: 0, over: None }).await?;
        // Only now: at no time is there none.
        for (_, older) in seen {
            self.remove(&older).await?;
        }
        Ok(())
    }
}
