//! How long things take on a simulated machine.

use std::time::Duration;

/// All durations of machines, kubelets and programs in one place. Over TCP, where time is real,
/// [`Durations::scaled`] makes a cluster faster; in process, virtual time makes that needless.
#[derive(Clone, Debug)]
pub struct Durations {
    /// From a machine's creation (or start) until its processes start.
    pub boot: Duration,
    /// From the order to stop a machine until it stands still.
    pub machine_stop: Duration,
    /// Taking a snapshot of a machine.
    pub snapshot: Duration,
    /// Restoring a snapshot onto a machine.
    pub restore: Duration,
    /// From the start of the kubelet process until it talks to the API server.
    pub kubelet_start: Duration,
    /// What `kubeadm init` and `kubeadm join` need beside what they wait for.
    pub kubeadm: Duration,
    /// Between two looks of kubeadm at something that it waits for.
    pub kubeadm_poll: Duration,
    /// How long kubeadm waits for anything before it gives up.
    pub kubeadm_timeout: Duration,
    /// Pulling an image that the host does not have.
    pub image_pull: Duration,
    /// Making a pod's sandbox and running CNI ADD.
    pub sandbox: Duration,
    /// From the order to start a container until it runs.
    pub container_start: Duration,
    /// An ordinary init container's run.
    pub init_container: Duration,
    /// From a container's start to the first good answer of its readiness probe, beside the
    /// probe's own initial delay.
    pub probe: Duration,
    /// How long an ordinary container takes to end after SIGTERM, if its grace time allows.
    pub container_stop: Duration,
    /// Tearing down a pod's sandbox, CNI DEL included.
    pub sandbox_teardown: Duration,
    /// Between two tries of the kubelet to make or to tear down a sandbox.
    pub sandbox_retry: Duration,
    /// First wait of a container that crashed.
    pub crash_back_off: Duration,
    /// Longest wait of a container that crashes again and again.
    pub crash_back_off_max: Duration,
    /// How long a container must have run for its back-off to be forgotten.
    pub crash_back_off_reset: Duration,
    /// Between two renewals of a node's Lease.
    pub lease_renew: Duration,
    /// The duration written into a node's Lease.
    pub lease_duration: Duration,
    /// Between two reports of a node's status when nothing changes.
    pub status_report: Duration,
    /// From the sight of a pod's status that is not the kubelet's own until the kubelet writes its own again.
    pub status_sync: Duration,
    /// From a change of the CNI configuration until the kubelet sees the network gone.
    pub network_loss: Duration,
    /// From a change of the CNI configuration until the kubelet sees the network come.
    pub network_return: Duration,
    /// Between the kubelet's looks at the directory of static manifests; also what a change
    /// takes to be seen.
    pub static_manifest: Duration,
    /// What an etcd learner needs to catch up with its leader.
    pub etcd_catch_up: Duration,
    /// How much of a probe's initial delay really passes, 1 for all of it.
    pub probe_delay: f64,
    /// How long a node must have been gone before its pods are deleted.
    pub pod_quarantine: Duration,
    /// How long the API server waits for an etcd that can't commit.
    pub etcd_timeout: Duration,
    /// Starting etcd, API server, controller manager or scheduler.
    pub control_plane_start: Duration,
    /// After an error of the API server, until the kubelet asks again.
    pub api_retry: Duration,
    /// Between retries of a program that lost its API server.
    pub program_retry: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            boot: ms(20_000),
            machine_stop: ms(5_000),
            snapshot: ms(10_000),
            restore: ms(10_000),
            kubelet_start: ms(1_300),
            kubeadm: ms(2_000),
            kubeadm_poll: ms(500),
            kubeadm_timeout: ms(240_000),
            image_pull: ms(3_000),
            sandbox: ms(400),
            container_start: ms(600),
            init_container: ms(500),
            probe: ms(1_000),
            container_stop: ms(300),
            sandbox_teardown: ms(250),
            sandbox_retry: ms(12_000),
            crash_back_off: ms(10_000),
            crash_back_off_max: ms(300_000),
            crash_back_off_reset: ms(600_000),
            lease_renew: ms(10_000),
            lease_duration: ms(40_000),
            status_report: ms(300_000),
            status_sync: ms(10_000),
            network_loss: ms(7_000),
            network_return: ms(1_500),
            static_manifest: ms(1_000),
            etcd_catch_up: ms(3_000),
            probe_delay: 1.0,
            pod_quarantine: ms(40_000),
            etcd_timeout: ms(7_000),
            control_plane_start: ms(1_500),
            api_retry: ms(1_000),
            program_retry: ms(2_000),
        }
    }
}

impl Durations {
    /// The same durations, each divided by `factor`. Leases and status reports, which others
    /// measure by the clock, stay as they are.
    ///
    /// A factor that is not a positive number changes nothing.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        if !factor.is_finite() || factor <= 0.0 {
            return self.clone();
        }
        let mut scaled = self.clone();
        for duration in [
            &mut scaled.boot,
            &mut scaled.machine_stop,
            &mut scaled.snapshot,
            &mut scaled.restore,
            &mut scaled.kubelet_start,
            &mut scaled.kubeadm,
            &mut scaled.kubeadm_poll,
            &mut scaled.image_pull,
            &mut scaled.sandbox,
            &mut scaled.container_start,
            &mut scaled.init_container,
            &mut scaled.probe,
            &mut scaled.container_stop,
            &mut scaled.sandbox_teardown,
            &mut scaled.sandbox_retry,
            &mut scaled.crash_back_off,
            &mut scaled.crash_back_off_max,
            &mut scaled.crash_back_off_reset,
            &mut scaled.status_sync,
            &mut scaled.network_loss,
            &mut scaled.network_return,
            &mut scaled.static_manifest,
            &mut scaled.etcd_catch_up,
            &mut scaled.pod_quarantine,
            &mut scaled.etcd_timeout,
            &mut scaled.control_plane_start,
            &mut scaled.api_retry,
            &mut scaled.program_retry,
        ] {
            *duration = duration.div_f64(factor).max(Duration::from_millis(1));
        }
        scaled.probe_delay /= factor;
        scaled
    }
}

#[cfg(test)]
mod tests {
    use super::Durations;
    use std::time::Duration;

    #[test]
    fn a_factor_shortens_all_but_what_others_measure() {
        let fast = Durations::default().scaled(10.0);
        assert_eq!(fast.boot, Duration::from_secs(2));
        assert_eq!(fast.lease_renew, Duration::from_secs(10));
        assert_eq!(Durations::default().scaled(0.0).boot, Durations::default().boot);
    }
}
