//! `replank rbac`.

use super::apply;
use crate::exit::Exit;
use crate::output::{self, Format};
use clap::Args;
use replank_planning::rights::{self, Subject};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The flags of `replank rbac`.
#[derive(Debug, Args)]
pub(crate) struct RbacArguments {
    /// The plan that is to be carried out; without it only looking is provided for, as `check` and `plan` do.
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// Who is to have the rights: `user:NAME`, `group:NAME` or `serviceaccount:NAMESPACE/NAME`; without it
    /// nobody is bound to the roles.
    #[arg(long = "for", value_name = "WHO", value_parser = subject)]
    subject: Option<Subject>,
    /// YAML, or one List as JSON.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Prints the roles.
pub(super) fn run(arguments: &RbacArguments) -> Exit {
    let subject = arguments.subject.as_ref();
    let manifests = match &arguments.plan {
        Some(path) => match apply::read(path) {
            Ok(plan) => rights::for_plan(&plan, subject),
            Err(failure) => {
                output::error(&failure);
                return failure.exit();
            }
        },
        None => rights::manifests(&rights::observation(), subject),
    };
    match arguments.output {
        Format::Json => output::document(&json!({"apiVersion": "v1", "kind": "List", "items": manifests})),
        Format::Text => match yaml(&manifests) {
            Ok(text) => output::data(&text),
            Err(error) => {
                output::error(&error);
                return Exit::Failed;
            }
        },
    }
    Exit::Done
}

fn yaml(manifests: &[Value]) -> Result<String, serde_saphyr::ser_error::Error> {
    let documents: Result<Vec<String>, _> = manifests.iter().map(serde_saphyr::to_string).collect();
    Ok(documents?.iter().map(|text| text.trim_end()).collect::<Vec<_>>().join("\n---\n"))
}

fn subject(text: &str) -> Result<Subject, String> {
    let wrong = || format!("{text:?} is nobody: say user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME");
    match text.split_once(':') {
        Some(("user", name)) if !name.is_empty() => Ok(Subject::User(name.to_owned())),
        Some(("group", name)) if !name.is_empty() => Ok(Subject::Group(name.to_owned())),
        Some(("serviceaccount", account)) => match account.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Subject::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_a_user_a_group_or_an_account() {
        assert_eq!(subject("user:jane"), Ok(Subject::User("jane".into())));
        assert_eq!(subject("group:system:masters"), Ok(Subject::Group("system:masters".into())));
        let account = Subject::ServiceAccount { namespace: "ops".into(), name: "replank".into() };
        assert_eq!(subject("serviceaccount:ops/replank"), Ok(account));
        for wrong in ["jane", "user:", "serviceaccount:replank", "robot:x"] {
            assert!(subject(wrong).unwrap_err().contains("user:NAME"), "{wrong}");
        }
    }

    #[test]
    fn looking_needs_reading_only() {
        let text = yaml(&rights::manifests(&rights::observation(), None)).unwrap();
        insta::assert_snapshot!(text);
    }
}
