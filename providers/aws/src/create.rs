//! `create`: one machine for one operation, whatever is lost on the way.

use crate::instances::{self, id, is_over};
use crate::launch::{Model, Order};
use crate::ledger::Seen;
use crate::provider::Greeted;
use crate::refusal::{Meaning, Refusal};
use crate::tags::{self, ATTEMPT};
use aws_sdk_ec2::types::{AttributeBooleanValue, Instance};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_provider_protocol::verbs::{CreateParams, Progress};
use replank_provider_protocol::{ErrorCode, Machine, ProviderError};
use serde_json::json;

/// The most that EC2 takes as user-data, before base64.
const USER_DATA: usize = 16 * 1024;

/// The longest value of a tag, which the name is.
const NAME: usize = 256;

/// What is there for an operation.
enum Found {
    /// A machine that is there.
    Machine(Box<Instance>),
    /// One that was made and that EC2 does not show yet.
    Unseen(String),
    /// None; the candidates before this one had no room.
    None { attempt: usize },
}

impl Greeted {
    /// Makes a machine, or finds the one that was made.
    ///
    /// # Errors
    /// As the protocol says for `create`.
    pub async fn create(&self, params: &CreateParams) -> Result<Progress<Machine>, ProviderError> {
        let CreateParams { mutation, spec, .. } = params;
        let invalid = |message: String| ProviderError::lasting(ErrorCode::Invalid, message);
        let _turn = self.ledger.turn(mutation).await;
        let arguments = json!([spec.name, spec.role, spec.like, spec.labels]);
        let seen = self.ledger.look(mutation, "create", &arguments).await?;
        let user_data =
            STANDARD.decode(&params.user_data).map_err(|_| invalid("the user-data is not base64".into()))?;
        if user_data.len() > USER_DATA {
            let message = format!("the user-data has {} bytes, and EC2 takes {USER_DATA}", user_data.len());
            return Err(invalid(message));
        }
        if spec.name.len() > NAME {
            return Err(invalid(format!("the name has {} bytes, and a tag holds {NAME}", spec.name.len())));
        }
        match self.made(&seen).await? {
            Found::Machine(instance) => self.settle(&seen, *instance).await,
            Found::Unseen(id) => Ok(unseen(&id)),
            Found::None { .. } if seen.tried_unseen => {
                Ok(Progress::Pending { message: "EC2 does not show yet which places had no room".into() })
            }
            Found::None { attempt } => {
                let like = self.instances.get(&spec.like).await?;
                let mut model = Model::of(&self.account.ec2, &self.settings, like).await?;
                let gaps = self.vxlan_gaps(&model).await?;
                self.open_vxlan(&gaps).await?;
                model.scaling = self.hold_group_of(&model.like).await?;
                self.launch(&seen, &model, params, attempt.max(seen.tried)).await
            }
        }
    }

    /// What the operation has made.
    async fn made(&self, seen: &Seen) -> Result<Found, ProviderError> {
        let mut attempt = 0;
        for made in seen.entries.keys() {
            let Some(instance) = self.instances.find(made).await? else {
                return Ok(Found::Unseen(made.clone()));
            };
            if !is_over(&instance) {
                return Ok(Found::Machine(Box::new(instance)));
            }
            let tried = tags::value(instance.tags(), ATTEMPT).and_then(|n| n.parse::<usize>().ok());
            let reason = instances::ended_by_itself(&instance);
            let told =
                instance.state_reason.as_ref().and_then(|r| r.message.as_deref()).unwrap_or("no reason told");
            match reason {
                Some("Server.InsufficientInstanceCapacity") => attempt = attempt.max(tried.unwrap_or(0) + 1),
                Some(_) => {
                    let message = format!("machine {made} was made, and EC2 ended it: {told}");
                    return Err(ProviderError::lasting(ErrorCode::Internal, message));
                }
                None => {
                    let message = format!("machine {made} was made, and has been deleted since");
                    return Err(ProviderError::lasting(ErrorCode::NotFound, message));
                }
            }
        }
        Ok(Found::None { attempt })
    }

