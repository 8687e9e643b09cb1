//! Groups that keep up a number of machines, and do so against everybody's will unless they are told.

use crate::request::{Answer, No, Params};
use crate::world::{State, World};
use crate::xml::{members, text};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// A group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The fewest, the most, and how many there shall be.
    pub min: i64,
    /// The most.
    pub max: i64,
    /// How many there shall be.
    pub desired: i64,
    /// Its machines, and whether each is in standby.
    pub members: BTreeMap<String, Standing>,
    /// What it does not do at present.
    pub suspended: BTreeSet<String>,
    /// Its own tags.
    pub tags: BTreeMap<String, String>,
    /// Machines that it has made by itself.
    pub spawned: Vec<String>,
    /// Machines that it has ended by itself.
    pub ended: Vec<String>,
}

/// How a machine stands to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts, and is looked after.
    InService,
    /// It does not count, and is left alone.
    Standby,
}

impl Standing {
    fn shown(self) -> &'static str {
        match self {
            Self::InService => "InService",
            Self::Standby => "Standby",
        }
    }
}

impl Group {
    /// How many count.
    pub fn in_service(&self) -> usize {
        self.members.values().filter(|standing| **standing == Standing::InService).count()
    }
}

fn invalid(message: impl Into<String>) -> No {
    No::new("ValidationError", message)
}

impl World {
    /// What groups do by themselves.
    pub(crate) fn settle_groups(&mut self) {
        let names: Vec<String> = self.scaling.keys().cloned().collect();
        for name in names {
            let Some(mut group) = self.scaling.remove(&name) else { continue };
            let ill: Vec<String> = group
                .members
                .iter()
                .filter(|(id, standing)| {
                    let up = self
                        .instances
                        .get(*id)
                        .is_some_and(|i| matches!(i.state, State::Pending | State::Running));
                    **standing == Standing::InService && !up
                })
                .map(|(id, _)| id.clone())
                .collect();
            for id in ill {
                if group.suspended.contains("ReplaceUnhealthy") {
                    continue;
                }
                group.members.remove(&id);
                if let Some(instance) = self.instances.get_mut(&id)
                    && !matches!(instance.state, State::ShuttingDown | State::Terminated)
                {
                    instance.state = State::ShuttingDown;
                    instance.next = Some((Instant::now() + self.pace.end, State::Terminated));
                    group.ended.push(id);
                }
            }
            while (group.in_service() as i64) < group.desired && !group.suspended.contains("Launch") {
                let spawned = self.somebodys_machine(&format!("{name}-spawned"), "m5.large", "subnet-0a1");
                group.members.insert(spawned.clone(), Standing::InService);
                group.spawned.push(spawned);
            }
            self.scaling.insert(name, group);
        }
    }

    fn scaling(&mut self, params: &Params) -> Result<&mut Group, No> {
        let name = params.need("AutoScalingGroupName")?;
        let missing = || invalid(format!("AutoScalingGroup name not found - {name}"));
        self.scaling.get_mut(name).ok_or_else(missing)
    }

    pub(crate) fn describe_scaling_instances(&self, params: &Params) -> Answer {
        let ids = params.list("InstanceIds");
        let found = self
            .scaling
            .iter()
            .flat_map(|(name, group)| group.members.iter().map(move |(id, standing)| (name, id, *standing)));
        let items = found.filter(|(_, id, _)| ids.contains(id)).map(|(name, id, standing)| {
            [
                text("InstanceId", id),
                text("AutoScalingGroupName", name),
                text("LifecycleState", standing.shown()),
                text("HealthStatus", "HEALTHY"),
                text("AvailabilityZone", "eu-central-1a"),
                text("ProtectedFromScaleIn", false),
            ]
            .concat()
        });
        Ok(members("AutoScalingInstances", items))
    }

    pub(crate) fn describe_scaling_groups(&self, params: &Params) -> Answer {
        let names = params.list("AutoScalingGroupNames");
        let found = self.scaling.iter().filter(|(name, _)| names.contains(name));
        let items = found.map(|(name, group)| {
            let suspended = group.suspended.iter().map(|process| text("ProcessName", process));
            let tags = group.tags.iter().map(|(key, value)| {
                [
                    text("Key", key),
                    text("Value", value),
                    text("ResourceId", name),
                    text("ResourceType", "auto-scaling-group"),
                    text("PropagateAtLaunch", false),
                ]
                .concat()
            });
            let instances = group
                .members
                .iter()
                .map(|(id, standing)| text("InstanceId", id) + &text("LifecycleState", standing.shown()));
            [
                text("AutoScalingGroupName", name),
                text("MinSize", group.min),
                text("MaxSize", group.max),
                text("DesiredCapacity", group.desired),
                members("Instances", instances),
                members("SuspendedProcesses", suspended),
                members("Tags", tags),
            ]
            .concat()
        });
        Ok(members("AutoScalingGroups", items))
    }

