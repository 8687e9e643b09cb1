//! Auto Scaling groups: a stopped member would be replaced, and a new machine beside them rebalanced away. So the
//! old machine leaves its group before it is stopped, its replacement takes its place in it, and in between the group
//! does nothing by itself. Every call goes one step further from what is there.

use crate::instances::{filter, id, is_over};
use crate::provider::{Greeted, Step};
use crate::refusal::Refusal;
use crate::settings::Leaving;
use crate::tags::{self, GROUP, LEFT, REPLACES, SUSPENDED};
use aws_sdk_autoscaling::types::{AutoScalingGroup, LifecycleState, Tag as GroupTag};
use aws_sdk_ec2::types::{Instance, Tag};
use replank_provider_protocol::{ErrorCode, ProviderError};

/// What a group does by itself that would undo a replacement. `Launch`, `Terminate` and `HealthCheck` stay: what
/// the group is asked for needs them.
const PROCESSES: [&str; 5] =
    ["AZRebalance", "AlarmNotification", "ScheduledActions", "ReplaceUnhealthy", "InstanceRefresh"];

/// A machine's place in a group.
struct Membership {
    group: String,
    state: LifecycleState,
}

fn gone(name: &str) -> ProviderError {
    ProviderError::lasting(ErrorCode::NotFound, format!("there is no Auto Scaling group {name}"))
}

impl Greeted {
    fn leaves_groups_alone(&self) -> bool {
        self.settings.groups == Leaving::Never
    }

    /// Whether a machine's group can be known, and is there.
    ///
    /// # Errors
    /// When AWS does not tell.
    pub(crate) async fn reaches_group(&self, like: &Instance) -> Result<(), ProviderError> {
        if self.leaves_groups_alone() {
            return Ok(());
        }
        match self.membership(id(like)).await? {
            Some(membership) => self.group(&membership.group).await.map(drop),
            None => Ok(()),
        }
    }

    async fn membership(&self, machine: &str) -> Result<Option<Membership>, ProviderError> {
        let found =
            self.account.autoscaling.describe_auto_scaling_instances().instance_ids(machine).send().await;
        let found = found.map_err(|e| {
            let what = format!(
                "whether machine {machine} is in an Auto Scaling group can't be known (set `groups: never` in \
                 provider.settings if there are none)"
            );
            Refusal::of("autoscaling:DescribeAutoScalingInstances", &e).about(&what)
        })?;
        let found = found.auto_scaling_instances.unwrap_or_default().into_iter().next();
        Ok(found.and_then(|found| {
            let state = LifecycleState::from(found.lifecycle_state?.as_str());
            Some(Membership { group: found.auto_scaling_group_name?, state })
        }))
    }

    async fn group(&self, name: &str) -> Result<AutoScalingGroup, ProviderError> {
        let request = self.account.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(name);
        let found = request.send().await.map_err(|e| {
            let what = format!("Auto Scaling group {name} can't be looked up");
            Refusal::of("autoscaling:DescribeAutoScalingGroups", &e).about(&what)
        })?;
        found.auto_scaling_groups.unwrap_or_default().into_iter().next().ok_or_else(|| gone(name))
    }

    /// Before a machine is made in the place of a member: the group does nothing by itself from now on. The group's
    /// name, which the new machine carries.
    ///
    /// # Errors
    /// When AWS does not tell or do it.
    pub(crate) async fn hold_group_of(&self, like: &Instance) -> Result<Option<String>, ProviderError> {
        if self.leaves_groups_alone() {
            return Ok(None);
        }
        let Some(membership) = self.membership(id(like)).await? else { return Ok(None) };
        self.suspend(&membership.group).await?;
        Ok(Some(membership.group))
    }

