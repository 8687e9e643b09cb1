//! The configuration file: what is wanted, with everything the flags can say and more.
//!
//! - [`document`]: its shape; the JSON Schema comes from there.
//! - [`places`]: where in the file each value stands.
//! - [`error`]: what is wrong, with the line it stands on.
//! - [`user_data`]: the files with user-data that it names.
//! - [`starting`]: a commented file to start from.

mod document;
mod error;
mod places;
mod starting;
mod user_data;

pub(crate) use document::schema;
pub(crate) use error::ConfigError;
pub(crate) use starting::{Seen, starting_file};

use document::Document;
use error::Wrong;
use places::Places;
use replank_planning::intent::{Intent, problems};
use std::path::Path;

/// Reads a configuration file, and the files it names.
///
/// # Errors
/// When a file can't be read, or a line of it makes no sense.
pub(crate) fn load(path: &Path) -> Result<Intent, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let document = parse(path, &text)?;
    let manifest = match &document.network.manifest {
        Some(named) => {
            // Beside the file that names it, wherever the command is run.
            let at = path.parent().unwrap_or(Path::new("")).join(named);
            let text =
                std::fs::read_to_string(&at).map_err(|source| ConfigError::Read { path: at, source })?;
            Some(text)
        }
        None => None,
    };
    let user_data = user_data::read(path, &document.nodes.user_data)?;
    let intent = document.intent(manifest, user_data);
    let found = problems(&intent);
    if found.is_empty() {
        return Ok(intent);
    }
    let places = Places::of(&text);
    let wrong = found.into_iter().map(|problem| Wrong {
        place: places.find(&problem.at),
        message: format!("{}: {}", problem.at.join("."), problem.message),
    });
    Err(ConfigError::wrong(path, &text, wrong.collect()))
}

