//! What a new machine is to be: the old one's own attributes or a launch template, and where it may be.

use crate::firewall::Range;
use crate::instances::{filter, id, own_volumes, zone};
use crate::refusal::Refusal;
use crate::settings::{Image, LaunchTemplate, Metadata, Settings, Zones};
use crate::tags::{self, ATTEMPT, GROUP, NAME, REPLACES, on, tag};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification, Image as AmiImage,
    Instance, InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceType,
    LaunchTemplateSpecification, MonitoringState, Placement, ResourceType, ResponseLaunchTemplateData,
    RunInstancesMonitoringEnabled, Tag, Volume,
};
use replank_provider_protocol::verbs::{MachineSpec, Mutation};
use replank_provider_protocol::{ErrorCode, ProviderError};
use std::collections::BTreeMap;

/// One place and kind that a new machine may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The subnet.
    pub subnet: String,
    /// The type; the template's own if absent.
    pub kind: Option<String>,
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind.as_deref().unwrap_or("the launch template's type");
        write!(f, "{kind} in {}", self.subnet)
    }
}

/// What new machines in the place of one machine are modelled on.
#[derive(Clone, Debug)]
pub struct Model {
    /// The machine.
    pub like: Instance,
    /// Where new ones may be, the best first; never empty.
    pub candidates: Vec<Candidate>,
    /// Their security groups.
    pub groups: Vec<String>,
    /// The ranges of the subnets that they may be in.
    pub ranges: Vec<Range>,
    /// The Auto Scaling group that they shall be in.
    pub scaling: Option<String>,
    image: Option<String>,
    base: Base,
    metadata: Metadata,
    tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
enum Base {
    Like { devices: Vec<BlockDeviceMapping> },
    Template { name: LaunchTemplate, data: Box<ResponseLaunchTemplateData> },
}

/// Where a machine is made, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// What it shall be.
    pub spec: &'a MachineSpec,
    /// For which effect.
    pub mutation: &'a Mutation,
    /// Which of the candidates.
    pub attempt: usize,
    /// Its user-data, base64.
    pub user_data: &'a str,
}

impl Model {
    /// Looks up what is needed to make a machine like another one.
    ///
    /// # Errors
    /// When the image, template or a subnet is not there, or EC2 does not tell.
    pub async fn of(ec2: &Client, settings: &Settings, like: Instance) -> Result<Self, ProviderError> {
        let image = match &settings.image {
            Some(image) => Some(find_image(ec2, image).await?),
            None if settings.launch_template.is_some() => None,
            None => {
                let own = like.image_id.clone().unwrap_or_default();
                Some(find_image(ec2, &Image::Id(own)).await?)
            }
        };
        let base = match &settings.launch_template {
            Some(name) => Base::Template { name: name.clone(), data: Box::new(template(ec2, name).await?) },
            None => Base::Like { devices: devices(ec2, &like, image.as_ref()).await? },
        };
        let groups = groups(settings, &base, &like);
        let (candidates, ranges) = candidates(ec2, settings, &like).await?;
        Ok(Self {
            candidates,
            ranges,
            scaling: None,
            groups,
            image: image.and_then(|image| image.image_id),
            base,
            metadata: settings.metadata,
            tags: settings.tags.clone(),
            like,
        })
    }

    /// The request for one machine.
    pub fn request(&self, ec2: &Client, order: Order<'_>, birth: Vec<Tag>) -> RunInstancesFluentBuilder {
        let candidate = &self.candidates[order.attempt];
        let token = tags::short(&format!("{}\n{}", tags::key(order.mutation), order.attempt));
        let request = ec2
            .run_instances()
            .min_count(1)
            .max_count(1)
            .client_token(token)
            .user_data(order.user_data)
            .set_image_id(self.image.clone())
            .set_instance_type(candidate.kind.as_deref().map(InstanceType::from))
            .set_tag_specifications(Some(self.tag_specifications(order, birth)));
        match &self.base {
            Base::Like { devices } => self.like_before(request, candidate, devices),
            Base::Template { name, data } => {
                let template = LaunchTemplateSpecification::builder()
                    .set_launch_template_id(name.id.clone())
                    .set_launch_template_name(name.name.clone())
                    .version(&name.version)
                    .build();
                let request = request.launch_template(template);
                // Interfaces of a template can't be mixed with a subnet beside them.
                match data.network_interfaces().first() {
                    Some(first) => request.network_interfaces(
                        self.interface(candidate)
                            .set_associate_public_ip_address(first.associate_public_ip_address)
                            .build(),
                    ),
                    None => request
                        .subnet_id(&candidate.subnet)
                        .set_security_group_ids(Some(self.groups.clone()).filter(|g| !g.is_empty())),
                }
            }
        }
    }

