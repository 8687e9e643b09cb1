//! What a machine's image lacks: as its first boot found it, or looked for over its host.

use crate::engine::StepContext;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_cloud_init::Requirement;
use replank_cloud_init::join::LACKS_FILE;
use replank_planning::ids::MachineId;
use replank_planning::node_image::{self, Item, LACKS, REQUIREMENTS};
use replank_provider_protocol::verbs::{GetParams, HostReadParams, HostRunParams};

/// The list, as a first boot looks through it.
pub(super) fn requirements() -> Vec<Requirement> {
    let line = |item: Item| format!("{LACKS}{}", item.id());
    REQUIREMENTS.iter().map(|r| Requirement { test: r.test.into(), lacks: line(r.item) }).collect()
}

/// What its first boot found missing: from its host where that can be reached, else from its console. Nothing
/// where neither can be had: it is looked at again.
pub(super) async fn told(cx: &StepContext<'_>, machine: &MachineId) -> Vec<Item> {
    let provider = &cx.running.world.provider;
    let read = HostReadParams { machine: machine.clone(), path: LACKS_FILE.to_owned() };
    if let Ok(Some(file)) = provider.host_read(read).await {
        return node_image::told(&decoded(&file.content));
    }
    match provider.console_log(GetParams { machine: machine.clone() }).await {
        Ok(console) => node_image::told(&console),
        Err(_) => Vec::new(),
    }
}

/// What a host that can be reached lacks now.
pub async fn looked_for(cx: &StepContext<'_>, machine: &MachineId) -> Vec<Item> {
    let provider = &cx.running.world.provider;
    let look: Vec<String> =
        requirements().iter().map(|r| format!("{} || echo '{}'", r.test, r.lacks)).collect();
    let run = HostRunParams {
        mutation: None,
        machine: machine.clone(),
        argv: vec!["sh".to_owned(), "-c".into(), look.join("; ")],
        stdin: None,
    };
    match provider.host_run(run).await {
        Ok(output) => node_image::told(&decoded(&output.stdout)),
        Err(_) => Vec::new(),
    }
}

fn decoded(content: &str) -> String {
    String::from_utf8_lossy(&STANDARD.decode(content).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A condition that the shell does not understand would make every image lack something.
    #[test]
    fn a_real_shell_understands_every_condition() {
        for requirement in requirements() {
            let ran = Command::new("sh").args(["-c", &requirement.test]).output().unwrap();
            assert!(matches!(ran.status.code(), Some(0 | 1 | 127)), "{requirement:?}: {ran:?}");
            assert_eq!(String::from_utf8_lossy(&ran.stderr), "", "{requirement:?}");
        }
        let line = &requirements()[0].lacks;
        assert_eq!(node_image::told(line), [Item::Kubeadm]);
    }
}
