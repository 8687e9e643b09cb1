//! Instances as machines.

use crate::refusal::{Meaning, Refusal};
use crate::tags::{self, CLUSTER, NAME, RUN};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    DeviceType, Filter, Instance, InstanceBlockDeviceMapping, InstanceLifecycleType, InstanceStateName,
    Reservation, Tag,
};
use replank_provider_protocol::{
    ErrorCode, Keeping, Machine, MachineId, MachineState, NodeFacts, ProviderError, RunId,
};
use std::net::IpAddr;

/// The states in which an instance is still there.
const THERE: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

/// Where an instance is in its life.
pub fn state(instance: &Instance) -> Option<&InstanceStateName> {
    instance.state.as_ref().and_then(|state| state.name.as_ref())
}

/// Its id.
pub fn id(instance: &Instance) -> &str {
    instance.instance_id.as_deref().unwrap_or_default()
}

/// Whether it is gone or going, which nothing can stop.
pub fn is_over(instance: &Instance) -> bool {
    matches!(state(instance), Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown))
}

/// The zone that it is in.
pub fn zone(instance: &Instance) -> Option<&str> {
    instance.placement.as_ref().and_then(|placement| placement.availability_zone.as_deref())
}

/// Why EC2 ended it by itself, if it did.
pub fn ended_by_itself(instance: &Instance) -> Option<&str> {
    let code = instance.state_reason.as_ref().and_then(|reason| reason.code.as_deref())?;
    (is_over(instance) && !code.starts_with("Client.UserInitiated")).then_some(code)
}

/// An instance as a machine.
pub fn machine(instance: &Instance) -> Machine {
    let made = tags::map(instance.tags());
    let id = id(instance);
    let name = made.get(NAME).or(instance.private_dns_name.as_ref());
    let addresses = [&instance.private_ip_address, &instance.ipv6_address, &instance.public_ip_address];
    Machine {
        id: MachineId::new(id),
        name: name.cloned().unwrap_or_else(|| id.to_owned()),
        state: match state(instance) {
            Some(InstanceStateName::Running) => MachineState::Running,
            Some(InstanceStateName::Stopped) => MachineState::Stopped,
            Some(InstanceStateName::Stopping) => MachineState::Stopping,
            _ if ended_by_itself(instance).is_some() => MachineState::Failed,
            Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated) => MachineState::Stopping,
            _ => MachineState::Pending,
        },
        provider_id: zone(instance).map(|zone| format!("aws:///{zone}/{id}")),
        // Another one than the API shows, on most types.
        system_uuid: None,
        addresses: addresses.into_iter().flatten().filter_map(|a| a.parse::<IpAddr>().ok()).collect(),
        run: tags::run(instance.tags()),
        labels: made.into_iter().filter(|(key, _)| key != NAME && !is_bookkeeping(key)).collect(),
    }
}

fn is_bookkeeping(key: &str) -> bool {
    [tags::OPERATION, tags::TRIED, tags::TARGET, tags::CLASSIC].iter().any(|prefix| key.starts_with(prefix))
        || [tags::EPOCH, tags::LEFT].contains(&key)
}

/// Whether this very instance can be stopped and kept.
pub fn keeping(instance: &Instance) -> Keeping {
    let spot = instance.instance_lifecycle == Some(InstanceLifecycleType::Spot);
    let instance_store = instance.root_device_type == Some(DeviceType::InstanceStore);
    if spot || instance_store { Keeping::Lost } else { Keeping::Stopped }
}

/// The volumes that belong to the instance, and not to a pod: those that go with it.
pub fn own_volumes(instance: &Instance) -> Vec<&InstanceBlockDeviceMapping> {
    let root = instance.root_device_name.as_deref();
    let own = |mapping: &&InstanceBlockDeviceMapping| {
        let goes_with_it = mapping.ebs.as_ref().and_then(|ebs| ebs.delete_on_termination) == Some(true);
        goes_with_it || mapping.device_name.as_deref() == root
    };
    instance.block_device_mappings().iter().filter(own).collect()
}

/// Looks instances up.
#[derive(Clone, Debug)]
pub struct Instances {
    ec2: Client,
}

impl Instances {
    /// Looks instances up in an account.
    pub fn new(ec2: Client) -> Self {
        Self { ec2 }
    }

    /// One instance, whatever its state; none if EC2 knows none.
    ///
    /// # Errors
    /// When EC2 does not tell.
    pub async fn find(&self, id: &str) -> Result<Option<Instance>, ProviderError> {
        if !is_id(id) {
            return Ok(None);
        }
        match self.ec2.describe_instances().instance_ids(id).send().await {
            Ok(found) => Ok(found.reservations().iter().flat_map(Reservation::instances).next().cloned()),
            Err(error) => match Refusal::of("ec2:DescribeInstances", &error) {
                refusal if refusal.meaning() == Meaning::NotFound => Ok(None),
                refusal => Err(refusal.about(&format!("machine {id} can't be looked up"))),
            },
        }
    }

