//! Subnets, images, templates and security groups.

use crate::request::{Answer, No, Params, allowed};
use crate::world::World;
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
