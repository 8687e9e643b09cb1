//! The verbs over the machine API.

use crate::kubeconfig;
use crate::transport::Transport;
use crate::wire::{Items, WireFile, WireMachine, WireMutation, WireOutput, WireSnapshot};
use async_trait::async_trait;
use http::Method;
use replank_provider_kit::Provider;
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput,
    HostReadParams, HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing,
    MachineParams, MachineSpec, Mutation, Progress, RestoreParams,
};
use replank_provider_protocol::{
    Capabilities, ErrorCode, Keeping, Machine, MachineId, MachineState, ProviderError, Replacement, RunId,
    Snapshot, SnapshotKind, SnapshotState,
};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// The label that ties a machine to a cluster, so that `list` finds what earlier runs left.
const CLUSTER_LABEL: &str = "replank.dev/cluster";

/// Machines of the embedded cluster.
#[derive(Clone)]
pub struct SimulatorProvider {
    transport: Transport,
    replacement: Arc<OnceLock<Replacement>>,
}

impl SimulatorProvider {
    /// A provider that reaches the machine API through a client of the embedded cluster.
    pub fn new(client: kube::Client) -> Self {
        Self { transport: Transport::new(client), replacement: Arc::default() }
    }

    /// A provider that connects when it is initialized, by the kubeconfig that its settings or the
    /// environment name.
    pub fn unconnected() -> Self {
        Self { transport: Transport::unconnected(), replacement: Arc::default() }
    }

    fn replacement(&self) -> Replacement {
        self.replacement.get().copied().unwrap_or_default()
    }

    async fn machine(&self, id: &MachineId) -> Result<Machine, ProviderError> {
        let wire: WireMachine = self.transport.json(Method::GET, &format!("/machines/{id}"), None).await?;
        Ok(wire.into())
    }

    async fn machines(&self) -> Result<Vec<Machine>, ProviderError> {
        let list: Items<WireMachine> = self.transport.json(Method::GET, "/machines", None).await?;
        Ok(list.items.into_iter().map(Machine::from).collect())
    }

    async fn act(&self, params: &MachineParams, verb: &str) -> Result<Value, ProviderError> {
        let path = format!("/machines/{}/{verb}", params.machine);
        self.transport.json(Method::POST, &path, Some(&mutation(&params.mutation))).await
    }
}

fn mutation(mutation: &Mutation) -> Value {
    json!(WireMutation {
        operation_id: mutation.operation.to_string(),
        run: mutation.run.to_string(),
        cluster: mutation.cluster.clone(),
        epoch: mutation.epoch.0,
    })
}

fn query(mutation: &Mutation) -> String {
    format!(
        "operationId={}&run={}&cluster={}&epoch={}",
        encode(mutation.operation.as_str()),
        encode(mutation.run.as_str()),
        encode(&mutation.cluster),
        mutation.epoch
    )
}

/// Percent-encodes a query value.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                char::from(b).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ProviderError> {
    serde_json::from_value(value).map_err(|error| {
        ProviderError::lasting(ErrorCode::Internal, format!("the machine API answered unexpectedly: {error}"))
    })
}

/// Done unless the machine is still on its way. One that is neither there nor on its way was sent
/// elsewhere by a later call: what this one was for has happened.
fn unless(on_its_way: MachineState, machine: Machine) -> Progress<Machine> {
    if machine.state == on_its_way {
        Progress::Pending { message: format!("machine {} is {:?}", machine.id, machine.state).to_lowercase() }
    } else {
        Progress::Done { value: machine }
    }
}

#[async_trait]
impl Provider for SimulatorProvider {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, ProviderError> {
        if !params.protocol_versions.contains(&1) {
            return Err(ProviderError::lasting(
                ErrorCode::Invalid,
                "this provider speaks protocol version 1 only",
            ));
        }
        let settings = kubeconfig::read(&params.settings)?;
        let replacement = if settings.in_place { Replacement::InPlace } else { Replacement::Fresh };
        let replacement = *self.replacement.get_or_init(|| replacement);
        if !self.transport.is_connected() {
            self.transport.connect(kubeconfig::connect(settings).await?);
        }
        // It is only an example: one that can't be had now is left out.
        let machines = self.machines().await.unwrap_or_default();
        let example = machines.into_iter().find(|m| m.run.is_none()).map(|m| m.id);
        Ok(InitializeResult {
            protocol_version: 1,
            name: "simulator".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities {
                snapshot: SnapshotKind::Disk,
                replacement,
                keeping: Keeping::Stopped,
                hosts: true,
                load_balancer: true,
            },
            example,
        })
    }

    async fn validate(&self, params: MachineSpec) -> Result<(), ProviderError> {
        self.machine(&params.like).await.map(drop)
    }

    async fn find(&self, params: FindParams) -> Result<Found, ProviderError> {
        let node = &params.node;
        let is_it = |m: &Machine| {
            (m.provider_id.is_some() && m.provider_id == node.provider_id)
                || (m.system_uuid.is_some() && m.system_uuid == node.system_uuid)
        };
        match self.machines().await?.into_iter().find(is_it) {
            Some(machine) => Ok(Found { machine, keeping: Keeping::Stopped }),
            None => {
                Err(ProviderError::lasting(ErrorCode::NotFound, format!("no machine is node {}", node.name)))
            }
        }
    }

    async fn list(&self, params: ListParams) -> Result<Listing, ProviderError> {
        let ours = |run: &Option<RunId>| match &params.run {
            Some(wanted) => run.as_ref() == Some(wanted),
            None => run.is_some(),
        };
        let machines = self
            .machines()
            .await?
            .into_iter()
            .filter(|m| ours(&m.run) && m.labels.get(CLUSTER_LABEL).is_none_or(|c| *c == params.cluster));
        let snapshots: Items<WireSnapshot> = self.transport.json(Method::GET, "/snapshots", None).await?;
        let of_cluster = |s: &WireSnapshot| s.cluster.as_ref().is_none_or(|c| *c == params.cluster);
        let snapshots =
            snapshots.items.into_iter().filter(of_cluster).map(Snapshot::from).filter(|s| ours(&s.run));
        Ok(Listing { machines: machines.collect(), snapshots: snapshots.collect() })
    }