    /// One instance that is there.
    ///
    /// # Errors
    /// `not_found` if there is none or it is terminated; when EC2 does not tell.
    pub async fn get(&self, id: &MachineId) -> Result<Instance, ProviderError> {
        let found = self.find(id.as_str()).await?;
        let gone = |instance: &Instance| {
            state(instance) == Some(&InstanceStateName::Terminated) && ended_by_itself(instance).is_none()
        };
        found.filter(|instance| !gone(instance)).ok_or_else(|| none(id))
    }

    /// Everything that was made for a cluster or one of its runs and is still there, by id.
    ///
    /// # Errors
    /// When EC2 does not tell: a part of the list is none.
    pub async fn made_for(&self, cluster: &str, run: Option<&RunId>) -> Result<Vec<Instance>, ProviderError> {
        let mut filters = vec![
            filter(&format!("tag:{CLUSTER}"), cluster),
            Filter::builder()
                .name("instance-state-name")
                .set_values(Some(THERE.map(str::to_owned).into()))
                .build(),
        ];
        filters.extend(run.map(|run| filter(&format!("tag:{RUN}"), run.as_str())));
        let mut made = self.all(filters).await?;
        // A filter takes `*` for any characters.
        made.retain(|instance| is_made_for(instance.tags(), cluster, run));
        Ok(made)
    }

    /// All instances that fit, by id.
    pub(crate) async fn all(&self, filters: Vec<Filter>) -> Result<Vec<Instance>, ProviderError> {
        let mut pages =
            self.ec2.describe_instances().set_filters(Some(filters)).into_paginator().page_size(PAGE).send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| {
                Refusal::of("ec2:DescribeInstances", &e).about("the machines can't be listed")
            })?;
            all.extend(
                page.reservations
                    .unwrap_or_default()
                    .into_iter()
                    .flat_map(|r| r.instances.unwrap_or_default()),
            );
        }
        all.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
        Ok(all)
    }

    /// The instance that a Node is.
    ///
    /// # Errors
    /// `not_found` if none is; `invalid` if several could be; when EC2 does not tell.
    pub async fn of_node(&self, node: &NodeFacts, vpc: Option<&str>) -> Result<Instance, ProviderError> {
        let missing =
            || ProviderError::lasting(ErrorCode::NotFound, format!("no instance is node {}", node.name));
        if let Some(provider_id) = &node.provider_id {
            let id = provider_id.strip_prefix("aws://").and_then(|rest| rest.rsplit('/').next());
            let id = id.filter(|id| is_id(id)).ok_or_else(missing)?;
            return self.get(&MachineId::new(id)).await;
        }
        // EC2 tells no system UUID, but a Node without a provider id has the address of its instance.
        let addresses: Vec<String> =
            node.addresses.iter().filter(|a| a.parse::<IpAddr>().is_ok()).cloned().collect();
        if addresses.is_empty() {
            return Err(missing());
        }
        let mut filters = vec![
            Filter::builder().name("private-ip-address").set_values(Some(addresses.clone())).build(),
            Filter::builder()
                .name("instance-state-name")
                .set_values(Some(THERE.map(str::to_owned).into()))
                .build(),
        ];
        filters.extend(vpc.map(|vpc| filter("vpc-id", vpc)));
        let mut found = self.all(filters).await?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(missing()),
            (Some(instance), true) => Ok(instance),
            (Some(_), false) => {
                let message = format!(
                    "several instances have an address of node {} ({}): name its VPC as `vpc` in provider.settings",
                    node.name,
                    addresses.join(", ")
                );
                Err(ProviderError::lasting(ErrorCode::Invalid, message))
            }
        }
    }
}

/// Whether tags say that a thing was made for a cluster, and for a run of it.
pub fn is_made_for(found: &[Tag], cluster: &str, run: Option<&RunId>) -> bool {
    tags::value(found, CLUSTER) == Some(cluster)
        && run.is_none_or(|run| tags::value(found, RUN) == Some(run.as_str()))
}

/// How many instances a page holds; EC2 allows up to 1000, and answers large pages slowly.
const PAGE: i32 = 200;

/// Whether a name can be an instance's: what can't is asked nobody for.
pub fn is_id(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Says that there is no such machine.
pub fn none(id: &MachineId) -> ProviderError {
    ProviderError::lasting(ErrorCode::NotFound, format!("there is no machine {id}"))
}

/// A filter with one value.
pub fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}
