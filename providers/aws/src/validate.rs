//! `validate`: dry runs of what a replacement needs, and the IAM action that is missing.

use crate::instances::id;
use crate::launch::{Model, Order};
use crate::provider::Greeted;
use crate::refusal::{Meaning, Refusal};
use crate::tags::{self, tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_provider_protocol::verbs::{MachineSpec, Mutation};
use replank_provider_protocol::{Epoch, ErrorCode, OperationId, ProviderError, RunId};

/// The dry run of one call, and what it is called.
macro_rules! dry {
    ($request:expr, $action:literal) => {
        match $request.dry_run(true).send().await {
            Ok(_) => Err(ignored($action)),
            Err(error) => proven(Refusal::of($action, &error)),
        }
    };
}

impl Greeted {
    /// Whether a replacement could be made now.
    ///
    /// # Errors
    /// As the protocol says for `validate`; every missing permission is named.
    pub async fn validate(&self, spec: &MachineSpec) -> Result<(), ProviderError> {
        let like = self.instances.get(&spec.like).await?;
        let model = Model::of(&self.account.ec2, &self.settings, like).await?;
        let ec2 = &self.account.ec2;
        let machine = id(&model.like);
        // First of all, by what changes nothing: an endpoint that does not know dry runs must not be asked for a
        // stop.
        dry!(ec2.describe_instances().instance_ids(machine), "ec2:DescribeInstances")?;
        let checked = [
            self.dry_launch(&model, spec).await,
            dry!(ec2.create_tags().resources(machine).tags(tag(tags::EPOCH, "")), "ec2:CreateTags"),
            dry!(ec2.delete_tags().resources(machine).tags(tag(tags::EPOCH, "")), "ec2:DeleteTags"),
            dry!(ec2.stop_instances().instance_ids(machine), "ec2:StopInstances"),
            dry!(ec2.start_instances().instance_ids(machine), "ec2:StartInstances"),
            dry!(ec2.terminate_instances().instance_ids(machine), "ec2:TerminateInstances"),
            dry!(ec2.get_console_output().instance_id(machine), "ec2:GetConsoleOutput"),
        ];
        all(checked.into())
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
        // Its state would not do now, or is another one by the time: it may be called.
        Meaning::WouldWork | Meaning::WrongState => Ok(()),
        _ => Err(refusal.about("a dry run failed")),
    }
}

fn ignored(action: &str) -> ProviderError {
    let message = format!("the endpoint does {action} for real when asked for a dry run: this is not EC2");
    ProviderError::lasting(ErrorCode::Internal, message)
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