    fn like_before(
        &self,
        request: RunInstancesFluentBuilder,
        candidate: &Candidate,
        devices: &[BlockDeviceMapping],
    ) -> RunInstancesFluentBuilder {
        let like = &self.like;
        let profile = like.iam_instance_profile.as_ref().and_then(|profile| profile.arn.clone());
        let profile = profile.map(|arn| IamInstanceProfileSpecification::builder().arn(arn).build());
        let monitored =
            like.monitoring.as_ref().and_then(|m| m.state.as_ref()) == Some(&MonitoringState::Enabled);
        let placement = like.placement.as_ref().map(|old| {
            Placement::builder()
                .set_tenancy(old.tenancy.clone())
                .set_group_name(old.group_name.clone().filter(|name| !name.is_empty()))
                .build()
        });
        let public = like.public_ip_address.as_ref().map(|_| true);
        request
            .set_key_name(like.key_name.clone())
            .set_iam_instance_profile(profile)
            .set_ebs_optimized(like.ebs_optimized)
            .monitoring(RunInstancesMonitoringEnabled::builder().enabled(monitored).build())
            .set_placement(placement)
            .metadata_options(self.metadata_options())
            .set_block_device_mappings(Some(devices.to_vec()).filter(|devices| !devices.is_empty()))
            .network_interfaces(self.interface(candidate).set_associate_public_ip_address(public).build())
    }

    fn interface(
        &self,
        candidate: &Candidate,
    ) -> aws_sdk_ec2::types::builders::InstanceNetworkInterfaceSpecificationBuilder {
        InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .subnet_id(&candidate.subnet)
            .set_groups(Some(self.groups.clone()).filter(|groups| !groups.is_empty()))
            .delete_on_termination(true)
    }

    fn metadata_options(&self) -> InstanceMetadataOptionsRequest {
        let old = self.like.metadata_options.as_ref();
        let tokens = match self.metadata {
            Metadata::TokensRequired => Some(HttpTokensState::Required),
            Metadata::AsBefore => old.and_then(|old| old.http_tokens.clone()),
        };
        InstanceMetadataOptionsRequest::builder()
            .set_http_tokens(tokens)
            .set_http_put_response_hop_limit(old.and_then(|old| old.http_put_response_hop_limit))
            .set_http_endpoint(old.and_then(|old| old.http_endpoint.clone()))
            .set_instance_metadata_tags(old.and_then(|old| old.instance_metadata_tags.clone()))
            .build()
    }

    fn tag_specifications(
        &self,
        order: Order<'_>,
        birth: Vec<Tag>,
    ) -> Vec<aws_sdk_ec2::types::TagSpecification> {
        let Order { spec, mutation, attempt, .. } = order;
        let mut ours = tags::owner(mutation, &spec.name);
        ours.push(tag(ATTEMPT, attempt.to_string()));
        let mut all: BTreeMap<String, String> = tags::map(self.like.tags());
        // AWS keeps its own tags to itself, and ours are those of another life.
        all.retain(|key, _| !key.starts_with("aws:") && !key.starts_with(tags::PREFIX));
        all.extend(self.tags.clone());
        all.extend(spec.labels.clone());
        all.insert(NAME.into(), spec.name.clone());
        all.insert(REPLACES.into(), id(&self.like).to_owned());
        all.extend(self.scaling.clone().map(|group| (GROUP.to_owned(), group)));
        all.extend(tags::map(&ours));
        all.extend(tags::map(&birth));
        let all = all.into_iter().map(|(key, value)| tag(&key, value)).collect();
        ours.push(tag(NAME, &spec.name));
        vec![
            on(ResourceType::Instance, all),
            on(ResourceType::Volume, ours.clone()),
            on(ResourceType::NetworkInterface, ours),
        ]
    }
}

async fn find_image(ec2: &Client, image: &Image) -> Result<AmiImage, ProviderError> {
    let (request, what) = match image {
        Image::Id(id) => (ec2.describe_images().image_ids(id), format!("image {id}")),
        Image::Newest(wanted) => (
            ec2.describe_images()
                .set_owners(Some(wanted.owners.clone()))
                .filters(filter("name", &wanted.name))
                .filters(filter("state", "available")),
            format!("an image named {} of {}", wanted.name, wanted.owners.join(", ")),
        ),
    };
    let found = request
        .send()
        .await
        .map_err(|e| Refusal::of("ec2:DescribeImages", &e).about(&format!("{what} can't be looked up")))?;
    let newest = found
        .images
        .unwrap_or_default()
        .into_iter()
        .max_by(|a, b| (&a.creation_date, &a.image_id).cmp(&(&b.creation_date, &b.image_id)));
    newest.ok_or_else(|| {
        let message = format!("there is no {what}: set `image` in provider.settings to one that is there");
        ProviderError::lasting(ErrorCode::Invalid, message)
    })
}

async fn template(ec2: &Client, name: &LaunchTemplate) -> Result<ResponseLaunchTemplateData, ProviderError> {
    let found = ec2
        .describe_launch_template_versions()
        .set_launch_template_id(name.id.clone())
        .set_launch_template_name(name.name.clone())
        .versions(&name.version)
        .send()
        .await;
    let shown = name.id.as_ref().or(name.name.as_ref()).cloned().unwrap_or_default();
    let found = found.map_err(|e| {
        let what = format!("launch template {shown} can't be looked up");
        Refusal::of("ec2:DescribeLaunchTemplateVersions", &e).about(&what)
    })?;
    let version = found.launch_template_versions.unwrap_or_default().into_iter().next();
    version.and_then(|version| version.launch_template_data).ok_or_else(|| {
        let message = format!("launch template {shown} has no version {}", name.version);
        ProviderError::lasting(ErrorCode::Invalid, message)
    })
}

