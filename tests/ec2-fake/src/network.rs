//! Subnets, images, templates and security groups.

use crate::request::{Answer, No, Params, allowed};
use crate::world::{Rule, World};
use crate::xml::{el, list, maybe, text};

impl World {
    pub(crate) fn describe_subnets(&self, params: &Params) -> Answer {
        let ids = params.list("SubnetId");
        if let Some(id) = ids.iter().find(|id| !self.subnets.contains_key(*id)) {
            return Err(No::missing("InvalidSubnetID.NotFound", "subnet", id));
        }
        let wanted = self.subnets.iter().filter(|(id, _)| ids.is_empty() || ids.contains(id));
        let items = wanted.map(|(id, subnet)| {
            [
                text("subnetId", id),
                text("vpcId", &subnet.vpc),
                text("availabilityZone", &subnet.zone),
                text("cidrBlock", &subnet.cidr),
                text("state", "available"),
            ]
            .concat()
        });
        Ok(list("subnetSet", items))
    }

    pub(crate) fn describe_images(&self, params: &Params) -> Answer {
        let ids = params.list("ImageId");
        if let Some(id) = ids.iter().find(|id| !self.images.contains_key(*id)) {
            return Err(No::missing("InvalidAMIID.NotFound", "image", id));
        }
        let (owners, filters) = (params.list("Owner"), params.filters());
        let wanted = self.images.iter().filter(|(id, image)| {
            let fits = |(name, values): &(String, Vec<String>)| match name.as_str() {
                "name" => allowed(values, &image.name),
                "state" => allowed(values, "available"),
                _ => false,
            };
            (ids.is_empty() || ids.contains(id))
                && (owners.is_empty() || owners.contains(&image.owner))
                && filters.iter().all(fits)
        });
        let items = wanted.map(|(id, image)| {
            [
                text("imageId", id),
                text("name", &image.name),
                text("imageOwnerId", &image.owner),
                text("creationDate", &image.created),
                text("rootDeviceName", &image.root),
                text("imageState", "available"),
            ]
            .concat()
        });
        Ok(list("imagesSet", items))
    }

    pub(crate) fn describe_launch_template_versions(&self, params: &Params) -> Answer {
        let name = params.need("LaunchTemplateName")?;
        let missing = || No::missing("InvalidLaunchTemplateName.NotFoundException", "launch template", name);
        let data = self.templates.get(name).ok_or_else(missing)?;
        let get = |key: &str| data.get(key);
        let groups = (1..).map_while(|n| data.get(&format!("SecurityGroupId.{n}"))).cloned();
        let data = el(
            "launchTemplateData",
            &[
                maybe("imageId", get("ImageId")),
                maybe("instanceType", get("InstanceType")),
                list("securityGroupIdSet", groups),
            ],
        );
        let version = text("launchTemplateName", name) + &text("versionNumber", 3) + &data;
        Ok(list("launchTemplateVersionSet", [version]))
    }
}

impl World {
    pub(crate) fn describe_security_groups(&self, params: &Params) -> Answer {
        let ids = params.list("GroupId");
        if let Some(id) = ids.iter().find(|id| !self.groups.contains_key(*id)) {
            return Err(No::missing("InvalidGroup.NotFound", "security group", id));
        }
        let items = self.groups.iter().filter(|(id, _)| ids.contains(id)).map(|(id, group)| {
            [
                text("groupId", id),
                text("vpcId", &group.vpc),
                list("ipPermissions", group.ingress.iter().map(shown_rule)),
                list("ipPermissionsEgress", group.egress.iter().map(shown_rule)),
            ]
            .concat()
        });
        Ok(list("securityGroupInfo", items))
    }

    pub(crate) fn authorize(&mut self, params: &Params, into: bool) -> Answer {
        let id = params.need("GroupId")?;
        let mut rules = Vec::new();
        for given in params.structures("IpPermissions") {
            let sources = given.structures("Groups").into_iter().chain(given.structures("UserIdGroupPairs"));
            let sources = sources.filter_map(|pair| pair.get("GroupId").map(str::to_owned)).collect();
            let ranges = given.structures("IpRanges").into_iter();
            rules.push(Rule {
                protocol: given.need("IpProtocol")?.to_owned(),
                ports: given.number("FromPort").zip(given.number("ToPort")),
                groups: sources,
                ranges: ranges.filter_map(|range| range.get("CidrIp").map(str::to_owned)).collect(),
            });
        }
        let Some(group) = self.groups.get_mut(id) else {
            return Err(No::missing("InvalidGroup.NotFound", "security group", id));
        };
        let known = if into { &mut group.ingress } else { &mut group.egress };
        for rule in rules {
            if known.contains(&rule) {
                return Err(No::new("InvalidPermission.Duplicate", "the specified rule already exists"));
            }
            known.push(rule);
        }
        Ok(text("return", true))
    }
}

fn shown_rule(rule: &Rule) -> String {
    [
        text("ipProtocol", &rule.protocol),
        maybe("fromPort", rule.ports.map(|ports| ports.0)),
        maybe("toPort", rule.ports.map(|ports| ports.1)),
        list("groups", rule.groups.iter().map(|group| text("groupId", group))),
        list("ipRanges", rule.ranges.iter().map(|range| text("cidrIp", range))),
    ]
    .concat()
}
