//! Manifests as `kubectl apply` accepts them: YAML with any number of documents, or JSON.

use serde_json::Value;

/// A file with its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its name, for messages.
    pub name: String,
    /// Its objects in their order; Lists taken apart.
    pub objects: Vec<Value>,
}

/// Why a file is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not YAML.
    #[error("{file} is not YAML: {reason}. Give a file that `kubectl apply -f` accepts.")]
    NotYaml {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A document is no Kubernetes object.
    #[error(
        "document {document} of {file} is no Kubernetes object: it has no {missing}. Give a file that `kubectl apply \
         -f` accepts."
    )]
    NotKubernetes {
        /// The file.
        file: String,
        /// Counts from 1.
        document: usize,
        /// The field that is missing.
        missing: &'static str,
    },
    /// It holds nothing.
    #[error("{file} holds no object. Give a file that `kubectl apply -f` accepts.")]
    Empty {
        /// The file.
        file: String,
    },
}

impl Manifest {
    /// Reads a manifest from text. Scalars are read as YAML 1.1 where kubectl does: `0644` is an
    /// octal number, `yes` and `on` are booleans.
    ///
    /// # Errors
    /// When the text is no YAML, or a document is no Kubernetes object.
    pub fn read(name: &str, text: &str) -> Result<Self, ManifestError> {
        let not_yaml = |reason: String| ManifestError::NotYaml { file: name.to_owned(), reason };
        let options = serde_saphyr::options! { legacy_octal_numbers: true, strict_booleans: false };
        let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
            .map_err(|error| not_yaml(first_line(&error.to_string())))?;
        let mut objects = Vec::new();
        for (at, document) in documents.into_iter().enumerate().filter(|(_, d)| !d.is_null()) {
            for object in taken_apart(document) {
                check(name, at + 1, &object)?;
                objects.push(object);
            }
        }
        if objects.is_empty() {
            return Err(ManifestError::Empty { file: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), objects })
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn taken_apart(document: Value) -> Vec<Value> {
    let is_list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match document.get("items").and_then(Value::as_array) {
        Some(items) if is_list => items.clone(),
        _ => vec![document],
    }
}

fn check(file: &str, document: usize, object: &Value) -> Result<(), ManifestError> {
    for (pointer, missing) in
        [("/apiVersion", "apiVersion"), ("/kind", "kind"), ("/metadata/name", "metadata.name")]
    {
        if object.pointer(pointer).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(ManifestError::NotKubernetes { file: file.to_owned(), document, missing });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let text =
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nmode: 0400\nflag: yes\nquoted: \"0400\"\n";
        let manifest = Manifest::read("a.yaml", text).unwrap();
        assert_eq!(manifest.objects[0]["mode"], 0o400);
        assert_eq!(manifest.objects[0]["flag"], true);
        assert_eq!(manifest.objects[0]["quoted"], "0400");
    }

    #[test]
    fn what_is_no_manifest_is_named_with_its_place() {
        let error = Manifest::read("notes.txt", "a: b: c").unwrap_err().to_string();
        assert!(error.starts_with("notes.txt is not YAML"), "{error}");
        let error = Manifest::read("values.yaml", "---\nreplicas: 3\n").unwrap_err().to_string();
        assert!(
            error.starts_with("document 1 of values.yaml is no Kubernetes object: it has no apiVersion.")
        );
        assert!(Manifest::read("empty.yaml", "---\n").is_err());
    }
}