fn groups(settings: &Settings, base: &Base, like: &Instance) -> Vec<String> {
    if !settings.security_groups.is_empty() {
        return settings.security_groups.clone();
    }
    match base {
        Base::Like { .. } => {
            like.security_groups().iter().filter_map(|group| group.group_id.clone()).collect()
        }
        Base::Template { data, .. } => match data.network_interfaces().first() {
            Some(first) => first.groups().to_vec(),
            None => data.security_group_ids().to_vec(),
        },
    }
}

/// The disks of the new machine: as large and as fast as the old one's, and empty but for the image.
async fn devices(
    ec2: &Client,
    like: &Instance,
    image: Option<&AmiImage>,
) -> Result<Vec<BlockDeviceMapping>, ProviderError> {
    let own = own_volumes(like);
    let ids: Vec<String> =
        own.iter().filter_map(|m| m.ebs.as_ref().and_then(|ebs| ebs.volume_id.clone())).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = ec2.describe_volumes().set_volume_ids(Some(ids)).send().await.map_err(|e| {
        Refusal::of("ec2:DescribeVolumes", &e).about(&format!("the disks of {} can't be looked up", id(like)))
    })?;
    let volumes = found.volumes.unwrap_or_default();
    let volume = |id: &str| volumes.iter().find(|volume| volume.volume_id.as_deref() == Some(id));
    let mapped = own.iter().filter_map(|mapping| {
        let volume = volume(mapping.ebs.as_ref()?.volume_id.as_deref()?)?;
        let is_root = mapping.device_name == like.root_device_name;
        // Another image may call its root by another name.
        let renamed = image.filter(|_| is_root).and_then(|image| image.root_device_name.clone());
        let device = renamed.or_else(|| mapping.device_name.clone());
        Some(BlockDeviceMapping::builder().set_device_name(device).ebs(disk_like(volume)).build())
    });
    Ok(mapped.collect())
}

fn disk_like(volume: &Volume) -> EbsBlockDevice {
    use aws_sdk_ec2::types::VolumeType;
    let kind = volume.volume_type.clone();
    // EC2 shows figures for types that don't take any.
    let takes_iops = matches!(kind, Some(VolumeType::Gp3 | VolumeType::Io1 | VolumeType::Io2));
    let takes_throughput = kind == Some(VolumeType::Gp3);
    EbsBlockDevice::builder()
        .set_volume_size(volume.size)
        .set_iops(volume.iops.filter(|_| takes_iops))
        .set_throughput(volume.throughput.filter(|_| takes_throughput))
        .set_encrypted(volume.encrypted.filter(|encrypted| *encrypted))
        .set_kms_key_id(volume.kms_key_id.clone())
        .set_volume_type(kind)
        .delete_on_termination(true)
        .build()
}

/// Where the new machine may be: the old one's subnet first, never in another zone than its pods' volumes.
async fn candidates(
    ec2: &Client,
    settings: &Settings,
    like: &Instance,
) -> Result<(Vec<Candidate>, Vec<Range>), ProviderError> {
    let mut subnets: Vec<String> = like.subnet_id.iter().cloned().collect();
    subnets.extend(settings.subnets.iter().filter(|s| like.subnet_id.as_ref() != Some(s)).cloned());
    let found = ec2.describe_subnets().set_subnet_ids(Some(subnets.clone())).send().await.map_err(|e| {
        Refusal::of("ec2:DescribeSubnets", &e).about("the allowed subnets can't be looked up")
    })?;
    let zones: BTreeMap<&str, &str> = found
        .subnets()
        .iter()
        .filter_map(|subnet| Some((subnet.subnet_id.as_deref()?, subnet.availability_zone.as_deref()?)))
        .collect();
    let ranges =
        found.subnets().iter().filter_map(|subnet| subnet.cidr_block.as_ref()?.parse().ok()).collect();
    let bound = own_volumes(like).len() < like.block_device_mappings().len();
    let anywhere = settings.zones == Zones::Any && !bound;
    subnets.retain(|subnet| anywhere || zones.get(subnet.as_str()).copied() == zone(like));
    let kinds: Vec<Option<String>> = match (&settings.instance_types[..], &settings.launch_template) {
        ([], Some(_)) => vec![None],
        ([], None) => vec![like.instance_type.as_ref().map(|kind| kind.as_str().to_owned())],
        (kinds, _) => kinds.iter().cloned().map(Some).collect(),
    };
    let all = kinds.iter().flat_map(|kind| {
        subnets.iter().map(|subnet| Candidate { subnet: subnet.clone(), kind: kind.clone() })
    });
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        let message = format!("machine {} is in no subnet, and none is allowed in its zone", id(like));
        return Err(ProviderError::lasting(ErrorCode::Invalid, message));
    }
    Ok((all, ranges))
}
