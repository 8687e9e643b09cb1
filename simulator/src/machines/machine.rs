//! One machine: its disk, its processes and its power switch.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::access::Gate;
use super::cloud_init::CloudConfig;
use super::host::HostHandle;
use super::kubelet::Kubelet;
use super::runtime::Runtime;
use super::site::Site;

/// Where kubeadm leaves the kubelet's configuration; without it the kubelet can't start.
pub(crate) const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// Exists while the kubelet's service is enabled.
pub(crate) const KUBELET_ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/kubelet.service";
/// Exists while the kubelet's service is masked.
pub(crate) const KUBELET_MASKED: &str = "/etc/systemd/system/kubelet.service";

/// What systemd was told about the kubelet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KubeletOrder {
    /// Whether it should run.
    pub(crate) run: bool,
    /// Grows with every restart.
    pub(crate) generation: u64,
    /// Grows whenever all containers are removed behind the kubelet's back.
    pub(crate) wipes: u64,
}

/// A machine that has been made.
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) provider_id: String,
    pub(crate) host: HostHandle,
    pub(crate) site: Arc<Site>,
    pub(crate) runtime: Runtime,
    /// The way to the machine's own API server.
    pub(crate) local_api: Gate,
    pub(crate) kubelet: watch::Sender<KubeletOrder>,
    pub(crate) node: Mutex<Option<String>>,
    power: Mutex<CancellationToken>,
    boots: Mutex<u64>,
    console: Mutex<String>,
}

impl Machine {
    /// A machine that is switched off.
    pub(crate) fn new(id: String, name: String, host: HostHandle, site: Arc<Site>) -> Self {
        let off = CancellationToken::new();
        off.cancel();
        Self {
            provider_id: format!("simulator:///{id}"),
            local_api: Gate::new(site.etcd.clone(), &id),
            id,
            name,
            host,
            runtime: Runtime::default(),
            kubelet: watch::channel(KubeletOrder::default()).0,
            node: Mutex::default(),
            power: Mutex::new(off),
            boots: Mutex::default(),
            console: Mutex::default(),
            site,
        }
    }

    /// The name that its kubelet registered.
    pub(crate) fn node_name(&self) -> Option<String> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_node_name(&self, name: &str) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
    }

    /// Adds a line to what the machine's screen shows.
    pub(crate) fn print(&self, line: &str) {
        let mut console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        console.push_str(line);
        if !line.ends_with('\n') {
            console.push('\n');
        }
    }

    /// What the machine's screen has shown.
    pub(crate) fn console(&self) -> String {
        self.console.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Cancelled when the machine loses power.
    pub(crate) fn power(&self) -> CancellationToken {
        self.power.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the machine's processes run.
    pub(crate) fn is_on(&self) -> bool {
        !self.power().is_cancelled()
    }

    /// An id that differs with every boot.
    pub(crate) fn boot_id(&self) -> String {
        let boots = *self.boots.lock().unwrap_or_else(PoisonError::into_inner);
        self.site.uuid(&format!("boot/{}/{boots}", self.id))
    }

    /// Switches the machine on: the kubelet's service starts if it is enabled and configured.
    pub(crate) fn power_on(self: &Arc<Self>) {
        let token = self.site.cancel.child_token();
        *self.power.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        *self.boots.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let files = self.host.files();
        let run =
            files.exists(KUBELET_CONFIG) && files.exists(KUBELET_ENABLED) && !files.exists(KUBELET_MASKED);
        self.kubelet
            .send_modify(|order| *order = KubeletOrder { run, generation: order.generation + 1, ..*order });
        self.print(&format!("{} login:", self.host.identity().hostname));
        let machine = self.clone();
        self.site.tasks.spawn(async move { machine.supervise_kubelet(token).await });
    }

    /// Cuts the power: every process is gone at once.
    pub(crate) fn power_off(&self) {
        self.power().cancel();
        self.kubelet.send_modify(|order| order.run = false);
        self.runtime.clear();
        self.site.etcd.set_up(&self.id, false);
        self.site.etcd.set_apiserver(&self.id, false);
        self.host.power_cut();
    }

    /// Runs the kubelet whenever systemd should; pods outlive its process.
    async fn supervise_kubelet(self: Arc<Self>, power: CancellationToken) {
        let mut orders = self.kubelet.subscribe();
        let mut kubelet = Kubelet::new(self.clone(), power.clone());
        let mut wipes = orders.borrow().wipes;
        loop {
            let order = *orders.borrow_and_update();
            if wipes != order.wipes {
                wipes = order.wipes;
                kubelet = Kubelet::new(self.clone(), power.clone());
            }
            if order.run {
                let ended = other_order(orders.clone(), order);
                // Only a power cut may drop the kubelet in the middle of its work.
                tokio::select! {
                    biased;
                    () = power.cancelled() => return,
                    () = kubelet.run(ended) => {}
                }
            } else {
                tokio::select! {
                    biased;
                    () = power.cancelled() => return,
                    changed = orders.changed() => if changed.is_err() { return; },
                }
            }
        }
    }

    /// Carries out the user-data of a first boot.
    pub(crate) async fn first_boot(self: Arc<Self>, user_data: Vec<u8>) {
        self.print("Cloud-init starting.");
        let config = match CloudConfig::parse(&user_data) {
            Ok(config) => config,
            Err(error) => return self.print(&format!("cloud-init: {error}")),
        };
        for file in &config.write_files {
            if let Err(error) = self.host.files().write(&file.path, &file.content, file.mode) {
                self.print(&format!("cloud-init: write_files: {error}"));
            }
        }
        for command in &config.runcmd {
            let output = super::host::run(&self, command, b"").await;
            self.print(&String::from_utf8_lossy(&output.stdout));
            self.print(&String::from_utf8_lossy(&output.stderr));
            if output.status != 0 {
                self.print(&format!("cloud-init: runcmd failed with exit status {}", output.status));
            }
        }
        self.print("Cloud-init finished.");
    }

    /// Removes every container, as `kubeadm reset` does.
    pub(crate) fn forget_pods(&self) {
        self.runtime.clear();
        self.kubelet.send_modify(|order| order.wipes += 1);
    }

    /// systemctl start, stop or restart of the kubelet.
    pub(crate) fn order_kubelet(&self, run: bool, restart: bool) {
        self.kubelet.send_if_modified(|order| {
            let change = order.run != run || (restart && run);
            if change {
                order.run = run;
                order.generation += 1;
            }
            change
        });
    }
}

async fn other_order(mut orders: watch::Receiver<KubeletOrder>, order: KubeletOrder) {
    // A closed channel means that the machine is gone, and its power with it.
    let _ = orders.wait_for(|now| *now != order).await;
}