    /// Suspends what would undo a replacement, and writes on the group first what was not suspended before.
    async fn suspend(&self, name: &str) -> Result<(), ProviderError> {
        let group = self.group(name).await?;
        let is_suspended = |process: &str| {
            group.suspended_processes().iter().any(|s| s.process_name.as_deref() == Some(process))
        };
        let ours: Vec<&str> = match written(&group) {
            Some(written) => written.split(' ').filter(|process| !process.is_empty()).collect(),
            None => PROCESSES.into_iter().filter(|process| !is_suspended(process)).collect(),
        };
        if written(&group).is_none() {
            let tag = group_tag(name).value(ours.join(" ")).propagate_at_launch(false).build();
            self.account.autoscaling.create_or_update_tags().tags(tag).send().await.map_err(|e| {
                let what = format!("Auto Scaling group {name} can't be tagged");
                Refusal::of("autoscaling:CreateOrUpdateTags", &e).about(&what)
            })?;
        }
        let missing: Vec<String> =
            ours.into_iter().filter(|process| !is_suspended(process)).map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let request = self.account.autoscaling.suspend_processes().auto_scaling_group_name(name);
        request.set_scaling_processes(Some(missing)).send().await.map(drop).map_err(|e| {
            let what = format!("processes of Auto Scaling group {name} can't be suspended");
            Refusal::of("autoscaling:SuspendProcesses", &e).about(&what)
        })
    }

