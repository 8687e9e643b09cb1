//! Reviews: questions put as objects that are answered and not kept.

use super::authn::{User, by_token};
use super::core::Server;
use super::object::text;
use super::rbac::{self, Wish};
use super::state::State;
use serde_json::{Value, json};

/// Answers a review; nothing if the kind isn't one.
pub(crate) fn answer(
    server: &Server,
    state: &State,
    user: &User,
    plural: &str,
    mut review: Value,
) -> Option<Value> {
    let status = match plural {
        "selfsubjectaccessreviews" => access(state, user, &review["spec"]),
        "subjectaccessreviews" => {
            let spec = &review["spec"];
            let groups = spec["groups"].as_array().into_iter().flatten();
            let subject = User {
                name: text(spec, "/user").to_owned(),
                uid: String::new(),
                groups: groups.filter_map(|group| group.as_str().map(str::to_owned)).collect(),
            };
            access(state, &subject, spec)
        }
        "selfsubjectreviews" => json!({"userInfo": info(user)}),
        "selfsubjectrulesreviews" => {
            json!({"resourceRules": [], "nonResourceRules": [], "incomplete": true})
        }
        "tokenreviews" => match by_token(server, state, text(&review, "/spec/token")) {
            Some(found) => json!({"authenticated": true, "user": info(&found)}),
            None => json!({"authenticated": false, "error": "[invalid bearer token]"}),
        },
        _ => return None,
    };
    review["status"] = status;
    Some(review)
}

fn info(user: &User) -> Value {
    json!({"username": user.name, "uid": user.uid, "groups": user.groups})
}

fn access(state: &State, user: &User, spec: &Value) -> Value {
    let of = |pointer: &str| text(spec, pointer).to_owned();
    let wish = if spec["nonResourceAttributes"].is_object() {
        Wish {
            verb: of("/nonResourceAttributes/verb"),
            path: of("/nonResourceAttributes/path"),
            ..Wish::default()
        }
    } else {
        let mut resource = of("/resourceAttributes/resource");
        let subresource = of("/resourceAttributes/subresource");
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        Wish {
            verb: of("/resourceAttributes/verb"),
            group: of("/resourceAttributes/group"),
            resource,
            namespace: of("/resourceAttributes/namespace"),
            name: of("/resourceAttributes/name"),
            path: String::new(),
        }
    };
    json!({"allowed": rbac::allowed(state, user, &wish)})
}
