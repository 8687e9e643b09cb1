//! What the server says to one eviction.

use crate::api::{Api, ApiError, path};
use http::Method;
use serde_json::json;
use std::time::Duration;

/// What came of asking.
pub(super) enum Answer {
    /// The pod is on its way, or gone, or another one.
    Accepted,
    /// A budget holds it back for now.
    Blocked {
        /// The budget's name, where the server said it.
        budget: String,
        /// The server's sentence.
        message: String,
    },
    /// It may pass.
    Again {
        /// The server's sentence.
        message: String,
        /// Not before this long.
        after: Duration,
    },
    /// It won't pass.
    Refused(String),
}

/// Asks for a pod's eviction, for this incarnation of it only.
pub(super) async fn evict(api: &Api, namespace: &str, name: &str, uid: &str, grace: Option<u32>) -> Answer {
    let mut options = json!({"preconditions": {"uid": uid}});
    if let Some(grace) = grace {
        options["gracePeriodSeconds"] = json!(grace);
    }
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": options,
    });
    let at = format!("{}/eviction", path::core(namespace, "pods", name));
    match api.send(Method::POST, &at, "application/json", Some(&body)).await {
        Ok(_) => Answer::Accepted,
        Err(error) => answer(error),
    }
}

/// Deletes a pod without asking any budget: what the guard keeps us from.
pub(super) async fn delete(api: &Api, namespace: &str, name: &str, uid: &str) -> Answer {
    match api.delete(&path::core(namespace, "pods", name), uid).await {
        Ok(_) => Answer::Accepted,
        Err(error) => answer(error),
    }
}

fn answer(error: ApiError) -> Answer {
    let after = error.retry_after.map_or(Duration::ZERO, Duration::from_secs);
    let cause = error.causes.iter().find(|(reason, _)| reason == "DisruptionBudget").map(|(_, m)| m.clone());
    match error.code {
        404 => Answer::Accepted,
        // Another incarnation is another pod; a lost race is looked at again.
        409 if !error.is_lost_race() => Answer::Accepted,
        409 => Answer::Again { message: error.message, after },
        429 => match cause {
            Some(message) => Answer::Blocked { budget: budget(&message), message },
            None => Answer::Again { message: error.message, after },
        },
        // The server's own sentence for a pod under two budgets; every other 500 may pass.
        500 if error.message.contains("more than one PodDisruptionBudget") => Answer::Refused(error.message),
        403 if error.causes.iter().any(|(reason, _)| reason == "NamespaceTerminating") => {
            Answer::Again { message: error.message, after }
        }
        _ if error.may_pass() => Answer::Again { message: error.message, after },
        _ => Answer::Refused(error.message),
    }
}

/// The name in `The disruption budget NAME needs 2 healthy pods …`.
fn budget(message: &str) -> String {
    let name = message.split_once("disruption budget ").map_or("", |(_, rest)| rest);
    name.split_whitespace().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_named() {
        assert_eq!(budget("The disruption budget web needs 2 healthy pods and has 2 currently"), "web");
        assert_eq!(budget("no idea"), "unknown");
    }

    #[test]
    fn two_budgets_are_refused_and_other_failures_pass() {
        let error = |code, message: &str| ApiError { code, ..ApiError::unanswered(message) };
        let two = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        assert!(matches!(answer(error(500, two)), Answer::Refused(_)));
        assert!(matches!(answer(error(500, "webhook failed")), Answer::Again { .. }));
        assert!(matches!(answer(error(0, "broken")), Answer::Again { .. }));
        assert!(matches!(answer(error(404, "gone")), Answer::Accepted));
    }
}
