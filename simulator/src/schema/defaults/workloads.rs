//! Defaults of workloads: what makes and keeps pods.

use super::pod;
use super::set::{default, drop_zero, existing, items, object};
use serde_json::{Value, json};

fn template(spec: &mut Value) {
    if let Some(inner) = existing(spec, "template").and_then(|template| existing(template, "spec")) {
        pod::spec(inner);
    }
}

/// A Deployment's spec.
pub fn deployment(spec: &mut Value) {
    template(spec);
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    drop_zero(spec, "paused");
    drop_zero(spec, "minReadySeconds");
    let strategy = object(spec, "strategy");
    default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = object(strategy, "rollingUpdate");
        default(rolling, "maxSurge", "25%");
        default(rolling, "maxUnavailable", "25%");
    }
}

/// A ReplicaSet's or ReplicationController's spec.
pub fn replica_set(spec: &mut Value) {
    template(spec);
    default(spec, "replicas", 1);
    drop_zero(spec, "minReadySeconds");
}

/// A DaemonSet's spec.
pub fn daemon_set(spec: &mut Value) {
    template(spec);
    default(spec, "revisionHistoryLimit", 10);
    drop_zero(spec, "minReadySeconds");
    let strategy = object(spec, "updateStrategy");
    default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = object(strategy, "rollingUpdate");
        default(rolling, "maxSurge", 0);
        default(rolling, "maxUnavailable", 1);
    }
}

/// A StatefulSet's spec.
pub fn stateful_set(spec: &mut Value) {
    template(spec);
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "podManagementPolicy", "OrderedReady");
    default(spec, "serviceName", "");
    drop_zero(spec, "minReadySeconds");
    let strategy = object(spec, "updateStrategy");
    default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        default(object(strategy, "rollingUpdate"), "partition", 0);
    }
    let retention = object(spec, "persistentVolumeClaimRetentionPolicy");
    default(retention, "whenDeleted", "Retain");
    default(retention, "whenScaled", "Retain");
    for claim in items(spec, "volumeClaimTemplates") {
        default(claim, "apiVersion", "v1");
        default(claim, "kind", "PersistentVolumeClaim");
        default(object(claim, "spec"), "volumeMode", "Filesystem");
        default(object(claim, "status"), "phase", "Pending");
    }
}

/// A Job's spec.
pub fn job(spec: &mut Value) {
    template(spec);
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        default(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    default(spec, "backoffLimit", 6);
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    let policy = if spec.get("podFailurePolicy").is_some() { "Failed" } else { "TerminatingOrFailed" };
    default(spec, "podReplacementPolicy", policy);
}

/// The selector of a new Job, and the labels of its pods, from its UID.
pub fn job_selector(job: &mut Value) {
    let (Some(uid), name) =
        (job["metadata"]["uid"].as_str().map(str::to_owned), job["metadata"]["name"].clone())
    else {
        return;
    };
    let spec = &mut job["spec"];
    if spec["manualSelector"] == true {
        return;
    }
    default(spec, "manualSelector", false);
    drop_zero(spec, "manualSelector");
    let labels = object(object(object(spec, "template"), "metadata"), "labels");
    for (label, value) in [
        ("controller-uid", json!(uid)),
        ("batch.kubernetes.io/controller-uid", json!(uid)),
        ("job-name", name.clone()),
        ("batch.kubernetes.io/job-name", name),
    ] {
        default(labels, label, value);
    }
    default(spec, "selector", json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }));
}

/// A CronJob's spec.
pub fn cron_job(spec: &mut Value) {
    default(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", false);
    default(spec, "successfulJobsHistoryLimit", 3);
    default(spec, "failedJobsHistoryLimit", 1);
    if let Some(inner) = existing(spec, "jobTemplate").and_then(|template| existing(template, "spec")) {
        template(inner);
    }
}

/// A HorizontalPodAutoscaler's spec.
pub fn autoscaler(spec: &mut Value) {
    default(spec, "minReplicas", 1);
    default(
        spec,
        "metrics",
        json!([{
            "type": "Resource",
            "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } },
        }]),
    );
}