    /// Asks for a machine in the first place that has room.
    async fn launch(
        &self,
        seen: &Seen,
        model: &Model,
        params: &CreateParams,
        first: usize,
    ) -> Result<Progress<Machine>, ProviderError> {
        let CreateParams { mutation, spec, user_data } = params;
        let what = format!("machine {} can't be made", spec.name);
        let Some(candidate) = model.candidates.get(first) else {
            // From the start again: room comes and goes.
            self.ledger.forget_tried(seen, id(&model.like)).await?;
            let all: Vec<_> = model.candidates.iter().map(ToString::to_string).collect();
            let message = format!(
                "{what}: EC2 has no room for {}; allow more `subnets` or `instanceTypes` in provider.settings",
                all.join(", ")
            );
            return Err(ProviderError::passing(ErrorCode::Exhausted, message));
        };
        let order = Order { spec, mutation, attempt: first, user_data };
        let answer = model.request(&self.account.ec2, order, seen.birth()).send().await;
        let refusal = match answer {
            Ok(made) => {
                let Some(instance) = made.instances().first() else {
                    let message = format!("{what}: EC2 answered without a machine");
                    return Err(ProviderError::passing(ErrorCode::Unavailable, message));
                };
                self.ledger.made(seen, id(instance));
                tracing::info!("made {} as {candidate}", id(instance));
                return Ok(unseen(id(instance)));
            }
            Err(error) => Refusal::of("ec2:RunInstances", &error),
        };
        match refusal.meaning() {
            Meaning::Capacity => {
                // Before anything else is tried, everybody must be able to know that this place was passed by:
                // who began again with it could make a second machine there.
                self.ledger.tried(seen, id(&model.like), first + 1).await?;
                let message = format!("no room for {candidate} ({}); another one is tried", refusal.message);
                Ok(Progress::Pending { message })
            }
            // Other user-data than the first time: the machine is there, and will be shown.
            Meaning::OtherParameters => {
                let message = format!(
                    "{what}: it was asked for before with other user-data, and EC2 does not show it yet"
                );
                Err(ProviderError::passing(ErrorCode::Unavailable, message))
            }
            Meaning::MadeAndGone => {
                let message = format!("{what}: it was made, and has been deleted since");
                Err(ProviderError::lasting(ErrorCode::NotFound, message))
            }
            _ => Err(refusal.about(&what)),
        }
    }

    /// What could not be said in the request, and that everybody sees the machine.
    async fn settle(&self, seen: &Seen, instance: Instance) -> Result<Progress<Machine>, ProviderError> {
        let made = id(&instance).to_owned();
        let Some(like) = tags::value(instance.tags(), tags::REPLACES) else {
            return Ok(unseen(&made));
        };
        if let Some(like) = self.instances.find(like).await? {
            let wanted = like.source_dest_check;
            if wanted == Some(false) && instance.source_dest_check != wanted {
                let unchecked = AttributeBooleanValue::builder().value(false).build();
                let request = self.account.ec2.modify_instance_attribute().instance_id(&made);
                request.source_dest_check(unchecked).send().await.map_err(|e| {
                    let what = format!("the source/destination check of {made} can't be switched off");
                    Refusal::of("ec2:ModifyInstanceAttribute", &e).about(&what)
                })?;
            }
            if seen.tried > 0 {
                self.ledger.forget_tried(seen, id(&like)).await?;
            }
        }
        if !seen.is_shown(&made) {
            return Ok(unseen(&made));
        }
        Ok(Progress::Done { value: instances::machine(&instance) })
    }
}

fn unseen(id: &str) -> Progress<Machine> {
    Progress::Pending { message: format!("machine {id} is made, and EC2 does not show it everywhere yet") }
}
