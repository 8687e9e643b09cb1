//! Asking the API server, before anything is done, whether it will allow it.

use crate::api::{Api, ApiError};
use futures::{StreamExt, TryStreamExt, stream};
use replank_planning::rights::{Place, Right, Which};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// How many questions are under way at once: a plan has some hundred of them, each a fraction of a
/// millisecond for the server, and what takes time is the way there and back.
const AT_ONCE: usize = 8;

/// Rights that the API server does not give; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRights(Vec<Right>);

impl MissingRights {
    /// Which.
    pub fn rights(&self) -> &[Right] {
        &self.0
    }
}

impl fmt::Display for MissingRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for right in &self.0 {
            write!(f, "\n  {right}")?;
        }
        Ok(())
    }
}

/// What of these rights whoever asks does not have.
///
/// # Errors
/// As the server said.
pub async fn missing(api: &Api, rights: &BTreeSet<Right>) -> Result<Option<MissingRights>, ApiError> {
    if allows(api, json!({"verb": "*", "group": "*", "resource": "*"})).await? {
        return Ok(None);
    }
    let answers = stream::iter(rights).map(|right| async move {
        let allowed = allows(api, attributes(right)).await?;
        Ok::<_, ApiError>((!allowed).then(|| right.clone()))
    });
    let missing: Vec<Right> =
        answers.buffered(AT_ONCE).try_filter_map(|right| async move { Ok(right) }).try_collect().await?;
    Ok((!missing.is_empty()).then_some(MissingRights(missing)))
}

async fn allows(api: &Api, attributes: Value) -> Result<bool, ApiError> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    });
    Ok(api.create(REVIEWS, &review).await?["status"]["allowed"] == true)
}

fn attributes(right: &Right) -> Value {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
    let mut attributes =
        json!({"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource});
    if let Which::Named(name) = &right.which {
        attributes["name"] = json!(name);
    }
    if let Place::Namespace(namespace) = &right.place {
        attributes["namespace"] = json!(namespace);
    }
    attributes
}
