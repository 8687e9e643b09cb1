//! etcd and kube-apiserver as static pods: what keeps the cluster's API up.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::etcd::Etcd;
use super::program::{ContainerSpecView, Exit, Program, ProgramContext, Programs};

/// The programs that every datacenter knows by itself.
pub(crate) fn programs(etcd: &Etcd) -> Programs {
    Programs::new().with(EtcdMember(etcd.clone())).with(ApiServer(etcd.clone()))
}

fn runs(container: &ContainerSpecView<'_>, binary: &str) -> bool {
    let first = container.command.first().map(|word| word.rsplit('/').next().unwrap_or_default());
    !container.init && first == Some(binary)
}

/// The machine's member, found by its host's name.
fn machine_of(etcd: &Etcd, context: &ProgramContext) -> Option<String> {
    let address = context.host.address().to_string();
    let member = etcd.members().into_iter().find(|member| member.address == address)?;
    Some(member.machine)
}

/// One member's process. It ends when the member is removed.
struct EtcdMember(Etcd);

impl Program for EtcdMember {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn matches(&self, container: &ContainerSpecView<'_>) -> bool {
        runs(container, "etcd")
    }

    fn run(&self, context: ProgramContext) -> BoxFuture<'static, Exit> {
        let etcd = self.0.clone();
        async move {
            tokio::time::sleep(context.durations.control_plane_start).await;
            let Some(machine) = machine_of(&etcd, &context) else {
                // etcd says: the member has been permanently removed from the cluster.
                return Exit::Code(1);
            };
            let down = Down { etcd: etcd.clone(), machine: machine.clone(), what: Part::Etcd };
            let mut changes = etcd.watch();
            etcd.set_up(&machine, true);
            context.set_ready(true);
            let exit = loop {
                tokio::select! {
                    biased;
                    () = context.stop.cancelled() => break Exit::OK,
                    changed = changes.changed() => {
                        if changed.is_err() || etcd.member_on(&machine).is_none() {
                            break Exit::Code(1);
                        }
                    }
                }
            };
            drop(down);
            exit
        }
        .boxed()
    }
}

/// One API server's process. It needs the member on its own machine.
struct ApiServer(Etcd);

impl Program for ApiServer {
    fn name(&self) -> &'static str {
        "kube-apiserver"
    }

    fn matches(&self, container: &ContainerSpecView<'_>) -> bool {
        runs(container, "kube-apiserver")
    }

    fn run(&self, context: ProgramContext) -> BoxFuture<'static, Exit> {
        let etcd = self.0.clone();
        async move {
            tokio::time::sleep(context.durations.control_plane_start).await;
            let up = |etcd: &Etcd| {
                let machine = machine_of(etcd, &context)?;
                etcd.member_on(&machine).filter(|member| member.up).map(|_| machine)
            };
            let mut changes = etcd.watch();
            let machine = loop {
                if let Some(machine) = up(&etcd) {
                    break machine;
                }
                tokio::select! {
                    biased;
                    () = context.stop.cancelled() => return Exit::OK,
                    // The API server gives up when its storage does not answer.
                    () = tokio::time::sleep(context.durations.crash_back_off * 2) => return Exit::Code(1),
                    _ = changes.changed() => {}
                }
            };
            let down = Down { etcd: etcd.clone(), machine: machine.clone(), what: Part::ApiServer };
            etcd.set_apiserver(&machine, true);
            context.set_ready(true);
            let exit = loop {
                tokio::select! {
                    biased;
                    () = context.stop.cancelled() => break Exit::OK,
                    _ = changes.changed() => if up(&etcd).is_none() { break Exit::Code(1) },
                }
            };
            drop(down);
            exit
        }
        .boxed()
    }
}

enum Part {
    Etcd,
    ApiServer,
}

/// Marks the process as down when it ends, also by being killed.
struct Down {
    etcd: Etcd,
    machine: String,
    what: Part,
}

impl Drop for Down {
    fn drop(&mut self) {
        match self.what {
            Part::Etcd => {
                self.etcd.set_up(&self.machine, false);
            }
            Part::ApiServer => self.etcd.set_apiserver(&self.machine, false),
        }
    }
}
