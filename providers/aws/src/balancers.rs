//! Load balancers: target groups and classic ones. What a machine was in is written on it before it is taken out, so
//! that it, or the machine that takes its place, can be put in again.

use crate::instances::{id, is_over, state};
use crate::provider::Greeted;
use crate::refusal::{Meaning, Refusal};
use crate::tags::{self, CLASSIC, REPLACES, TARGET, tag};
use aws_sdk_ec2::types::{Instance, InstanceStateName, Tag};
use aws_sdk_elasticloadbalancing::types::Instance as ClassicMember;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetGroup, TargetHealthReasonEnum, TargetHealthStateEnum, TargetTypeEnum,
};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use replank_provider_protocol::ProviderError;
use replank_provider_protocol::verbs::{MachineParams, Progress};
use serde_json::json;
use std::collections::BTreeMap;

/// How many target groups are asked about at once: the API allows a burst of a few dozen calls.
const AT_ONCE: usize = 4;

/// One place that a machine has in a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A port in a target group.
    Target { name: String, port: i32 },
    /// A classic load balancer.
    Classic { name: String },
}

/// How a machine stands in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Connections come to it.
    Healthy,
    /// It is in, and no connections come yet, or any more.
    NotYet(String),
    /// It was taken out, and old connections end.
    Draining,
}

impl Place {
    fn told(&self) -> String {
        match self {
            Self::Target { name, port } => format!("port {port} of target group {name}"),
            Self::Classic { name } => format!("load balancer {name}"),
        }
    }

    /// The tag that says that a machine was in it.
    fn tag(&self) -> Tag {
        match self {
            Self::Target { name, port } => tag(&format!("{TARGET}{name}"), port.to_string()),
            Self::Classic { name } => tag(&format!("{CLASSIC}{name}"), ""),
        }
    }

    fn read(tag: &Tag) -> Option<Self> {
        let key = tag.key.as_deref()?;
        if let Some(name) = key.strip_prefix(CLASSIC) {
            return Some(Self::Classic { name: name.into() });
        }
        let (name, port) = (key.strip_prefix(TARGET)?, tag.value.as_deref()?.parse().ok()?);
        Some(Self::Target { name: name.into(), port })
    }
}

/// What a target group knows a machine by.
fn target_id(group: &TargetGroup, instance: &Instance) -> Option<String> {
    match group.target_type {
        Some(TargetTypeEnum::Instance) | None => Some(id(instance).to_owned()),
        Some(TargetTypeEnum::Ip) => instance.private_ip_address.clone(),
        _ => None,
    }
}

impl Greeted {
    /// Takes a machine out of its load balancers; done when its connections have drained.
    ///
    /// # Errors
    /// As the protocol says for `deregister`.
    pub async fn deregister(&self, params: &MachineParams) -> Result<Progress<()>, ProviderError> {
        let _turn = self.ledger.turn(&params.mutation).await;
        let seen = self.ledger.look(&params.mutation, "deregister", &json!([params.machine])).await?;
        let instance = self.instances.get(&params.machine).await?;
        let machine = id(&instance);
        if seen.is_done(machine) {
            return Ok(Progress::Done { value: () });
        }
        let groups = self.target_groups(&instance, None).await?;
        let places = self.places(&instance, &groups).await?;
        if places.is_empty() {
            self.ledger.end(&seen, machine).await?;
            return Ok(Progress::Done { value: () });
        }
        self.ledger.begin_once(&seen, machine, instance.tags()).await?;
        let leaving: Vec<&Place> = places
            .iter()
            .filter(|(_, standing)| **standing != Standing::Draining)
            .map(|(place, _)| place)
            .collect();
        // The machine itself tells where it was, and must before it is out.
        let marks: Vec<Tag> =
            leaving.iter().map(|place| place.tag()).filter(|tag| !instance.tags().contains(tag)).collect();
        let told: Vec<_> = places.keys().map(Place::told).collect();
        if !marks.is_empty() {
            let marked = self.account.ec2.create_tags().resources(machine).set_tags(Some(marks)).send().await;
            marked.map_err(|e| {
                Refusal::of("ec2:CreateTags", &e).about(&format!("{machine} can't be tagged"))
            })?;
            let message = format!("machine {machine} is about to be taken out of {}", told.join(", "));
            return Ok(Progress::Pending { message });
        }
        for place in leaving {
            self.take_out_of(place, &instance, &groups).await?;
        }
        Ok(Progress::Pending {
            message: format!("connections to {machine} are draining: {}", told.join(", ")),
        })
    }

