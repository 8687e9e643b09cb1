//! Controller-manager flags in a host's static manifest.

use super::Step;
use super::support::{condition, decode, encode, items, pod_ready, text};
use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use crate::run_dir::Backup;
use async_trait::async_trait;
use replank_planning::ids::NodeName;
use replank_planning::plan::action::SetFlags;
use replank_planning::waiting::Waiting;
use replank_planning::yaml;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where kubeadm keeps it.
pub const MANIFEST: &str = "/etc/kubernetes/manifests/kube-controller-manager.yaml";

/// See [`replank_planning::plan::Action::SetControllerManagerFlags`].
pub struct SetFlagsStep(pub SetFlags);

type Before = BTreeMap<String, Option<String>>;

#[async_trait]
impl Step for SetFlagsStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let host = cx.host(cx.machine(&self.0.node)?);
        let (manifest, _) = host.read_text(MANIFEST).await?;
        parse(&manifest, &self.0)?;
        encode(&cx.back_up("before", &json!(manifest))?)
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        let mut wanted: Before = self.0.set.iter().map(|(n, v)| (n.clone(), Some(v.clone()))).collect();
        let guarded = cx.holds(Guard::ControllerManagerWouldStart);
        if !guarded {
            // Without the guard the range changes while allocation is on: the naive order.
            wanted.remove("allocate-node-cidrs");
        }
        self.write(cx, "set-flags", &wanted).await?;
        if guarded {
            runs_with(cx, &name, &wanted).await?;
        }
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let backup: Backup = decode(before)?;
        let kept = cx.restore(&backup)?;
        let (name, _) = cx.node(&self.0.node)?;
        let former = self.put_back(cx, kept.as_str().unwrap_or_default()).await?;
        runs_with(cx, &name, &former).await
    }
}

impl SetFlagsStep {
    /// The flags that this step sets, as a manifest has them.
    fn among(&self, pod: &Value) -> Before {
        let flags = flags(pod);
        self.0.set.keys().map(|name| (name.clone(), flags.get(name).cloned())).collect()
    }

    /// Puts the manifest back: word for word where nothing but these flags was changed since, else the flags
    /// alone. Answers the former flags.
    async fn put_back(&self, cx: &StepContext<'_>, kept: &str) -> Result<Before, StepError> {
        let host = cx.host(cx.machine(&self.0.node)?);
        let (manifest, mode) = host.read_text(MANIFEST).await?;
        let (was, now) = (parse(kept, &self.0)?, parse(&manifest, &self.0)?);
        let former = self.among(&was);
        let mut ours = was.clone();
        set(&mut ours, &self.among(&now));
        let content = if ours == now {
            kept.to_owned()
        } else {
            let mut without = now.clone();
            set(&mut without, &former);
            if without == now { manifest.clone() } else { written(&without)? }
        };
        if content != manifest {
            host.write("unset-flags", MANIFEST, Some((content.as_bytes(), mode))).await?;
        }
        Ok(former)
    }

    async fn write(&self, cx: &StepContext<'_>, effect: &str, wanted: &Before) -> Result<(), StepError> {
        let host = cx.host(cx.machine(&self.0.node)?);
        let (manifest, mode) = host.read_text(MANIFEST).await?;
        let was = parse(&manifest, &self.0)?;
        let mut now = was.clone();
        set(&mut now, wanted);
        if now == was {
            return Ok(());
        }
        host.write(effect, MANIFEST, Some((written(&now)?.as_bytes(), mode))).await
    }
}

fn written(pod: &Value) -> Result<String, StepError> {
    yaml::write(pod).map_err(|e| StepError::Failed(format!("{MANIFEST} can't be written: {e}")))
}

fn parse(manifest: &str, action: &SetFlags) -> Result<Value, StepError> {
    let node = action.node.slot();
    let pod =
        yaml::read(manifest).map_err(|e| StepError::host(node, format!("{MANIFEST} is not YAML: {e}")))?;
    if items(&pod, "/spec/containers").is_empty() {
        return Err(StepError::host(node, format!("{MANIFEST} holds no container")));
    }
    Ok(pod)
}

