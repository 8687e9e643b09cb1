//! `validate`: dry runs of what a replacement needs, and the IAM action that is missing.

use crate::firewall::{Gap, Way};
use crate::instances::{id, own_volumes, zone};
use crate::launch::{Model, Order};
use crate::provider::Greeted;
use crate::refusal::{Meaning, Refusal};
use crate::tags::{self, tag};
use aws_sdk_ec2::types::{AttributeBooleanValue, Instance, InstanceSpecification};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_provider_protocol::verbs::{MachineSpec, Mutation};
use replank_provider_protocol::{Epoch, ErrorCode, OperationId, ProviderError, Role, RunId};

/// The dry run of one call, and what it is called.
macro_rules! dry {
    ($request:expr, $action:literal) => {
        match $request.dry_run(true).send().await {
            Ok(_) => Err(ignored($action)),
            Err(error) => proven(Refusal::of($action, &error)),
        }
    };
}

/// The same, where only the permission is asked for: what it is on may not be in the state for it now.
macro_rules! may {
    ($request:expr, $action:literal) => {
        match $request.dry_run(true).send().await {
            Ok(_) => Err(ignored($action)),
            Err(error) => permitted(Refusal::of($action, &error)),
        }
    };
}

/// A snapshot that is nobody's.
const NO_SNAPSHOT: &str = "snap-0ffffffffffffffff";

impl Greeted {
    /// Whether a replacement could be made now.
    ///
    /// # Errors
    /// As the protocol says for `validate`; every missing permission is named.
    pub async fn validate(&self, spec: &MachineSpec) -> Result<(), ProviderError> {
        let like = self.instances.get(&spec.like).await?;
        let model = Model::of(&self.account.ec2, &self.settings, like).await?;
        let machine = id(&model.like);
        // First of all, by what changes nothing: an endpoint that does not know dry runs must not be asked for a
        // stop.
        dry!(self.account.ec2.describe_instances().instance_ids(machine), "ec2:DescribeInstances")?;
        let gaps = self.vxlan_gaps(&model).await?;
        let mut checked = vec![self.dry_launch(&model, spec).await];
        checked.extend(self.power_permissions(machine).await);
        checked.extend(self.disk_permissions(&model.like).await);
        checked.extend(self.firewall_permissions(&gaps).await);
        // Auto Scaling and load balancers know no dry runs: what reads is called, what changes is not proven.
        checked.push(self.reaches_group(&model.like).await);
        if spec.role == Role::ControlPlane {
            checked.push(self.reaches_balancers(&model.like).await);
        }
        all(checked)
    }

    async fn power_permissions(&self, machine: &str) -> Vec<Result<(), ProviderError>> {
        let ec2 = &self.account.ec2;
        let unchecked = AttributeBooleanValue::builder().value(false).build();
        let unchecked = ec2.modify_instance_attribute().instance_id(machine).source_dest_check(unchecked);
        vec![
            may!(ec2.describe_tags(), "ec2:DescribeTags"),
            may!(ec2.create_tags().resources(machine).tags(tag(tags::EPOCH, "")), "ec2:CreateTags"),
            may!(ec2.delete_tags().resources(machine).tags(tag(tags::EPOCH, "")), "ec2:DeleteTags"),
            may!(ec2.stop_instances().instance_ids(machine), "ec2:StopInstances"),
            may!(ec2.start_instances().instance_ids(machine), "ec2:StartInstances"),
            may!(ec2.terminate_instances().instance_ids(machine), "ec2:TerminateInstances"),
            may!(ec2.get_console_output().instance_id(machine), "ec2:GetConsoleOutput"),
            may!(unchecked, "ec2:ModifyInstanceAttribute"),
        ]
    }