    /// Puts a machine into the load balancers that it, or the one in whose place it is, was in; done when it is
    /// healthy there.
    ///
    /// # Errors
    /// As the protocol says for `register`.
    pub async fn register(&self, params: &MachineParams) -> Result<Progress<()>, ProviderError> {
        let _turn = self.ledger.turn(&params.mutation).await;
        let seen = self.ledger.look(&params.mutation, "register", &json!([params.machine])).await?;
        let instance = self.instances.get(&params.machine).await?;
        let machine = id(&instance);
        if seen.is_done(machine) {
            return Ok(Progress::Done { value: () });
        }
        let wanted = self.wanted_places(&instance).await?;
        if wanted.is_empty() {
            self.ledger.end(&seen, machine).await?;
            return Ok(Progress::Done { value: () });
        }
        self.ledger.begin_once(&seen, machine, instance.tags()).await?;
        let names = wanted.iter().filter_map(|place| match place {
            Place::Target { name, .. } => Some(name.clone()),
            Place::Classic { .. } => None,
        });
        let groups = self.target_groups(&instance, Some(names.collect())).await?;
        let places = self.places(&instance, &groups).await?;
        let mut waits = Vec::new();
        for place in &wanted {
            match places.get(place) {
                Some(Standing::Healthy) => {}
                Some(Standing::NotYet(why)) => waits.push(format!("{}: {why}", place.told())),
                Some(Standing::Draining) | None => {
                    self.put_into(place, &instance, &groups).await?;
                    waits.push(format!("{}: it is being put in", place.told()));
                }
            }
        }
        if waits.is_empty() {
            self.ledger.end(&seen, machine).await?;
            return Ok(Progress::Done { value: () });
        }
        Ok(Progress::Pending {
            message: format!("machine {machine} is not healthy yet in {}", waits.join("; ")),
        })
    }

    /// Whether a machine's load balancers can be known.
    ///
    /// # Errors
    /// When AWS does not tell.
    pub(crate) async fn reaches_balancers(&self, instance: &Instance) -> Result<(), ProviderError> {
        let groups = self.target_groups(instance, None).await?;
        self.places(instance, &groups).await.map(drop)
    }

