//! Flannel: its init containers, and flanneld with the Kubernetes subnet manager.

mod daemon;
mod lease;
mod net_conf;

use futures::FutureExt;

use super::images::starts;
use super::support::{Agent, Fatal, exit};
use crate::machines::{ContainerSpecView, ProgramContext, Programs};

pub use daemon::PEERS;

pub(super) fn programs() -> Programs {
    Programs::new()
        .with(Agent {
            name: "flanneld",
            matches: |container| {
                !container.init
                    && (starts(container, "flanneld")
                        || (container.command.is_empty() && container.image_name().ends_with("flannel")))
            },
            run: |context| {
                async move {
                    let outcome = daemon::run(&context).await;
                    exit(&context, "flanneld", outcome)
                }
                .boxed()
            },
        })
        .with(Agent {
            name: "flannel-install",
            matches: copies,
            run: |context| {
                async move {
                    let outcome = install(&context).await;
                    exit(&context, "flannel-install", outcome)
                }
                .boxed()
            },
        })
}

/// Whether it is an init container of Flannel's that puts a file on the host.
fn copies(container: &ContainerSpecView<'_>) -> bool {
    container.init
        && container.image_name().contains("flannel")
        && (starts(container, "cp") || starts(container, "install-conf"))
}

/// Copies the last word but one to the last one.
async fn install(context: &ProgramContext) -> Result<(), Fatal> {
    tokio::time::sleep(context.durations.init_container).await;
    let words: Vec<&String> =
        context.command.iter().skip(1).chain(&context.args).filter(|word| !word.starts_with('-')).collect();
    let [.., source, target] = words.as_slice() else {
        return Err(Fatal::Because("cp: missing file operand".to_owned()));
    };
    let (content, mode) = match context.files.read(source) {
        Some(file) => (file.content.to_vec(), file.mode),
        // Mounted files would be there; this one is in the image, where the plugin is.
        None if source.ends_with("/flannel") => (Vec::new(), 0o755),
        None => return Err(Fatal::Because(format!("cp: can't stat '{source}': No such file or directory"))),
    };
    context.files.write(target, content, mode).map_err(|error| Fatal::Because(error.to_string()))
}