    pub(crate) fn suspend(&mut self, params: &Params) -> Answer {
        let processes = params.list("ScalingProcesses");
        self.scaling(params)?.suspended.extend(processes);
        Ok(String::new())
    }

    pub(crate) fn resume(&mut self, params: &Params) -> Answer {
        let processes = params.list("ScalingProcesses");
        self.scaling(params)?.suspended.retain(|process| !processes.contains(process));
        Ok(String::new())
    }

    pub(crate) fn tag_group(&mut self, params: &Params, set: bool) -> Answer {
        for tag in params.structures("Tags") {
            let name = tag.need("ResourceId")?;
            let Some(group) = self.scaling.get_mut(name) else {
                return Err(invalid(format!("AutoScalingGroup name not found - {name}")));
            };
            let key = tag.need("Key")?.to_owned();
            if set {
                group.tags.insert(key, tag.get("Value").unwrap_or_default().to_owned());
            } else {
                group.tags.remove(&key);
            }
        }
        Ok(String::new())
    }

    pub(crate) fn attach(&mut self, params: &Params) -> Answer {
        let ids = params.list("InstanceIds");
        for id in &ids {
            if self.instance(id)?.state != State::Running {
                return Err(invalid(format!(
                    "Instance {id} is not in correct state. Instance(s) must be in 'running' state"
                )));
            }
            if let Some((name, _)) = self.scaling.iter().find(|(_, group)| group.members.contains_key(id)) {
                return Err(invalid(format!("Instance {id} is already part of AutoScalingGroup:{name}.")));
            }
        }
        let group = self.scaling(params)?;
        if group.desired + ids.len() as i64 > group.max {
            let message = format!(
                "AutoScalingGroup is at its maximum: cannot increase the desired capacity from {} by {}",
                group.desired,
                ids.len()
            );
            return Err(invalid(message));
        }
        group.desired += ids.len() as i64;
        group.members.extend(ids.into_iter().map(|id| (id, Standing::InService)));
        Ok(String::new())
    }

    pub(crate) fn detach(&mut self, params: &Params) -> Answer {
        let (ids, shrinks) = (params.list("InstanceIds"), params.flag("ShouldDecrementDesiredCapacity"));
        let group = self.scaling(params)?;
        shrink(group, &ids, shrinks == Some(true))?;
        for id in &ids {
            group.members.remove(id);
        }
        Ok(String::new())
    }

    pub(crate) fn enter_standby(&mut self, params: &Params) -> Answer {
        let (ids, shrinks) = (params.list("InstanceIds"), params.flag("ShouldDecrementDesiredCapacity"));
        let group = self.scaling(params)?;
        shrink(group, &ids, shrinks == Some(true))?;
        for id in ids {
            group.members.insert(id, Standing::Standby);
        }
        Ok(String::new())
    }

    pub(crate) fn exit_standby(&mut self, params: &Params) -> Answer {
        let ids = params.list("InstanceIds");
        let group = self.scaling(params)?;
        if group.desired + ids.len() as i64 > group.max {
            return Err(invalid("The desired capacity would be above the maximum"));
        }
        for id in ids {
            group.members.insert(id, Standing::InService);
            group.desired += 1;
        }
        Ok(String::new())
    }

    pub(crate) fn terminate_in_group(&mut self, params: &Params) -> Answer {
        let id = params.need("InstanceId")?.to_owned();
        let until = Instant::now() + self.pace.end;
        let Some(group) = self.scaling.values_mut().find(|group| group.members.contains_key(&id)) else {
            return Err(invalid(format!(
                "Instance Id not found - No managed instance found for instance ID {id}"
            )));
        };
        if params.flag("ShouldDecrementDesiredCapacity") == Some(true) {
            shrink(group, std::slice::from_ref(&id), true)?;
        }
        group.members.remove(&id);
        let instance = self.instance(&id)?;
        instance.state = State::ShuttingDown;
        instance.next = Some((until, State::Terminated));
        instance.reason = Some(("Client.UserInitiatedShutdown".into(), "User initiated shutdown".into()));
        Ok(String::new())
    }
}

fn shrink(group: &mut Group, ids: &[String], shrinks: bool) -> Result<(), No> {
    if let Some(id) = ids.iter().find(|id| group.members.get(*id) != Some(&Standing::InService)) {
        return Err(invalid(format!("The instance {id} is not in service in this group")));
    }
    if shrinks && group.desired - (ids.len() as i64) < group.min {
        let message = format!(
            "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate \
             group's min size constraint.",
            group.min
        );
        return Err(invalid(message));
    }
    if shrinks {
        group.desired -= ids.len() as i64;
    }
    Ok(())
}
