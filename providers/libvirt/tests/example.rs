//! The example's configuration, with everything that is commented out in it, against the settings' schema.

#![allow(missing_docs, reason = "a test")]

use replank_provider_libvirt::settings::Settings;
use serde_json::Value;

const EXAMPLE: &str = include_str!("../../../examples/libvirt.yaml");

/// The example's settings; `all`: with what is commented out. A comment that begins like a setting is one.
fn settings(all: bool) -> Value {
    let is_setting = |line: &str| {
        let word = line.split(':').next().unwrap_or_default();
        line.contains(':') && !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let shown = EXAMPLE.lines().map(|line| match line.split_once("    # ") {
        // Two spaces deeper for what belongs to the setting before it.
        Some(("", rest)) if all && is_setting(rest.trim_start()) => format!("    {rest}"),
        _ => line.to_owned(),
    });
    let text = shown.collect::<Vec<_>>().join("\n");
    let document: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    assert_eq!(document["provider"]["name"], "libvirt");
    document["provider"]["settings"].clone()
}

#[test]
fn the_example_can_be_used_as_it_is() {
    let read: Settings = serde_json::from_value(settings(false)).expect("it fits");
    assert_eq!((read.uri.as_str(), read.pool.as_str()), ("qemu:///system", "default"));
}

#[test]
fn the_example_shows_every_setting_and_no_other() {
    let all = settings(true);
    let _: Settings = serde_json::from_value(all.clone()).expect("it fits");
    let schema = serde_json::to_value(schemars::schema_for!(Settings)).expect("it is JSON");
    let names = |of: &Value| -> Vec<String> {
        let mut names: Vec<String> = of.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(names(&all), names(&schema["properties"]));
    assert_eq!(names(&all["kernel"]), names(&schema["$defs"]["Kernel"]["properties"]));
}

#[test]
fn an_unknown_setting_is_refused() {
    let mut all = settings(true);
    all["memory"] = 8.into();
    assert!(serde_json::from_value::<Settings>(all).expect_err("not this").to_string().contains("memory"));
}
