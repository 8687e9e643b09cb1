//! YAML as Kubernetes' own tools read and write it.
//!
//! kubectl, kubeadm and kubelets read plain scalars as YAML 1.1 does (through `sigs.k8s.io/yaml`): `0644` is an octal
//! number, `yes` and `on` are booleans. A document that is read in another way and written back says something else
//! than before.

use serde_json::Value;

/// Why a text is no YAML, or a value can't be written as such.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct YamlError(String);

/// Reads one document.
///
/// # Errors
/// When it is no YAML, or more than one document.
pub fn read(text: &str) -> Result<Value, YamlError> {
    serde_saphyr::from_str_with_options(text, scalars_of_kubernetes()).map_err(said)
}

/// Reads one document of a file.
///
/// # Errors
/// When it is no UTF-8, no YAML, or more than one document.
pub fn read_file(content: &[u8]) -> Result<Value, YamlError> {
    read(std::str::from_utf8(content).map_err(|error| YamlError(error.to_string()))?)
}

/// Reads all documents, empty ones as null.
///
/// # Errors
/// When one of them is no YAML.
pub fn documents(text: &str) -> Result<Vec<Value>, YamlError> {
    serde_saphyr::from_multiple_with_options(text, scalars_of_kubernetes()).map_err(said)
}

/// Writes one document; what a reader of either YAML would take for a number or a boolean is quoted.
///
/// # Errors
/// When it can't be written.
pub fn write(document: &Value) -> Result<String, YamlError> {
    serde_saphyr::to_string(document).map_err(|error| YamlError(error.to_string()))
}

fn scalars_of_kubernetes() -> serde_saphyr::Options {
    serde_saphyr::options! { legacy_octal_numbers: true, strict_booleans: false }
}

/// The first line has the reason and its place; the others draw it.
fn said(error: serde_saphyr::Error) -> YamlError {
    YamlError(error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let read = read("mode: 0644\nflag: yes\nquoted: \"0644\"\n").unwrap();
        assert_eq!(read, json!({"mode": 0o644, "flag": true, "quoted": "0644"}));
    }

    #[test]
    fn what_is_written_is_read_as_what_it_was() {
        let document = json!({"mode": 420, "text": "0644", "answer": "yes", "time": "1:30", "empty": {}});
        assert_eq!(read(&write(&document).unwrap()).unwrap(), document);
    }

    #[test]
    fn a_reason_is_one_line() {
        let error = read("a: b: c").unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