    async fn disk_permissions(&self, like: &Instance) -> Vec<Result<(), ProviderError>> {
        let ec2 = &self.account.ec2;
        let machine = id(like);
        let of = InstanceSpecification::builder().instance_id(machine).build();
        let mut checked = vec![
            may!(ec2.create_snapshots().instance_specification(of), "ec2:CreateSnapshots"),
            may!(ec2.describe_snapshots().owner_ids("self"), "ec2:DescribeSnapshots"),
            may!(ec2.delete_snapshot().snapshot_id(NO_SNAPSHOT), "ec2:DeleteSnapshot"),
        ];
        let volume =
            own_volumes(like).into_iter().find_map(|mapping| mapping.ebs.as_ref()?.volume_id.clone());
        if let (Some(volume), Some(zone)) = (volume, zone(like)) {
            let made = ec2.create_volume().availability_zone(zone).snapshot_id(NO_SNAPSHOT);
            let put = ec2.attach_volume().volume_id(&volume).instance_id(machine).device("/dev/sdz");
            checked.extend([
                may!(ec2.describe_volumes().volume_ids(&volume), "ec2:DescribeVolumes"),
                may!(made, "ec2:CreateVolume"),
                may!(put, "ec2:AttachVolume"),
                may!(ec2.detach_volume().volume_id(&volume).instance_id(machine), "ec2:DetachVolume"),
                may!(ec2.delete_volume().volume_id(&volume), "ec2:DeleteVolume"),
            ]);
        }
        checked
    }

    async fn firewall_permissions(&self, gaps: &[Gap]) -> Vec<Result<(), ProviderError>> {
        let ec2 = &self.account.ec2;
        let mut checked = Vec::new();
        for gap in gaps {
            let rule = gap.rule(self.settings.vxlan.port);
            let group = &gap.group;
            checked.push(match gap.way {
                Way::Into => {
                    let request = ec2.authorize_security_group_ingress().group_id(group).ip_permissions(rule);
                    may!(request, "ec2:AuthorizeSecurityGroupIngress")
                }
                Way::OutOf => {
                    let request = ec2.authorize_security_group_egress().group_id(group).ip_permissions(rule);
                    may!(request, "ec2:AuthorizeSecurityGroupEgress")
                }
            });
        }
        checked
    }

    /// Whether any of the candidates could be asked for. Whether one has room is not told by a dry run.
    async fn dry_launch(&self, model: &Model, spec: &MachineSpec) -> Result<(), ProviderError> {
        let mutation = Mutation {
            operation: OperationId::new(format!("validate/{}", spec.name)),
            run: RunId::new("validate"),
            cluster: "validate".into(),
            epoch: Epoch(0),
        };
        let user_data = STANDARD.encode("#cloud-config\n{}\n");
        for attempt in 0..model.candidates.len() {
            let order = Order { spec, mutation: &mutation, attempt, user_data: &user_data };
            dry!(model.request(&self.account.ec2, order, Vec::new()), "ec2:RunInstances")?;
        }
        Ok(())
    }
}

fn proven(refusal: Refusal) -> Result<(), ProviderError> {
    match refusal.meaning() {
        Meaning::WouldWork => Ok(()),
        _ => Err(refusal.about("a dry run failed")),
    }
}

fn ignored(action: &str) -> ProviderError {
    let message = format!("the endpoint does {action} for real when asked for a dry run: this is not EC2");
    ProviderError::lasting(ErrorCode::Internal, message)
}

fn permitted(refusal: Refusal) -> Result<(), ProviderError> {
    match refusal.meaning() {
        Meaning::Denied | Meaning::Passing => Err(refusal.about("a dry run failed")),
        _ => Ok(()),
    }
}

/// All that is missing, in one error.
fn all(checked: Vec<Result<(), ProviderError>>) -> Result<(), ProviderError> {
    let mut failed: Vec<ProviderError> = checked.into_iter().filter_map(Result::err).collect();
    if failed.len() < 2 {
        return failed.pop().map_or(Ok(()), Err);
    }
    let told: Vec<_> = failed.iter().map(|error| error.message.as_str()).collect();
    let first = &failed[0];
    Err(ProviderError { message: told.join("; "), ..first.clone() })
}
