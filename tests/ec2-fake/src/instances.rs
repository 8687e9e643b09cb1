//! Machines.

use crate::faults::Fault;
use crate::request::{Answer, No, Params, allowed};
use crate::tagging::{specified, tag_set};
use crate::world::{Attachment, Instance, State, Tags, World};
use crate::xml::{el, list, maybe, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::time::Instant;

impl World {
    pub(crate) fn run_instances(&mut self, params: &Params, fault: Option<&Fault>) -> Answer {
        let token = params.get("ClientToken").map(str::to_owned);
        if let Some((fingerprint, id)) = token.as_ref().and_then(|token| self.tokens.get(token)) {
            if *fingerprint != params.fingerprint() {
                let message = "Arguments on this idempotent request are inconsistent with arguments used in \
                               previous request(s).";
                return Err(No::new("IdempotentParameterMismatch", message));
            }
            let id = id.clone();
            if matches!(self.instance(&id)?.state, State::Terminated | State::ShuttingDown) {
                let message = format!(
                    "The client token you have provided is associated with {id}, which is terminated"
                );
                return Err(No::new("IdempotentInstanceTerminated", message));
            }
            return Ok(self.reservation(&[&id]));
        }
        let mut merged = self.template(params)?;
        merged.extend(params.shown());
        let get = |key: &str| merged.get(key).cloned();
        let need = |key: &str| get(key).ok_or_else(|| No::new("MissingParameter", format!("no {key}")));
        let (image, kind) = (need("ImageId")?, need("InstanceType")?);
        let interface = params.structures("NetworkInterface").into_iter().next();
        let (subnet, groups) = match &interface {
            Some(_) if params.get("SubnetId").is_some() || get("SecurityGroupId.1").is_some() => {
                let message = "Network interfaces and an instance-level subnet ID or security groups may not be \
                               specified on the same request";
                return Err(No::new("InvalidParameterCombination", message));
            }
            Some(first) => (first.need("SubnetId")?.to_owned(), first.list("SecurityGroupId")),
            None => {
                let groups = (1..).map_while(|n| get(&format!("SecurityGroupId.{n}"))).collect();
                (need("SubnetId")?, groups)
            }
        };
        let Some(root) = self.images.get(&image).map(|image| image.root.clone()) else {
            return Err(No::missing("InvalidAMIID.NotFound", "image", &image));
        };
        if !self.subnets.contains_key(&subnet) {
            return Err(No::missing("InvalidSubnetID.NotFound", "subnet", &subnet));
        }
        if let Some(group) = groups.iter().find(|group| !self.groups.contains_key(*group)) {
            return Err(No::missing("InvalidGroup.NotFound", "security group", group));
        }
        if let Some(data) = params.get("UserData") {
            let length = STANDARD.decode(data).map(|bytes| bytes.len());
            if length.is_err() || length.is_ok_and(|length| length > 16384) {
                return Err(No::new("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data"));
            }
        }
        let tags = specified(params, "instance")?;
        if self.full.contains(&subnet) || self.full.contains(&kind) {
            let message = format!("We currently do not have sufficient {kind} capacity in {subnet}.");
            return Err(No { status: 500, ..No::new("InsufficientInstanceCapacity", message) });
        }
        let now = Instant::now();
        let id = self.id("i");
        let disks = self.disks(params, &id, &subnet, &root, now)?;
        let next = match fault {
            Some(Fault::EndsByItself { .. }) => (now + self.pace.boot, State::Terminated),
            _ => (now + self.pace.boot, State::Running),
        };
        let reason = match fault {
            Some(Fault::EndsByItself { code, message }) => Some((code.clone(), message.clone())),
            _ => None,
        };
        let number = self.instances.len() + 20;
        let mut instance = Instance {
            id: id.clone(),
            image,
            kind,
            address: format!("10.0.{}.{}", number / 250, number % 250),
            subnet,
            groups,
            key: get("KeyName"),
            profile: get("IamInstanceProfile.Arn"),
            source_dest_check: true,
            metadata: (
                get("MetadataOptions.HttpTokens").unwrap_or_else(|| "optional".into()),
                params.number("MetadataOptions.HttpPutResponseHopLimit").unwrap_or(1),
            ),
            spot: false,
            state: State::Pending,
            reason,
            disks,
            tags: Tags::default(),
            user_data: params.get("UserData").map(str::to_owned),
            born: now,
            next: Some(next),
        };
        for (key, value) in tags {
            instance.tags.change(now, &key, Some(&value));
        }
        self.instances.insert(id.clone(), instance);
        if let Some(token) = token {
            self.tokens.insert(token, (params.fingerprint(), id.clone()));
        }
        Ok(self.reservation(&[&id]))
    }

    fn template(&self, params: &Params) -> Result<BTreeMap<String, String>, No> {
        let Some(name) = params.get("LaunchTemplate.LaunchTemplateName") else { return Ok(BTreeMap::new()) };
        let missing = || No::missing("InvalidLaunchTemplateName.NotFoundException", "launch template", name);
        self.templates.get(name).cloned().ok_or_else(missing)
    }

    fn disks(
        &mut self,
        params: &Params,
        instance: &str,
        subnet: &str,
        root: &str,
        now: Instant,
    ) -> Result<Vec<Attachment>, No> {
        let tags = specified(params, "volume")?;
        let mut wanted: BTreeMap<String, Params> = BTreeMap::new();
        wanted.insert(root.to_owned(), Params::default());
        for mapping in params.structures("BlockDeviceMapping") {
            wanted.insert(mapping.need("DeviceName")?.to_owned(), mapping.under("Ebs"));
        }
        let mut disks = Vec::new();
        for (device, ebs) in wanted {
            let id = self.volume_of(subnet, ebs.number("VolumeSize").unwrap_or(8), now);
            if let Some(volume) = self.volumes.get_mut(&id) {
                volume.attached = Some((instance.to_owned(), device.clone()));
                volume.kind = ebs.get("VolumeType").unwrap_or("gp3").to_owned();
                volume.encrypted = ebs.flag("Encrypted").unwrap_or(false);
                for (key, value) in &tags {
                    volume.tags.change(now, key, Some(value));
                }
            }
            let goes_with_it = ebs.flag("DeleteOnTermination").unwrap_or(true);
            disks.push(Attachment { device, volume: id, goes_with_it });
        }
        Ok(disks)
    }

    pub(crate) fn describe_instances(&self, params: &Params) -> Answer {
        let ids = params.list("InstanceId");
        for id in &ids {
            if !id.starts_with("i-") {
                return Err(No::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\"")));
            }
            if !self.instances.get(id).is_some_and(|instance| self.is_seen(instance.born)) {
                return Err(No::missing("InvalidInstanceID.NotFound", "instance", id));
            }
        }
        let filters = params.filters();
        let found = self.instances.values().filter(|instance| {
            (ids.is_empty() || ids.contains(&instance.id))
                && self.is_seen(instance.born)
                && filters.iter().all(|(name, values)| self.fits(instance, name, values))
        });
        let reservations: Vec<String> = found.map(|i| self.reservation(&[&i.id])).collect();
        Ok(self.page(params, "reservationSet", reservations))
    }

    fn fits(&self, instance: &Instance, name: &str, values: &[String]) -> bool {
        if let Some(key) = name.strip_prefix("tag:") {
            let tags = instance.tags.until(self.seen_until());
            return tags.get(key).is_some_and(|value| allowed(values, value));
        }
        match name {
            "instance-state-name" => allowed(values, instance.state.shown().1),
            "private-ip-address" => allowed(values, &instance.address),
            "vpc-id" => self.subnets.get(&instance.subnet).is_some_and(|s| allowed(values, &s.vpc)),
            "instance-id" => allowed(values, &instance.id),
            _ => false,
        }
    }

    fn reservation(&self, ids: &[&str]) -> String {
        let shown = ids.iter().filter_map(|id| self.instances.get(*id)).map(|i| self.shown_instance(i));
        text("reservationId", "r-1") + &text("ownerId", "123456789012") + &list("instancesSet", shown)
    }

    fn shown_instance(&self, instance: &Instance) -> String {
        let (code, name) = instance.state.shown();
        let over = instance.state == State::Terminated;
        let subnet = self.subnets.get(&instance.subnet);
        let root = self.images.get(&instance.image).map_or("/dev/xvda", |image| image.root.as_str());
        let disks = instance.disks.iter().map(|disk| {
            let ebs = [
                text("volumeId", &disk.volume),
                text("status", "attached"),
                text("deleteOnTermination", disk.goes_with_it),
            ];
            text("deviceName", &disk.device) + &el("ebs", &ebs)
        });
        let reason = instance.reason.as_ref().filter(|_| name != "pending" && name != "running");
        [
            text("instanceId", &instance.id),
            text("imageId", &instance.image),
            el("instanceState", &[text("code", code), text("name", name)]),
            text("privateDnsName", format!("ip-{}", instance.address.replace('.', "-"))),
            text("instanceType", &instance.kind),
            maybe("keyName", instance.key.as_ref()),
            el(
                "placement",
                &[
                    maybe("availabilityZone", subnet.map(|s| &s.zone)),
                    text("tenancy", "default"),
                    text("groupName", ""),
                ],
            ),
            el("monitoring", &[text("state", "disabled")]),
            if over { String::new() } else { text("subnetId", &instance.subnet) },
            maybe("vpcId", subnet.filter(|_| !over).map(|s| &s.vpc)),
            maybe("privateIpAddress", Some(&instance.address).filter(|_| !over)),
            text("sourceDestCheck", instance.source_dest_check),
            text("rootDeviceType", "ebs"),
            text("rootDeviceName", root),
            maybe("instanceLifecycle", instance.spot.then_some("spot")),
            list("blockDeviceMapping", disks),
            list("groupSet", instance.groups.iter().map(|group| text("groupId", group))),
            maybe("ebsOptimized", Some(false)),
            instance
                .profile
                .as_ref()
                .map(|arn| el("iamInstanceProfile", &[text("arn", arn)]))
                .unwrap_or_default(),
            el(
                "metadataOptions",
                &[
                    text("httpTokens", &instance.metadata.0),
                    text("httpPutResponseHopLimit", instance.metadata.1),
                    text("httpEndpoint", "enabled"),
                ],
            ),
            reason
                .map(|(code, message)| el("stateReason", &[text("code", code), text("message", message)]))
                .unwrap_or_default(),
            tag_set(&instance.tags.until(self.seen_until())),
        ]
        .concat()
    }

    pub(crate) fn stop_instances(&mut self, params: &Params) -> Answer {
        let until = Instant::now() + self.pace.stop;
        self.switch(params, |instance| match instance.state {
            State::Running => {
                instance.state = State::Stopping;
                instance.next = Some((until, State::Stopped));
                true
            }
            State::Stopping | State::Stopped => true,
            _ => false,
        })
    }

    pub(crate) fn start_instances(&mut self, params: &Params) -> Answer {
        let until = Instant::now() + self.pace.boot;
        let ids = params.list("InstanceId");
        let full = ids.iter().filter_map(|id| self.instances.get(id)).any(|i| self.full.contains(&i.kind));
        if full {
            let no = No::new("InsufficientInstanceCapacity", "Insufficient capacity.");
            return Err(No { status: 500, ..no });
        }
        self.switch(params, |instance| match instance.state {
            State::Stopped => {
                instance.state = State::Pending;
                instance.next = Some((until, State::Running));
                true
            }
            State::Running | State::Pending => true,
            _ => false,
        })
    }

    pub(crate) fn terminate_instances(&mut self, params: &Params) -> Answer {
        let until = Instant::now() + self.pace.end;
        self.switch(params, |instance| {
            if !matches!(instance.state, State::ShuttingDown | State::Terminated) {
                instance.state = State::ShuttingDown;
                instance.next = Some((until, State::Terminated));
                let message = "Client.UserInitiatedShutdown: User initiated shutdown";
                instance.reason = Some(("Client.UserInitiatedShutdown".into(), message.into()));
            }
            true
        })
    }

    fn switch(&mut self, params: &Params, change: impl Fn(&mut Instance) -> bool) -> Answer {
        let mut items = Vec::new();
        for id in params.list("InstanceId") {
            let instance = self.instance(&id)?;
            let before = instance.state.shown();
            if !change(instance) {
                let message = format!(
                    "The instance '{id}' is not in a state from which it can be changed: {}",
                    before.1
                );
                return Err(No::new("IncorrectInstanceState", message));
            }
            let after = instance.state.shown();
            let state =
                |name: &str, (code, shown): (u16, &str)| el(name, &[text("code", code), text("name", shown)]);
            items.push(
                text("instanceId", &id) + &state("currentState", after) + &state("previousState", before),
            );
        }
        Ok(list("instancesSet", items))
    }

    pub(crate) fn modify_instance_attribute(&mut self, params: &Params) -> Answer {
        let instance = self.instance(params.need("InstanceId")?)?;
        if let Some(value) = params.flag("SourceDestCheck.Value") {
            instance.source_dest_check = value;
        }
        for mapping in params.structures("BlockDeviceMapping") {
            let device = mapping.need("DeviceName")?;
            if let Some(disk) = instance.disks.iter_mut().find(|disk| disk.device == device) {
                disk.goes_with_it = mapping.flag("Ebs.DeleteOnTermination").unwrap_or(disk.goes_with_it);
            }
        }
        Ok(text("return", true))
    }

    pub(crate) fn get_console_output(&mut self, params: &Params) -> Answer {
        let instance = self.instance(params.need("InstanceId")?)?;
        let output = format!("{} booted\r\n", instance.id);
        Ok(text("instanceId", &instance.id) + &text("output", STANDARD.encode(output)))
    }
}
