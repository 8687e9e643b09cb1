//! The verbs.

use crate::ledger::{key, once};
use crate::shown::{self, CLUSTER, OPERATION, RUN, failure};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_lab::lab::{HostFile as LabFile, Lab, Snapshot as LabSnapshot};
use replank_lab::machine::Wanted;
use replank_lab::place::Place;
use replank_provider_kit::Provider;
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput,
    HostReadParams, HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing,
    MachineParams, MachineSpec, Mutation, Progress, RestoreParams,
};
use replank_provider_protocol::{
    Capabilities, ErrorCode, Keeping, Machine, ProviderError, Replacement, Snapshot, SnapshotKind,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Mutex;

/// The lab's machines.
#[derive(Debug, Default)]
pub struct LabProvider {
    place: Mutex<Option<Place>>,
}

impl LabProvider {
    /// Over the lab in a folder.
    pub fn over(place: Place) -> Self {
        Self { place: Mutex::new(Some(place)) }
    }

    fn lab(&self) -> Result<Lab, ProviderError> {
        let place = self.place.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Lab::open(place.unwrap_or_else(Place::find)).map_err(failure)
    }

    /// Work on the lab beside the runtime: it waits for processes.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Lab) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let lab = self.lab()?;
        let done = tokio::task::spawn_blocking(move || work(&lab)).await;
        done.unwrap_or_else(|e| {
            Err(ProviderError::lasting(ErrorCode::Internal, format!("the work died: {e}")))
        })
    }

    /// An effect on one machine, which answers as it is afterwards.
    async fn change(
        &self,
        params: MachineParams,
        verb: &'static str,
        change: impl FnOnce(&Lab, &str) -> replank_lab::Result<()> + Send + 'static,
    ) -> Result<Machine, ProviderError> {
        self.work(move |lab| {
            let name = params.machine.as_str().to_owned();
            lab.machine(&name).map_err(failure)?;
            once(lab.place(), &params.mutation, verb, json!([name]), || {
                change(lab, &name).map_err(failure)?;
                get(lab, &name)
            })
        })
        .await
    }
}