    /// Where a machine belongs: where it was before, or where the one was, or is, in whose place it is.
    async fn wanted_places(&self, instance: &Instance) -> Result<Vec<Place>, ProviderError> {
        let written =
            |instance: &Instance| instance.tags().iter().filter_map(Place::read).collect::<Vec<_>>();
        let own = written(instance);
        if !own.is_empty() {
            return Ok(own);
        }
        let Some(before) = tags::value(instance.tags(), REPLACES) else { return Ok(Vec::new()) };
        let Some(before) = self.instances.find(before).await? else { return Ok(Vec::new()) };
        let mut all = written(&before);
        if !is_over(&before) {
            let groups = self.target_groups(&before, None).await?;
            all.extend(self.places(&before, &groups).await?.into_keys());
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// The target groups that may concern a machine.
    async fn target_groups(
        &self,
        instance: &Instance,
        names: Option<Vec<String>>,
    ) -> Result<Vec<TargetGroup>, ProviderError> {
        let named = names.or_else(|| self.settings.load_balancers.target_groups.clone());
        if named.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let request = self.account.target_groups.describe_target_groups().set_names(named);
        let mut found = request.into_paginator().items().send();
        let mut groups = Vec::new();
        while let Some(group) = found.next().await {
            groups.push(group.map_err(|e| {
                let what = "the target groups can't be looked up";
                Refusal::of("elasticloadbalancing:DescribeTargetGroups", &e).about(what)
            })?);
        }
        groups.retain(|group| instance.vpc_id.is_none() || group.vpc_id == instance.vpc_id);
        Ok(groups)
    }

    /// Where a machine is, and how it stands there.
    async fn places(
        &self,
        instance: &Instance,
        groups: &[TargetGroup],
    ) -> Result<BTreeMap<Place, Standing>, ProviderError> {
        let asked: Vec<BoxFuture<'_, _>> =
            groups.iter().map(|group| self.places_in(instance, group).boxed()).collect();
        let found: Vec<Vec<(Place, Standing)>> =
            futures::stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut places: BTreeMap<_, _> = found.into_iter().flatten().collect();
        places.extend(self.classic_places(instance).await?);
        Ok(places)
    }

    async fn places_in(
        &self,
        instance: &Instance,
        group: &TargetGroup,
    ) -> Result<Vec<(Place, Standing)>, ProviderError> {
        let (Some(arn), Some(name)) = (&group.target_group_arn, &group.target_group_name) else {
            return Ok(Vec::new());
        };
        let Some(target) = target_id(group, instance) else { return Ok(Vec::new()) };
        let found =
            match self.account.target_groups.describe_target_health().target_group_arn(arn).send().await {
                Ok(found) => found,
                Err(error) => match Refusal::of("elasticloadbalancing:DescribeTargetHealth", &error) {
                    // It went while it was looked at.
                    refusal if refusal.meaning() == Meaning::NotFound => return Ok(Vec::new()),
                    refusal => {
                        return Err(
                            refusal.about(&format!("the health in target group {name} can't be known"))
                        );
                    }
                },
            };
        let mut places = Vec::new();
        for described in found.target_health_descriptions.unwrap_or_default() {
            let Some(of) = described.target.filter(|of| of.id.as_deref() == Some(&target)) else { continue };
            let place =
                Place::Target { name: name.clone(), port: of.port.or(group.port).unwrap_or_default() };
            let health = described.target_health;
            let reason = health.as_ref().and_then(|health| health.reason.as_ref());
            let told = || {
                let told = health.as_ref().and_then(|health| health.description.clone());
                told.or_else(|| reason.map(|reason| reason.as_str().to_owned()))
                    .unwrap_or_else(|| "no reason told".into())
            };
            let standing = match health.as_ref().and_then(|health| health.state.as_ref()) {
                Some(TargetHealthStateEnum::Healthy) => Standing::Healthy,
                Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining) => {
                    Standing::Draining
                }
                // No load balancer uses the group, or none checks it: nothing more can come of it.
                Some(TargetHealthStateEnum::Unused) if reason == Some(&TargetHealthReasonEnum::NotInUse) => {
                    Standing::Healthy
                }
                Some(TargetHealthStateEnum::Unavailable) => Standing::Healthy,
                Some(TargetHealthStateEnum::Unused)
                    if reason == Some(&TargetHealthReasonEnum::NotRegistered) =>
                {
                    continue;
                }
                Some(state) => Standing::NotYet(format!("{} ({})", state.as_str(), told())),
                None => Standing::NotYet("its state is not told".into()),
            };
            places.push((place, standing));
        }
        Ok(places)
    }

    async fn classic_places(&self, instance: &Instance) -> Result<BTreeMap<Place, Standing>, ProviderError> {
        let named = self.settings.load_balancers.classic.clone();
        if named.as_ref().is_some_and(Vec::is_empty) {
            return Ok(BTreeMap::new());
        }
        let machine = id(instance);
        let request = self.account.classic.describe_load_balancers().set_load_balancer_names(named);
        let mut found = request.into_paginator().items().send();
        // One that is draining is not told among a balancer's machines any more: those that it was in are asked too.
        let mut names: Vec<String> = instance
            .tags()
            .iter()
            .filter_map(|tag| tag.key.as_deref()?.strip_prefix(CLASSIC).map(str::to_owned))
            .collect();
        while let Some(balancer) = found.next().await {
            let balancer = balancer.map_err(|e| {
                let what = "the classic load balancers can't be looked up";
                Refusal::of("elasticloadbalancing:DescribeLoadBalancers", &e).about(what)
            })?;
            let is_in =
                balancer.instances().iter().any(|member| member.instance_id.as_deref() == Some(machine));
            names.extend(balancer.load_balancer_name.filter(|_| is_in));
        }
        names.sort();
        names.dedup();
        let mut places = BTreeMap::new();
        for name in names {
            let member = ClassicMember::builder().instance_id(machine).build();
            let request = self.account.classic.describe_instance_health().load_balancer_name(&name);
            let found = match request.instances(member).send().await {
                Ok(found) => found,
                Err(error) => match Refusal::of("elasticloadbalancing:DescribeInstanceHealth", &error) {
                    refusal if refusal.meaning() == Meaning::NotFound => continue,
                    refusal => {
                        return Err(
                            refusal.about(&format!("the health in load balancer {name} can't be known"))
                        );
                    }
                },
            };
            let Some(health) = found.instance_states.unwrap_or_default().into_iter().next() else { continue };
            let told = health.description.unwrap_or_default();
            // The API has no other word for these two than its sentences.
            let standing = if told.contains("deregistration currently in progress") {
                Standing::Draining
            } else if told.contains("not currently registered") {
                continue;
            } else if health.state.as_deref() == Some("InService") {
                Standing::Healthy
            } else {
                Standing::NotYet(told)
            };
            places.insert(Place::Classic { name }, standing);
        }
        Ok(places)
    }

    async fn take_out_of(
        &self,
        place: &Place,
        instance: &Instance,
        groups: &[TargetGroup],
    ) -> Result<(), ProviderError> {
        let what = format!("machine {} can't be taken out of {}", id(instance), place.told());
        match place {
            Place::Target { port, .. } => {
                let Some((arn, target)) = addressed(place, instance, groups, *port) else { return Ok(()) };
                let request = self.account.target_groups.deregister_targets().target_group_arn(arn);
                let done = request.targets(target).send().await;
                done.map(drop)
                    .map_err(|e| Refusal::of("elasticloadbalancing:DeregisterTargets", &e).about(&what))
            }
            Place::Classic { name } => {
                let member = ClassicMember::builder().instance_id(id(instance)).build();
                let request = self.account.classic.deregister_instances_from_load_balancer();
                let done = request.load_balancer_name(name).instances(member).send().await;
                done.map(drop).map_err(|e| {
                    Refusal::of("elasticloadbalancing:DeregisterInstancesFromLoadBalancer", &e).about(&what)
                })
            }
        }
    }

    async fn put_into(
        &self,
        place: &Place,
        instance: &Instance,
        groups: &[TargetGroup],
    ) -> Result<(), ProviderError> {
        // A target group takes running machines only.
        if state(instance) != Some(&InstanceStateName::Running) {
            return Ok(());
        }
        let what = format!("machine {} can't be put into {}", id(instance), place.told());
        match place {
            Place::Target { port, .. } => {
                let Some((arn, target)) = addressed(place, instance, groups, *port) else { return Ok(()) };
                let request = self.account.target_groups.register_targets().target_group_arn(arn);
                let done = request.targets(target).send().await;
                done.map(drop)
                    .map_err(|e| Refusal::of("elasticloadbalancing:RegisterTargets", &e).about(&what))
            }
            Place::Classic { name } => {
                let member = ClassicMember::builder().instance_id(id(instance)).build();
                let request = self.account.classic.register_instances_with_load_balancer();
                let done = request.load_balancer_name(name).instances(member).send().await;
                done.map(drop).map_err(|e| {
                    Refusal::of("elasticloadbalancing:RegisterInstancesWithLoadBalancer", &e).about(&what)
                })
            }
        }
    }
}

/// A place of a target group in the API's words.
fn addressed(
    place: &Place,
    instance: &Instance,
    groups: &[TargetGroup],
    port: i32,
) -> Option<(String, TargetDescription)> {
    let Place::Target { name, .. } = place else { return None };
    let group = groups.iter().find(|group| group.target_group_name.as_ref() == Some(name))?;
    let target = TargetDescription::builder().id(target_id(group, instance)?).port(port).build();
    Some((group.target_group_arn.clone()?, target))
}