    /// Gives the group back what was suspended, once no machine is on its way into it.
    async fn give_back(&self, name: &str) -> Result<(), ProviderError> {
        let group = match self.group(name).await {
            Ok(group) => group,
            Err(error) if error.code == ErrorCode::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(ours) = written(&group) else { return Ok(()) };
        let members: Vec<&str> = group.instances().iter().filter_map(|i| i.instance_id.as_deref()).collect();
        let on_their_way = self.instances.all(vec![filter(&format!("tag:{GROUP}"), name)]).await?;
        if on_their_way.iter().any(|instance| !is_over(instance) && !members.contains(&id(instance))) {
            return Ok(());
        }
        let ours: Vec<String> = ours.split(' ').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        if !ours.is_empty() {
            let request = self.account.autoscaling.resume_processes().auto_scaling_group_name(name);
            request.set_scaling_processes(Some(ours)).send().await.map_err(|e| {
                let what = format!("processes of Auto Scaling group {name} can't be resumed");
                Refusal::of("autoscaling:ResumeProcesses", &e).about(&what)
            })?;
        }
        // Last: as long as it is there, they are resumed again.
        let tag = group_tag(name).build();
        self.account.autoscaling.delete_tags().tags(tag).send().await.map(drop).map_err(|e| {
            let what = format!("a tag of Auto Scaling group {name} can't be removed");
            Refusal::of("autoscaling:DeleteTags", &e).about(&what)
        })
    }

    /// The machines that were made in the place of one and are there.
    async fn replacements(&self, machine: &str) -> Result<Vec<Instance>, ProviderError> {
        let mut found = self.instances.all(vec![filter(&format!("tag:{REPLACES}"), machine)]).await?;
        found.retain(|instance| !is_over(instance) && tags::value(instance.tags(), GROUP).is_some());
        Ok(found)
    }

    /// Takes a machine out of its group before it is stopped, and puts its replacement in.
    ///
    /// # Errors
    /// When the group's bounds leave no way, or AWS does not tell or do it.
    pub(crate) async fn leave_group(&self, instance: &Instance) -> Result<Step, ProviderError> {
        if self.leaves_groups_alone() {
            return Ok(Step::Done);
        }
        let machine = id(instance);
        let membership = self.membership(machine).await?;
        let left = tags::value(instance.tags(), LEFT).map(str::to_owned);
        let Some(name) = membership.as_ref().map(|m| m.group.clone()).or(left) else { return Ok(Step::Done) };
        let group = self.group(&name).await?;
        for new in self.replacements(machine).await? {
            if self.membership(id(&new)).await?.is_some() {
                continue;
            }
            if desired(&group) < group.max_size.unwrap_or_default() {
                self.attach(id(&new), &name).await?;
                return Ok(Step::Waits(format!(
                    "machine {} is entering Auto Scaling group {name}",
                    id(&new)
                )));
            }
            if membership.as_ref().is_none_or(|m| m.state != LifecycleState::InService) {
                let message = format!(
                    "machine {} can't enter Auto Scaling group {name}, which is at its maximum of {}: raise it",
                    id(&new),
                    desired(&group)
                );
                return Err(ProviderError::passing(ErrorCode::Exhausted, message));
            }
        }
        match membership.map(|membership| membership.state) {
            None | Some(LifecycleState::Standby) => {
                self.give_back(&name).await?;
                Ok(Step::Done)
            }
            Some(LifecycleState::InService) => {
                self.lets_go(machine, &group, &name)?;
                self.suspend(&name).await?;
                // The machine itself tells where it belongs, and must before it is out.
                if tags::value(instance.tags(), LEFT) != Some(&name) {
                    self.mark(machine, LEFT, &name).await?;
                    let message = format!("machine {machine} is about to leave Auto Scaling group {name}");
                    return Ok(Step::Waits(message));
                }
                self.take_out(machine, &name).await?;
                Ok(Step::Waits(format!("machine {machine} is leaving Auto Scaling group {name}")))
            }
            Some(state) => Ok(Step::Waits(format!(
                "machine {machine} is {} in Auto Scaling group {name}",
                state.as_str()
            ))),
        }
    }

    /// Whether a group would let a machine go.
    fn lets_go(&self, machine: &str, group: &AutoScalingGroup, name: &str) -> Result<(), ProviderError> {
        if desired(group) > group.min_size.unwrap_or_default() {
            return Ok(());
        }
        let message = format!(
            "machine {machine} can't leave Auto Scaling group {name}, which is at its minimum of {}, nor can another \
             one enter before: raise its maximum or lower its minimum by one",
            desired(group)
        );
        Err(ProviderError::lasting(ErrorCode::Invalid, message))
    }

    async fn take_out(&self, machine: &str, name: &str) -> Result<(), ProviderError> {
        let scaling = &self.account.autoscaling_once;
        let what = format!("machine {machine} can't leave Auto Scaling group {name}");
        match self.settings.groups {
            Leaving::Standby => {
                let request = scaling.enter_standby().auto_scaling_group_name(name).instance_ids(machine);
                let done = request.should_decrement_desired_capacity(true).send().await;
                done.map(drop).map_err(|e| Refusal::of("autoscaling:EnterStandby", &e).about(&what))
            }
            Leaving::Detached | Leaving::Never => self.detach(machine, name).await,
        }
    }

    async fn detach(&self, machine: &str, name: &str) -> Result<(), ProviderError> {
        let what = format!("machine {machine} can't leave Auto Scaling group {name}");
        let request = self.account.autoscaling_once.detach_instances().auto_scaling_group_name(name);
        let done = request.instance_ids(machine).should_decrement_desired_capacity(true).send().await;
        done.map(drop).map_err(|e| Refusal::of("autoscaling:DetachInstances", &e).about(&what))
    }

    async fn attach(&self, machine: &str, name: &str) -> Result<(), ProviderError> {
        let what = format!("machine {machine} can't enter Auto Scaling group {name}");
        let request = self.account.autoscaling_once.attach_instances().auto_scaling_group_name(name);
        let done = request.instance_ids(machine).send().await;
        done.map(drop).map_err(|e| Refusal::of("autoscaling:AttachInstances", &e).about(&what))
    }

    /// Puts a machine that runs again back into the group that it was taken out of.
    ///
    /// # Errors
    /// When the group has no room, or AWS does not tell or do it.
    pub(crate) async fn return_to_group(&self, instance: &Instance) -> Result<Step, ProviderError> {
        let left = tags::value(instance.tags(), LEFT).map(str::to_owned);
        let Some(name) = left.filter(|_| !self.leaves_groups_alone()) else { return Ok(Step::Done) };
        let machine = id(instance);
        let membership = self.membership(machine).await?;
        match membership.map(|membership| membership.state) {
            Some(LifecycleState::InService) => {
                let key = Tag::builder().key(LEFT).build();
                let unmarked = self.account.ec2.delete_tags().resources(machine).tags(key).send().await;
                unmarked.map_err(|e| {
                    Refusal::of("ec2:DeleteTags", &e).about(&format!("a tag of {machine} can't be removed"))
                })?;
                self.give_back(&name).await?;
                return Ok(Step::Done);
            }
            Some(LifecycleState::Standby) | None => {}
            Some(state) => {
                let message = format!("machine {machine} is {} in Auto Scaling group {name}", state.as_str());
                return Ok(Step::Waits(message));
            }
        }
        let group = self.group(&name).await?;
        if desired(&group) >= group.max_size.unwrap_or_default() {
            // What took its place makes room; it goes next, or is kept outside.
            for new in self.replacements(machine).await? {
                if self.membership(id(&new)).await?.is_some_and(|m| m.state == LifecycleState::InService) {
                    self.lets_go(id(&new), &group, &name)?;
                    self.suspend(&name).await?;
                    self.detach(id(&new), &name).await?;
                    return Ok(Step::Waits(format!(
                        "machine {} is leaving Auto Scaling group {name}",
                        id(&new)
                    )));
                }
            }
            let message = format!(
                "machine {machine} can't enter Auto Scaling group {name}, which is at its maximum of {}: raise it",
                desired(&group)
            );
            return Err(ProviderError::passing(ErrorCode::Exhausted, message));
        }
        if self.membership(machine).await?.is_some() {
            let request = self.account.autoscaling_once.exit_standby().auto_scaling_group_name(&name);
            let done = request.instance_ids(machine).send().await;
            done.map_err(|e| {
                let what = format!("machine {machine} can't return to Auto Scaling group {name}");
                Refusal::of("autoscaling:ExitStandby", &e).about(&what)
            })?;
        } else {
            self.attach(machine, &name).await?;
        }
        Ok(Step::Waits(format!("machine {machine} is returning to Auto Scaling group {name}")))
    }

    /// Takes a machine out of its group before it is deleted. A group would replace one that ends in it.
    ///
    /// # Errors
    /// When the group's bounds leave no way, or AWS does not tell or do it.
    pub(crate) async fn quit_group(&self, instance: &Instance) -> Result<Step, ProviderError> {
        if self.leaves_groups_alone() {
            return Ok(Step::Done);
        }
        let machine = id(instance);
        let Some(Membership { group: name, state }) = self.membership(machine).await? else {
            return Ok(Step::Done);
        };
        match state {
            LifecycleState::InService => {
                let group = self.group(&name).await?;
                self.lets_go(machine, &group, &name)?;
                self.detach(machine, &name).await?;
                Ok(Step::Waits(format!("machine {machine} is leaving Auto Scaling group {name}")))
            }
            // To detach it from there can make the group end others; the group ends it itself.
            LifecycleState::Standby => {
                let request = self.account.autoscaling_once.terminate_instance_in_auto_scaling_group();
                let ended =
                    request.instance_id(machine).should_decrement_desired_capacity(false).send().await;
                ended.map_err(|e| {
                    let what = format!("machine {machine} can't be deleted in Auto Scaling group {name}");
                    Refusal::of("autoscaling:TerminateInstanceInAutoScalingGroup", &e).about(&what)
                })?;
                Ok(Step::Waits(format!("Auto Scaling group {name} is deleting machine {machine}")))
            }
            LifecycleState::Terminating | LifecycleState::Terminated => Ok(Step::Done),
            state => {
                let message = format!("machine {machine} is {} in Auto Scaling group {name}", state.as_str());
                Ok(Step::Waits(message))
            }
        }
    }

    /// After a machine's end: a group that waited for it goes on.
    ///
    /// # Errors
    /// When AWS does not tell or do it.
    pub(crate) async fn release_group(&self, instance: &Instance) -> Result<(), ProviderError> {
        let name = tags::value(instance.tags(), GROUP).or(tags::value(instance.tags(), LEFT));
        match name.filter(|_| !self.leaves_groups_alone()) {
            Some(name) => self.give_back(name).await,
            None => Ok(()),
        }
    }

    async fn mark(&self, machine: &str, key: &str, value: &str) -> Result<(), ProviderError> {
        let marked =
            self.account.ec2.create_tags().resources(machine).tags(tags::tag(key, value)).send().await;
        marked
            .map(drop)
            .map_err(|e| Refusal::of("ec2:CreateTags", &e).about(&format!("{machine} can't be tagged")))
    }
}

fn desired(group: &AutoScalingGroup) -> i32 {
    group.desired_capacity.unwrap_or_default()
}

/// What replank has suspended of a group.
fn written(group: &AutoScalingGroup) -> Option<&str> {
    let tag = group.tags().iter().find(|tag| tag.key.as_deref() == Some(SUSPENDED));
    tag.map(|tag| tag.value.as_deref().unwrap_or_default())
}

fn group_tag(name: &str) -> aws_sdk_autoscaling::types::builders::TagBuilder {
    GroupTag::builder().resource_id(name).resource_type("auto-scaling-group").key(SUSPENDED)
}