/// The flags of a static pod's first container, without dashes, wherever they are written.
pub fn flags(pod: &Value) -> BTreeMap<String, String> {
    words(pod)
        .filter_map(|word| {
            let (name, value) = word.strip_prefix("--")?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

fn words(pod: &Value) -> impl Iterator<Item = &str> {
    let container = &pod["spec"]["containers"][0];
    items(container, "/command").iter().chain(items(container, "/args")).filter_map(Value::as_str)
}

/// Puts flags where they are, or behind the last word of the command.
fn set(pod: &mut Value, wanted: &Before) {
    let container = &mut pod["spec"]["containers"][0];
    for (name, value) in wanted {
        let prefix = format!("--{name}=");
        let mut placed = false;
        for list in ["command", "args"] {
            let Some(words) = container[list].as_array_mut() else { continue };
            words.retain_mut(|word| {
                if !word.as_str().is_some_and(|w| w.starts_with(&prefix)) {
                    return true;
                }
                let keep = value.is_some() && !placed;
                if let (true, Some(value)) = (keep, value) {
                    *word = json!(format!("{prefix}{value}"));
                    placed = true;
                }
                keep
            });
        }
        if let (false, Some(value)) = (placed, value) {
            let list = if container["command"].is_array() { "command" } else { "args" };
            if let Some(words) = container[list].as_array_mut() {
                words.push(json!(format!("{prefix}{value}")));
            }
        }
    }
}

/// Waits until a node's controller-manager runs with flags, by its mirror pod.
///
/// # Errors
/// When a pause was asked for or the server refuses.
pub async fn runs_with(cx: &StepContext<'_>, node: &NodeName, wanted: &Before) -> Result<(), StepError> {
    let name = format!("kube-controller-manager-{node}");
    let mut pods = cx
        .follow("/api/v1/namespaces/kube-system/pods", &path::fields(&format!("metadata.name={name}")))
        .await?;
    loop {
        let Some(reason) = missing(pods.get("kube-system", &name), wanted) else { return Ok(()) };
        cx.waiting(Waiting::ControllerManager { node: node.clone(), reason })?;
        cx.changed(&mut pods).await?;
    }
}

fn missing(pod: Option<&Value>, wanted: &Before) -> Option<String> {
    let Some(pod) = pod else { return Some("its pod is not there yet".into()) };
    let flags = flags(pod);
    let differs = wanted.iter().find(|(name, value)| flags.get(*name) != value.as_ref());
    if let Some((name, _)) = differs {
        let now = flags.get(name).map_or("nothing", String::as_str);
        return Some(format!("it runs with --{name} {now}"));
    }
    if pod_ready(pod) {
        return None;
    }
    let state = items(pod, "/status/containerStatuses").first();
    let waiting = state.map_or("", |s| text(s, "/state/waiting/message"));
    let why = condition(pod, "Ready").map_or("", |c| text(c, "/message"));
    Some(
        [waiting, why, "its pod is not ready"]
            .into_iter()
            .find(|t| !t.is_empty())
            .unwrap_or_default()
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_changed_in_its_place_and_a_new_one_comes_last() {
        let mut pod = json!({"spec": {"containers": [{"command": [
            "kube-controller-manager", "--allocate-node-cidrs=true", "--cluster-cidr=192.168.0.0/16",
        ]}]}});
        let wanted = BTreeMap::from([
            ("allocate-node-cidrs".to_owned(), Some("false".to_owned())),
            ("cluster-cidr".to_owned(), None),
            ("v".to_owned(), Some("4".to_owned())),
        ]);
        set(&mut pod, &wanted);
        let words: Vec<&str> = words(&pod).collect();
        assert_eq!(words, ["kube-controller-manager", "--allocate-node-cidrs=false", "--v=4"]);
    }
}
