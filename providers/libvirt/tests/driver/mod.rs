//! The provider with its verbs as a test wants them: asked until they are done, and not expected to fail.

use crate::site::Site;
use replank_provider_kit::Provider as _;
use replank_provider_libvirt::LibvirtProvider;
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, InitializeParams, MachineParams, MachineSpec, Mutation, Progress,
    RestoreParams,
};
use replank_provider_protocol::{Epoch, Machine, MachineId, MachineState, Role, Snapshot, SnapshotId};
use serde_json::Value;
use std::time::Duration;

pub fn mutation(operation: &str) -> Mutation {
    Mutation {
        operation: operation.into(),
        run: "run-1".into(),
        cluster: "cluster-1".into(),
        epoch: Epoch(1),
    }
}

pub fn done<T>(progress: Progress<T>) -> T {
    match progress {
        Progress::Done { value } => value,
        Progress::Pending { message } => panic!("it is pending: {message}"),
    }
}

/// The provider.
pub struct Driver(pub LibvirtProvider);

impl Driver {
    pub async fn of(site: &Site, more: Value) -> Self {
        let provider = LibvirtProvider::default();
        let params = InitializeParams { protocol_versions: vec![1], settings: site.settings(more) };
        provider.initialize(params).await.unwrap_or_else(|error| panic!("{error}"));
        Self(provider)
    }

    pub async fn create(&self, name: &str, like: &MachineId) -> Machine {
        let spec =
            MachineSpec { name: name.into(), role: Role::Worker, like: like.clone(), labels: [].into() };
        let params =
            CreateParams { mutation: mutation(&format!("create/{name}")), spec, user_data: "e30K".into() };
        loop {
            match self.0.create(params.clone()).await.unwrap_or_else(|error| panic!("{error}")) {
                Progress::Done { value } => return value,
                // Each case has its own bound: this ends when what is waited for does.
                Progress::Pending { .. } => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn on(operation: &str, machine: &MachineId) -> MachineParams {
        MachineParams { mutation: mutation(operation), machine: machine.clone() }
    }

    pub async fn stop(&self, operation: &str, machine: &MachineId) {
        let stopped = self.0.stop(Self::on(operation, machine)).await;
        assert_eq!(done(stopped.unwrap_or_else(|error| panic!("{error}"))).state, MachineState::Stopped);
    }

    pub async fn start(&self, operation: &str, machine: &MachineId) {
        let started = self.0.start(Self::on(operation, machine)).await;
        assert_eq!(done(started.unwrap_or_else(|error| panic!("{error}"))).state, MachineState::Running);
    }

    pub async fn snapshot(&self, operation: &str, machine: &MachineId) -> Snapshot {
        done(self.0.snapshot(Self::on(operation, machine)).await.unwrap_or_else(|error| panic!("{error}")))
    }

    pub async fn restore(&self, operation: &str, machine: &MachineId, snapshot: &SnapshotId) {
        let params = RestoreParams {
            mutation: mutation(operation),
            machine: machine.clone(),
            snapshot: snapshot.clone(),
        };
        done(self.0.restore(params).await.unwrap_or_else(|error| panic!("{error}")));
    }

    pub async fn delete(&self, operation: &str, target: Deletable) {
        let params = DeleteParams { mutation: mutation(operation), target };
        done(self.0.delete(params).await.unwrap_or_else(|error| panic!("{error}")));
    }
}
