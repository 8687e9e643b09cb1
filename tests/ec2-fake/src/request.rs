//! A request of the Query protocol: flat names such as `Filter.1.Value.2`.

use crate::xml;
use std::collections::BTreeMap;

/// The parameters of a request, or those under a common prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

/// A refusal: AWS's word for it and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No {
    /// The status line's number.
    pub status: u16,
    /// AWS's word.
    pub code: String,
    /// A sentence.
    pub message: String,
}

/// What an action answers: the elements within its response.
pub type Answer = Result<String, No>;

impl No {
    /// A refusal that is the caller's fault.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.into(), message: message.into() }
    }

    /// There is no such thing.
    pub fn missing(code: &str, kind: &str, id: &str) -> Self {
        Self::new(code, format!("The {kind} ID '{id}' does not exist"))
    }

    /// As EC2 writes it.
    pub fn ec2(&self) -> String {
        let error = xml::el("Error", &[xml::text("Code", &self.code), xml::text("Message", &self.message)]);
        xml::el("Response", &[xml::el("Errors", &[error]), xml::text("RequestID", "fake")])
    }

    /// As the other services write it.
    pub fn query(&self) -> String {
        let of =
            [xml::text("Type", "Sender"), xml::text("Code", &self.code), xml::text("Message", &self.message)];
        xml::el("ErrorResponse", &[xml::el("Error", &of), xml::text("RequestId", "fake")])
    }
}

impl Params {
    /// Reads a form.
    pub fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// One parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// One that must be there.
    pub fn need(&self, name: &str) -> Result<&str, No> {
        let missing =
            || No::new("MissingParameter", format!("The request must contain the parameter {name}"));
        self.get(name).ok_or_else(missing)
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// A boolean.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.parse().ok()
    }

    /// A list of texts: `NAME.1`, `NAME.2` (or `NAME.member.1`).
    pub fn list(&self, name: &str) -> Vec<String> {
        let member = format!("{name}.member");
        [name, &member]
            .into_iter()
            .flat_map(|name| (1..).map_while(move |n| self.get(&format!("{name}.{n}"))))
            .map(str::to_owned)
            .collect()
    }

    /// What is under a prefix.
    pub fn under(&self, prefix: &str) -> Self {
        let prefix = format!("{prefix}.");
        let inner = self.0.iter().filter_map(|(k, v)| Some((k.strip_prefix(&prefix)?.to_owned(), v.clone())));
        Self(inner.collect())
    }

    /// A list of structures.
    pub fn structures(&self, name: &str) -> Vec<Self> {
        let member = format!("{name}.member");
        [name, &member]
            .into_iter()
            .flat_map(|name| {
                (1..).map(move |n| self.under(&format!("{name}.{n}"))).take_while(|p| !p.0.is_empty())
            })
            .collect()
    }

    /// The filters: names and allowed values, with `*` for any characters.
    pub fn filters(&self) -> Vec<(String, Vec<String>)> {
        let read = |p: &Self| (p.get("Name").unwrap_or_default().to_owned(), p.list("Value"));
        self.structures("Filter").iter().map(read).collect()
    }

    /// Everything but what may differ between two that are the same.
    pub fn fingerprint(&self) -> String {
        self.0.iter().map(|(k, v)| format!("{k}={v}\n")).collect()
    }

    /// What may be kept and shown: all but the user-data.
    pub fn shown(&self) -> BTreeMap<String, String> {
        self.0.iter().filter(|(k, _)| *k != "UserData").map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

/// Whether a value is among those that a filter allows.
pub fn allowed(allowed: &[String], value: &str) -> bool {
    allowed.iter().any(|pattern| fits(pattern.as_bytes(), value.as_bytes()))
}

fn fits(pattern: &[u8], value: &[u8]) -> bool {
    match (pattern.split_first(), value.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            fits(rest, value) || value.split_first().is_some_and(|(_, value)| fits(pattern, value))
        }
        (Some((p, pattern)), Some((v, value))) => p == v && fits(pattern, value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_names_are_lists_and_structures() {
        let params = Params::read(
            b"Action=X&Filter.1.Name=key&Filter.1.Value.1=a%2A&Filter.1.Value.2=b&InstanceId.1=i-1",
        );
        assert_eq!(params.filters(), [("key".to_owned(), vec!["a*".to_owned(), "b".to_owned()])]);
        assert_eq!(params.list("InstanceId"), ["i-1"]);
        assert!(allowed(&["a*".into()], "abc") && !allowed(&["a*c".into()], "ab"));
    }
}