    async fn snapshot(&self, params: MachineParams) -> Result<Progress<Snapshot>, ProviderError> {
        let snapshot: Snapshot = parse::<WireSnapshot>(self.act(&params, "snapshots").await?)?.into();
        match snapshot.state {
            SnapshotState::Ready => Ok(Progress::Done { value: snapshot }),
            SnapshotState::Pending => {
                Ok(Progress::Pending { message: format!("snapshot {} is being taken", snapshot.id) })
            }
            SnapshotState::Failed => Err(ProviderError::lasting(
                ErrorCode::Internal,
                format!("snapshot {} of machine {} failed", snapshot.id, snapshot.machine),
            )),
        }
    }

    async fn restore(&self, params: RestoreParams) -> Result<Progress<Machine>, ProviderError> {
        let mut body = mutation(&params.mutation);
        body["machine"] = json!(params.machine);
        let path = format!("/snapshots/{}/restore", params.snapshot);
        let wire: WireMachine = self.transport.json(Method::POST, &path, Some(&body)).await?;
        Ok(Progress::Done { value: wire.into() })
    }

    async fn create(&self, params: CreateParams) -> Result<Progress<Machine>, ProviderError> {
        let mut body = mutation(&params.mutation);
        let mut labels = params.spec.labels.clone();
        labels.insert(CLUSTER_LABEL.into(), params.mutation.cluster.clone());
        body["name"] = json!(params.spec.name);
        body["role"] = json!(params.spec.role);
        let model = match self.replacement() {
            Replacement::Fresh => "like",
            Replacement::InPlace => "again",
        };
        body[model] = json!(params.spec.like);
        body["labels"] = json!(labels);
        body["userData"] = json!(params.user_data);
        let wire: WireMachine = self.transport.json(Method::POST, "/machines", Some(&body)).await?;
        let machine = Machine::from(wire);
        if machine.state == MachineState::Failed {
            let message = format!("machine {} ({}) failed to start", machine.name, machine.id);
            return Err(ProviderError::lasting(ErrorCode::Internal, message));
        }
        // The machine exists from now on; whether it boots is for the caller to watch.
        Ok(Progress::Done { value: machine })
    }

    async fn get(&self, params: GetParams) -> Result<Machine, ProviderError> {
        self.machine(&params.machine).await
    }

    async fn stop(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let wire: WireMachine = parse(self.act(&params, "stop").await?)?;
        Ok(unless(MachineState::Stopping, wire.into()))
    }

    async fn start(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let wire: WireMachine = parse(self.act(&params, "start").await?)?;
        Ok(unless(MachineState::Pending, wire.into()))
    }

    async fn delete(&self, params: DeleteParams) -> Result<Progress<()>, ProviderError> {
        let query = query(&params.mutation);
        let path = match &params.target {
            Deletable::Machine(id) => format!("/machines/{id}?{query}"),
            Deletable::Snapshot(id) => format!("/snapshots/{id}?{query}"),
        };
        self.transport.bytes(Method::DELETE, &path, None).await?;
        Ok(Progress::Done { value: () })
    }

    async fn deregister(&self, params: MachineParams) -> Result<Progress<()>, ProviderError> {
        self.act(&params, "deregister").await?;
        Ok(Progress::Done { value: () })
    }

    async fn register(&self, params: MachineParams) -> Result<Progress<()>, ProviderError> {
        self.act(&params, "register").await?;
        Ok(Progress::Done { value: () })
    }

    async fn console_log(&self, params: GetParams) -> Result<String, ProviderError> {
        let bytes =
            self.transport.bytes(Method::GET, &format!("/machines/{}/console", params.machine), None).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn host_run(&self, params: HostRunParams) -> Result<HostOutput, ProviderError> {
        let mut body = params.mutation.as_ref().map_or_else(|| json!({}), mutation);
        body["argv"] = json!(params.argv);
        if let Some(stdin) = &params.stdin {
            body["stdin"] = json!(stdin);
        }
        let path = format!("/machines/{}/host/run", params.machine);
        let wire: WireOutput = self.transport.json(Method::POST, &path, Some(&body)).await?;
        Ok(HostOutput { status: wire.status, stdout: wire.stdout, stderr: wire.stderr })
    }

    async fn host_read(&self, params: HostReadParams) -> Result<Option<HostFile>, ProviderError> {
        let path = format!("/machines/{}/host/file?path={}", params.machine, encode(&params.path));
        match self.transport.json::<WireFile>(Method::GET, &path, None).await {
            Ok(file) => Ok(Some(HostFile { content: file.content, mode: file.mode })),
            Err(error) if error.code == ErrorCode::NotFound => {
                // A missing machine is an error, a missing file an answer.
                self.machine(&params.machine).await.map(|_| None)
            }
            Err(error) => Err(error),
        }
    }

    async fn host_write(&self, params: HostWriteParams) -> Result<(), ProviderError> {
        let path = format!("/machines/{}/host/file?path={}", params.machine, encode(&params.path));
        if let Some(file) = &params.file {
            let mut body = mutation(&params.mutation);
            body["content"] = json!(file.content);
            body["mode"] = json!(file.mode);
            self.transport.bytes(Method::PUT, &path, Some(&body)).await?;
        } else {
            let path = format!("{path}&{}", query(&params.mutation));
            self.transport.bytes(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }
}
