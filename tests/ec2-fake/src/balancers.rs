//! Load balancers: target groups, and classic ones.

use crate::request::{Answer, No, Params};
use crate::world::{State, World};
use crate::xml::{el, members, text};
use std::collections::BTreeMap;
use std::time::Instant;

/// What a target of a balancer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was put in, and its health is not known until then.
    Since(Instant),
    /// It was taken out, and its connections drain until then.
    Draining(Instant),
}

/// A target group.
#[derive(Clone, Debug, Default)]
pub struct TargetGroup {
    /// `instance` or `ip`.
    pub kind: &'static str,
    /// The usual port.
    pub port: i64,
    /// Targets with their ports.
    pub targets: BTreeMap<(String, i64), Option<Standing>>,
}

/// A classic load balancer: its machines, and until when those that are leaving drain.
#[derive(Clone, Debug, Default)]
pub struct Classic {
    /// Its machines.
    pub machines: BTreeMap<String, Option<Standing>>,
}

/// The ARN of a target group.
pub fn arn(name: &str) -> String {
    format!("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/{name}/0123456789abcdef")
}

fn settled<K: Ord + Clone>(targets: &mut BTreeMap<K, Option<Standing>>, now: Instant) {
    targets.retain(|_, standing| !matches!(standing, Some(Standing::Draining(until)) if *until <= now));
}

impl World {
    pub(crate) fn settle_balancers(&mut self, now: Instant) {
        self.target_groups.values_mut().for_each(|group| settled(&mut group.targets, now));
        self.classic.values_mut().for_each(|balancer| settled(&mut balancer.machines, now));
    }

    fn is_up(&self, target: &str) -> bool {
        self.instances.values().any(|i| (i.id == target || i.address == target) && i.state == State::Running)
    }

    fn target_group(&mut self, params: &Params) -> Result<&mut TargetGroup, No> {
        let wanted = params.need("TargetGroupArn")?;
        let found =
            self.target_groups.iter_mut().find(|(name, _)| arn(name) == wanted).map(|(_, group)| group);
        found.ok_or_else(|| No::new("TargetGroupNotFound", format!("Target group '{wanted}' not found")))
    }

    pub(crate) fn describe_target_groups(&self, params: &Params) -> Answer {
        let names = params.list("Names");
        if let Some(name) = names.iter().find(|name| !self.target_groups.contains_key(*name)) {
            return Err(No::new("TargetGroupNotFound", format!("Target group '{name}' not found")));
        }
        let found = self.target_groups.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
        let items = found.map(|(name, group)| {
            [
                text("TargetGroupArn", arn(name)),
                text("TargetGroupName", name),
                text("TargetType", group.kind),
                text("Port", group.port),
                text("VpcId", "vpc-0"),
            ]
            .concat()
        });
        Ok(members("TargetGroups", items))
    }

    pub(crate) fn describe_target_health(&mut self, params: &Params) -> Answer {
        let now = Instant::now();
        let targets = self.target_group(params)?.targets.clone();
        let items = targets.iter().map(|((id, port), standing)| {
            let state = match standing {
                Some(Standing::Draining(_)) => "draining",
                _ if !self.is_up(id) => "unhealthy",
                Some(Standing::Since(until)) if *until > now => "initial",
                _ => "healthy",
            };
            el("Target", &[text("Id", id), text("Port", port)]) + &el("TargetHealth", &[text("State", state)])
        });
        Ok(members("TargetHealthDescriptions", items.collect::<Vec<_>>()))
    }

    pub(crate) fn register_targets(&mut self, params: &Params) -> Answer {
        let until = Instant::now() + self.pace.boot;
        let group = self.target_group(params)?;
        for target in params.structures("Targets") {
            let port = target.number("Port").unwrap_or(group.port);
            group.targets.insert((target.need("Id")?.to_owned(), port), Some(Standing::Since(until)));
        }
        Ok(String::new())
    }

    pub(crate) fn deregister_targets(&mut self, params: &Params) -> Answer {
        let until = Instant::now() + self.pace.drain;
        let group = self.target_group(params)?;
        for target in params.structures("Targets") {
            let port = target.number("Port").unwrap_or(group.port);
            if let Some(standing) = group.targets.get_mut(&(target.need("Id")?.to_owned(), port))
                && !matches!(standing, Some(Standing::Draining(_)))
            {
                *standing = Some(Standing::Draining(until));
            }
        }
        Ok(String::new())
    }

    pub(crate) fn describe_classic(&self, params: &Params) -> Answer {
        let names = params.list("LoadBalancerNames");
        let found = self.classic.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
        let items = found.map(|(name, balancer)| {
            let in_it = balancer.machines.iter().filter(|(_, s)| !matches!(s, Some(Standing::Draining(_))));
            let in_it = in_it.map(|(id, _)| text("InstanceId", id));
            text("LoadBalancerName", name) + &text("VPCId", "vpc-0") + &members("Instances", in_it)
        });
        Ok(members("LoadBalancerDescriptions", items))
    }

    fn classic(&mut self, params: &Params) -> Result<&mut Classic, No> {
        let name = params.need("LoadBalancerName")?;
        let missing =
            || No::new("LoadBalancerNotFound", format!("There is no ACTIVE Load Balancer named '{name}'"));
        self.classic.get_mut(name).ok_or_else(missing)
    }

    pub(crate) fn describe_classic_health(&mut self, params: &Params) -> Answer {
        let now = Instant::now();
        let machines = self.classic(params)?.machines.clone();
        let mut items = Vec::new();
        for asked in params.structures("Instances") {
            let id = asked.need("InstanceId")?.to_owned();
            let (state, why) = match machines.get(&id) {
                None => ("OutOfService", "Instance is not currently registered with the LoadBalancer."),
                Some(Some(Standing::Draining(_))) => {
                    ("InService", "Instance deregistration currently in progress.")
                }
                Some(_) if !self.is_up(&id) => ("OutOfService", "Instance has failed the health checks."),
                Some(Some(Standing::Since(until))) if *until > now => {
                    ("OutOfService", "Instance registration is still in progress.")
                }
                Some(_) => ("InService", "N/A"),
            };
            items.push(text("InstanceId", id) + &text("State", state) + &text("Description", why));
        }
        Ok(members("InstanceStates", items))
    }

    pub(crate) fn register_classic(&mut self, params: &Params) -> Answer {
        let until = Instant::now() + self.pace.boot;
        let balancer = self.classic(params)?;
        for machine in params.structures("Instances") {
            balancer.machines.insert(machine.need("InstanceId")?.to_owned(), Some(Standing::Since(until)));
        }
        Ok(String::new())
    }

    pub(crate) fn deregister_classic(&mut self, params: &Params) -> Answer {
        let until = Instant::now() + self.pace.drain;
        let balancer = self.classic(params)?;
        for machine in params.structures("Instances") {
            if let Some(standing) = balancer.machines.get_mut(machine.need("InstanceId")?) {
                *standing = Some(Standing::Draining(until));
            }
        }
        Ok(String::new())
    }
}
