//! XML as AWS writes it.

/// An element with others in it.
pub fn el(name: &str, inner: &[String]) -> String {
    format!("<{name}>{}</{name}>", inner.concat())
}

/// An element with text in it.
pub fn text(name: &str, value: impl ToString) -> String {
    format!("<{name}>{}</{name}>", escaped(&value.to_string()))
}

/// An element with text in it, if there is one.
pub fn maybe(name: &str, value: Option<impl ToString>) -> String {
    value.map(|value| text(name, value)).unwrap_or_default()
}

/// A list: EC2 calls each of its elements `item`.
pub fn list(name: &str, items: impl IntoIterator<Item = String>) -> String {
    named_list(name, "item", items)
}

/// A list: the other services call each of its elements `member`.
pub fn members(name: &str, items: impl IntoIterator<Item = String>) -> String {
    named_list(name, "member", items)
}

fn named_list(name: &str, item: &str, items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().map(|inner| format!("<{item}>{inner}</{item}>")).collect();
    el(name, &items)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
