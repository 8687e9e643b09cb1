//! The same host once more: cleaned of what it was, rebooted, and leased to what it will be.

use crate::CLEAN;
use crate::pool::{Lease, Member};
use crate::provider::{FOLDER, Greeted, RESET};
use replank_hosts::Purpose;
use replank_provider_kit::ledger::key;
use replank_provider_protocol::verbs::CreateParams;
use replank_provider_protocol::{ErrorCode, MachineId, ProviderError};

const REBOOT: &str = include_str!("reboot.sh");

impl Greeted {
    /// The host of the machine that goes, ready to be joined again under a new lease. Every part is done once,
    /// however often it is asked for.
    ///
    /// # Errors
    /// `unavailable` while it is on its way; `already_exists` when it is another machine by now.
    pub(crate) async fn rejoin(&self, params: &CreateParams) -> Result<(&Member, Lease), ProviderError> {
        let like = &params.spec.like;
        let missing = || ProviderError::lasting(ErrorCode::NotFound, format!("there is no machine {like}"));
        let member = self.pool.own(like).ok_or_else(missing)?;
        let operation = key(&params.mutation);
        let lease = Lease {
            id: MachineId::new(format!("{}.{operation}", member.name)),
            cluster: params.mutation.cluster.clone(),
            run: params.mutation.run.clone(),
            node: params.spec.name.clone(),
            role: params.spec.role,
            labels: params.spec.labels.clone(),
        };
        match member.look().await?.lease {
            Some(held) if held.id == lease.id => {}
            Some(held) if held.id != *like => {
                let message = format!("{} is machine {} by now, of another operation", member.name, held.id);
                return Err(ProviderError::lasting(ErrorCode::AlreadyExists, message));
            }
            _ => member.relet(&lease).await?,
        }
        let clean = format!("{RESET}\n{CLEAN}");
        let own = self.settings.commands.reset.as_ref();
        self.command(member, &format!("{operation}/rejoin"), own, &clean).await?;
        self.reboot(member, &operation).await?;
        Ok((member, lease))
    }

    async fn reboot(&self, member: &Member, operation: &str) -> Result<(), ProviderError> {
        let usual = ["systemctl".to_owned(), "reboot".to_owned()];
        let command = self.settings.commands.reboot.as_deref().unwrap_or(&usual);
        let arguments: Vec<&str> =
            [FOLDER, operation].into_iter().chain(command.iter().map(String::as_str)).collect();
        let said = member.script(Purpose::Look, "the reboot", REBOOT, &arguments).await?;
        let does = match said.as_str() {
            "up" => return Ok(()),
            "starting" => "has rebooted and starts its services",
            _ => "is cleaned and reboots",
        };
        let message = format!("{} {does}; ask again", member.name);
        Err(ProviderError::passing(ErrorCode::Unavailable, message))
    }
}