fn parse(path: &Path, text: &str) -> Result<Document, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let message = error::plain(&error);
        ConfigError::wrong(path, text, vec![Wrong { place: error.location().map(Into::into), message }])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use replank_planning::checks::{Code, Consent};
    use replank_planning::intent::Strategy;

    fn read(text: &str) -> Result<Intent, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("migration.yaml");
        std::fs::write(&path, text).unwrap();
        load(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "migration.yaml"))
    }

    const HEAD: &str = "apiVersion: replank.dev/v1alpha1\nkind: Migration\n";

    #[test]
    fn a_file_with_nothing_but_its_head_is_the_default() {
        assert_eq!(read(HEAD).unwrap(), Intent::default());
    }

    #[test]
    fn everything_can_be_said() {
        let text = format!(
            "{HEAD}strategy: cutover\nnetwork:\n  podCidrs: [10.9.0.0/16]\n  backend: host-gw\n  mtu: 1400\n\
             nodes:\n  canary: worker-2\n  canarySoakSeconds: 5\n  maxSurge: 2\n\
             drain:\n  deadlineSeconds: 60\n  atDeadline: delete\n  graceSeconds: 10\n\
             provider:\n  name: aws\n  settings:\n    region: eu-west-1\n\
             accept:\n- code: bare-pod\n  object: Pod shop/debug\n"
        );
        let intent = read(&text).unwrap();
        assert_eq!(intent.strategy, Strategy::Cutover);
        assert_eq!((intent.nodes.canary_soak_seconds, intent.nodes.max_surge), (5, 2));
        assert_eq!(intent.provider.settings["region"], "eu-west-1");
        assert_eq!(intent.accept.len(), 1);
    }

    #[test]
    fn json_is_read_as_well() {
        assert_eq!(
            read(r#"{"apiVersion": "replank.dev/v1alpha1", "kind": "Migration"}"#).unwrap(),
            Intent::default()
        );
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line_and_what_was_meant() {
        insta::assert_snapshot!(read(&format!("{HEAD}network:\n  podCidr: [10.9.0.0/16]\n")).unwrap_err());
    }

    #[test]
    fn a_wrong_type_is_shown_with_its_line() {
        insta::assert_snapshot!(read(&format!("{HEAD}nodes:\n  maxSurge: many\n")).unwrap_err());
    }

    #[test]
    fn an_unknown_name_is_shown_with_those_there_are() {
        insta::assert_snapshot!(read(&format!("{HEAD}strategy: roling\n")).unwrap_err());
    }

    #[test]
    fn what_can_not_be_meant_is_shown_with_its_lines() {
        let text = format!(
            "{HEAD}network:\n  podCidrs:\n  - 10.9.0.0/16\n  - 10.10.0.7/16\n  mtu: 100\nnodes:\n  maxSurge: 0\n"
        );
        insta::assert_snapshot!(read(&text).unwrap_err());
    }

    #[test]
    fn another_kind_of_document_is_refused() {
        insta::assert_snapshot!(read("apiVersion: v1\nkind: ConfigMap\n").unwrap_err());
    }

    #[test]
    fn a_file_without_a_head_is_refused() {
        insta::assert_snapshot!(read("strategy: rolling\n").unwrap_err());
    }

    #[test]
    fn a_manifest_lies_beside_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("migration.yaml");
        let flannel = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: flannel}
data: {net-conf.json: '{"Network": "10.77.0.0/16"}'}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: flannel}
spec: {template: {spec: {containers: [{name: flanneld, image: "flannel-io/flannel:v1"}]}}}
"#;
        std::fs::write(directory.path().join("flannel.yaml"), flannel).unwrap();
        std::fs::write(&path, format!("{HEAD}network:\n  manifest: flannel.yaml\n")).unwrap();
        assert_eq!(load(&path).unwrap().network.manifest.as_deref(), Some(flannel));
        std::fs::write(directory.path().join("flannel.yaml"), "kind: ConfigMap\n").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("no Kubernetes object"));
        std::fs::remove_file(directory.path().join("flannel.yaml")).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("flannel.yaml"));
    }

    #[test]
    fn the_starting_file_says_what_is_so_without_it() {
        assert_eq!(read(&starting_file("simulator", None)).unwrap(), Intent::default());
        insta::assert_snapshot!(starting_file("simulator", None));
    }

    #[test]
    fn every_example_can_be_meant() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let mut read = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "yaml") {
                let intent = load(&entry.path()).unwrap_or_else(|error| panic!("{error}"));
                read.push(intent.provider.name);
            }
        }
        assert!(read.contains(&"simulator".to_owned()), "{read:?}");
    }

    #[test]
    fn a_starting_file_for_a_cluster_names_what_is_there() {
        let seen = Seen {
            old: Some("Calico v3.30.3 (manifest)".into()),
            ranges: vec!["10.245.0.0/16".parse().unwrap(), "fd00:244::/56".parse().unwrap()],
            canary: Some("node-7".into()),
            consents: vec![Consent { code: Code::BarePod, object: Some("Pod shop/debug: \"x\"".into()) }],
        };
        let text = starting_file("./my provider", Some(&seen));
        assert_eq!(read(&text).unwrap().provider.name, "./my provider");
        let taken = uncommented(&text).replace("# accept", "accept").replace("# - {", "- {");
        let intent = read(&taken).unwrap();
        assert_eq!(intent.accept, seen.consents);
        assert_eq!(intent.network.pod_cidrs, seen.ranges);
        assert_eq!(intent.nodes.canary, seen.canary);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn user_data_lies_beside_the_file_and_is_known_by_its_digest() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        put("migration.yaml", &format!("{HEAD}nodes:\n  userData: [base.yaml, disks.sh]\n"));
        put("base.yaml", "#cloud-config\npassword: hunter2\n");
        put("disks.sh", "#!/bin/sh\n");
        let intent = load(&directory.path().join("migration.yaml")).unwrap();
        let files = &intent.nodes.user_data;
        assert_eq!(files.len(), 2);
        assert!(Path::new(&files[0].path).is_absolute() && files[0].path.ends_with("base.yaml"));
        assert!(!serde_json::to_string(&intent).unwrap().contains("hunter2"), "no secret in a plan");

        put("base.yaml", "#cloud-config\nwrite_files:\n- path: /etc/x\n  contents: x\n");
        let wrong = load(&directory.path().join("migration.yaml")).unwrap_err().to_string();
        insta::assert_snapshot!(wrong.replace(&directory.path().display().to_string(), "."));
        put(
            "base.yaml",
            "#cloud-config\nmerge_how: str(append)+list(append)+dict(recurse_list)\nruncmd: [a]\n",
        );
        put("disks.sh", "#cloud-config\nmerge_how: list(append)\nruncmd: [b]\n");
        assert!(load(&directory.path().join("migration.yaml")).is_ok());
    }

    #[test]
    fn what_can_not_be_told_to_every_kubelet_is_shown_with_its_lines() {
        let text = format!(
            "{HEAD}nodes:\n  kubeletExtraArgs:\n    --max-pods: '50'\n    node-ip: 10.0.0.7\n    provider-id: x\n"
        );
        insta::assert_snapshot!(read(&text).unwrap_err());
        assert!(
            read(&format!("{HEAD}nodes:\n  kubeletExtraArgs: {{node-ip: '::', cloud-provider: external}}\n"))
                .is_ok()
        );
    }

    fn uncommented(text: &str) -> String {
        text.lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |all, line| all + line + "\n")
    }

    #[test]
    fn every_line_of_the_starting_file_can_be_taken_in() {
        read(&uncommented(&starting_file("simulator", None))).unwrap();
    }

    #[test]
    fn the_schema_names_every_key_of_the_starting_file() {
        let document: serde_json::Value = serde_saphyr::from_str(&starting_file("simulator", None)).unwrap();
        let schema = serde_json::to_value(schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        for key in document.as_object().unwrap().keys() {
            assert!(schema["properties"][key].is_object(), "{key}");
        }
        assert_eq!(schema["required"], serde_json::json!(["apiVersion", "kind"]));
    }
}