fn get(lab: &Lab, name: &str) -> Result<Machine, ProviderError> {
    lab.machine(name).and_then(|record| shown::machine(lab, record)).map_err(failure)
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, ProviderError> {
    let invalid = |_| ProviderError::lasting(ErrorCode::Invalid, format!("{what} is not base64"));
    STANDARD.decode(text).map_err(invalid)
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn create(lab: &Lab, params: &CreateParams) -> Result<Machine, ProviderError> {
    let Mutation { operation, run, cluster, .. } = &params.mutation;
    let name = params.spec.name.clone();
    if let Ok(known) = lab.machine(&name) {
        let ours = known.labels.get(OPERATION).is_some_and(|o| o == operation.as_str());
        if !ours {
            let message = format!("there is a machine {name} already, of another operation");
            return Err(ProviderError::lasting(ErrorCode::AlreadyExists, message));
        }
        if lab.has_booted(&name) {
            return get(lab, &name);
        }
        // The process that made it died before it was switched on.
        lab.destroy(&name).map_err(failure)?;
    }
    let mut labels = params.spec.labels.clone();
    labels.insert(RUN.into(), run.to_string());
    labels.insert(CLUSTER.into(), cluster.clone());
    labels.insert(OPERATION.into(), operation.to_string());
    let user_data = decode("the user-data", &params.user_data)?;
    let wanted = Wanted { name: name.clone(), role: shown::role(params.spec.role), user_data, labels };
    lab.create(&wanted).map_err(failure)?;
    get(lab, &name)
}

#[async_trait]
impl Provider for LabProvider {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, ProviderError> {
        if !params.protocol_versions.contains(&1) {
            return Err(ProviderError::lasting(
                ErrorCode::Invalid,
                "this provider speaks protocol version 1 only",
            ));
        }
        if let Some(folder) = params.settings["lab"].as_str() {
            *self.place.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Place::new(folder));
        }
        self.lab()?;
        Ok(InitializeResult {
            protocol_version: 1,
            name: "lab".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities {
                snapshot: SnapshotKind::Disk,
                replacement: Replacement::Fresh,
                keeping: Keeping::Stopped,
                hosts: true,
                load_balancer: true,
            },
            example: None,
        })
    }

    async fn validate(&self, params: MachineSpec) -> Result<(), ProviderError> {
        self.work(move |lab| lab.machine(params.like.as_str()).map(drop).map_err(failure)).await
    }

    async fn find(&self, params: FindParams) -> Result<Found, ProviderError> {
        self.work(move |lab| {
            let node = &params.node;
            for record in lab.machines().map_err(failure)? {
                let machine = shown::machine(lab, record).map_err(failure)?;
                let is_it = match &node.provider_id {
                    Some(id) => machine.provider_id.as_ref() == Some(id),
                    None => node.system_uuid.is_some() && machine.system_uuid == node.system_uuid,
                };
                if is_it {
                    return Ok(Found { machine, keeping: Keeping::Stopped });
                }
            }
            Err(ProviderError::lasting(ErrorCode::NotFound, format!("no machine is node {}", node.name)))
        })
        .await
    }

    async fn list(&self, params: ListParams) -> Result<Listing, ProviderError> {
        self.work(move |lab| {
            let ours = |run: Option<&str>, cluster: Option<&str>| {
                cluster == Some(&params.cluster)
                    && run.is_some_and(|run| params.run.as_ref().is_none_or(|wanted| wanted.as_str() == run))
            };
            let label =
                |labels: &std::collections::BTreeMap<String, String>, key: &str| labels.get(key).cloned();
            let mut listing = Listing::default();
            for record in lab.machines().map_err(failure)? {
                let (run, cluster) = (label(&record.labels, RUN), label(&record.labels, CLUSTER));
                if ours(run.as_deref(), cluster.as_deref()) {
                    listing.machines.push(shown::machine(lab, record).map_err(failure)?);
                }
            }
            for known in lab.snapshots().map_err(failure)? {
                if ours(known.run.as_deref(), known.cluster.as_deref()) {
                    listing.snapshots.push(shown::snapshot(known));
                }
            }
            Ok(listing)
        })
        .await
    }

    async fn snapshot(&self, params: MachineParams) -> Result<Progress<Snapshot>, ProviderError> {
        self.work(move |lab| {
            let machine = params.machine.as_str().to_owned();
            lab.machine(&machine).map_err(failure)?;
            let value = once(lab.place(), &params.mutation, "snapshot", json!([machine]), || {
                let wanted = LabSnapshot {
                    id: format!("snap-{}", key(&params.mutation)),
                    machine: machine.clone(),
                    run: Some(params.mutation.run.to_string()),
                    cluster: Some(params.mutation.cluster.clone()),
                };
                let known = lab.snapshots().map_err(failure)?;
                if !known.contains(&wanted) {
                    lab.snapshot(&wanted).map_err(failure)?;
                }
                Ok(shown::snapshot(wanted))
            })?;
            Ok(Progress::Done { value })
        })
        .await
    }

    async fn restore(&self, params: RestoreParams) -> Result<Progress<Machine>, ProviderError> {
        self.work(move |lab| {
            let (machine, snapshot) = (params.machine.as_str(), params.snapshot.as_str());
            let value = once(lab.place(), &params.mutation, "restore", json!([machine, snapshot]), || {
                lab.restore(machine, snapshot).map_err(failure)?;
                get(lab, machine)
            })?;
            Ok(Progress::Done { value })
        })
        .await
    }

    async fn create(&self, params: CreateParams) -> Result<Progress<Machine>, ProviderError> {
        self.work(move |lab| {
            // The user-data holds a join token, which is another at every try.
            let arguments = json!([params.spec]);
            let made = once(lab.place(), &params.mutation, "create", arguments, || create(lab, &params))?;
            // As it is now, not as it was when it was made.
            Ok(Progress::Done { value: get(lab, made.id.as_str())? })
        })
        .await
    }

    async fn get(&self, params: GetParams) -> Result<Machine, ProviderError> {
        self.work(move |lab| get(lab, params.machine.as_str())).await
    }

    async fn stop(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let value = self.change(params, "stop", Lab::stop).await?;
        Ok(Progress::Done { value })
    }

    async fn start(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let value = self.change(params, "start", Lab::start).await?;
        Ok(Progress::Done { value })
    }

    async fn delete(&self, params: DeleteParams) -> Result<Progress<()>, ProviderError> {
        self.work(move |lab| {
            let arguments = json!([params.target]);
            once(lab.place(), &params.mutation, "delete", arguments, || {
                match &params.target {
                    Deletable::Machine(id) => lab.destroy(id.as_str()),
                    Deletable::Snapshot(id) => lab.delete_snapshot(id.as_str()),
                }
                .map_err(failure)
            })?;
            Ok(Progress::Done { value: () })
        })
        .await
    }

    async fn deregister(&self, params: MachineParams) -> Result<Progress<()>, ProviderError> {
        self.change(params, "deregister", Lab::deregister).await?;
        Ok(Progress::Done { value: () })
    }

    async fn register(&self, params: MachineParams) -> Result<Progress<()>, ProviderError> {
        self.change(params, "register", Lab::register).await?;
        Ok(Progress::Done { value: () })
    }

    async fn console_log(&self, params: GetParams) -> Result<String, ProviderError> {
        self.work(move |lab| lab.console(params.machine.as_str()).map_err(failure)).await
    }

    async fn host_run(&self, params: HostRunParams) -> Result<HostOutput, ProviderError> {
        self.work(move |lab| {
            let input = params.stdin.as_deref().map(|text| decode("the standard input", text)).transpose()?;
            let name = params.machine.as_str();
            let run = || {
                let words: Vec<&str> = params.argv.iter().map(String::as_str).collect();
                let output = lab.host_run(name, &words, input.as_deref()).map_err(failure)?;
                Ok(HostOutput {
                    // As a shell tells of a program that a signal ended.
                    status: output.status.code().unwrap_or(255),
                    stdout: STANDARD.encode(output.stdout),
                    stderr: STANDARD.encode(output.stderr),
                })
            };
            match &params.mutation {
                Some(mutation) => {
                    let input = input.as_deref().map(digest);
                    once(lab.place(), mutation, "host_run", json!([name, params.argv, input]), run)
                }
                None => run(),
            }
        })
        .await
    }

    async fn host_read(&self, params: HostReadParams) -> Result<Option<HostFile>, ProviderError> {
        self.work(move |lab| {
            let file = lab.host_read(params.machine.as_str(), &params.path).map_err(failure)?;
            Ok(file.map(|f| HostFile { content: STANDARD.encode(f.content), mode: f.mode }))
        })
        .await
    }

    async fn host_write(&self, params: HostWriteParams) -> Result<(), ProviderError> {
        self.work(move |lab| {
            let file = match &params.file {
                Some(file) => Some(LabFile { content: decode("the file", &file.content)?, mode: file.mode }),
                None => None,
            };
            let name = params.machine.as_str();
            let shown = file.as_ref().map(|f| (digest(&f.content), f.mode));
            once(lab.place(), &params.mutation, "host_write", json!([name, params.path, shown]), || {
                lab.host_write(name, &params.path, file.as_ref()).map_err(failure)
            })
        })
        .await
    }
}
