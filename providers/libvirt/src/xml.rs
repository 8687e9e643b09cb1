//! Writing XML, and changing documents that others wrote without touching the rest of them.

use std::fmt::Write as _;
use std::ops::Range;

/// An element that is written: names are ours, values are anybody's.
#[derive(Clone, Debug)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: String,
    raw: String,
    children: Vec<Element>,
}

impl Element {
    /// An empty element.
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), text: String::new(), raw: String::new(), children: Vec::new() }
    }

    /// With an attribute.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With a text.
    pub fn text(mut self, text: impl ToString) -> Self {
        self.text = text.to_string();
        self
    }

    /// With what another document holds, as it stands there.
    pub fn raw(mut self, xml: &str) -> Self {
        self.raw.push_str(xml);
        self
    }

    /// With a child.
    pub fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    /// With children.
    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    /// The document.
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        // Writing to a String can't fail.
        let _ = write!(out, "<{}", self.name);
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}='{}'", escaped(value));
        }
        if self.text.is_empty() && self.raw.is_empty() && self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        let _ = write!(out, ">{}{}", escaped(&self.text), self.raw);
        for child in &self.children {
            child.write(out);
        }
        let _ = write!(out, "</{}>", self.name);
    }
}

/// A text as it stands in a document. What XML can't hold at all becomes a question mark.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\r' | '\t' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// Changes of a document that others wrote: everything else of it stays byte for byte.
#[derive(Debug)]
pub struct Edits<'a> {
    text: &'a str,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    /// No changes yet.
    pub fn of(text: &'a str) -> Self {
        Self { text, edits: Vec::new() }
    }

    /// Puts a text in the place of a part.
    pub fn replace(&mut self, range: Range<usize>, with: impl Into<String>) {
        self.edits.push((range, with.into()));
    }

    /// Gives an element an attribute, whether it has it or not.
    pub fn set(&mut self, node: roxmltree::Node<'_, '_>, name: &str, value: &str) {
        match node.attribute_node(name) {
            Some(attribute) => self.replace(attribute.range_value(), escaped(value)),
            None => {
                let at = node.range().start + 1 + node.tag_name().name().len();
                self.replace(at..at, format!(" {name}='{}'", escaped(value)));
            }
        }
    }

    /// The changed document.
    pub fn done(mut self) -> String {
        // What is put in before an element comes before what takes the element's place.
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let (mut out, mut at) = (String::with_capacity(self.text.len()), 0);
        for (range, with) in &self.edits {
            // Two changes of one place are a mistake of the caller's; the first one holds.
            if range.start < at {
                continue;
            }
            out.push_str(&self.text[at..range.start]);
            out.push_str(with);
            at = range.end;
        }
        out.push_str(&self.text[at..]);
        out
    }
}

/// The first child element of that name.
pub fn child<'a, 'i>(node: roxmltree::Node<'a, 'i>, name: &str) -> Option<roxmltree::Node<'a, 'i>> {
    node.children().find(|n| n.is_element() && n.tag_name().name() == name)
}

/// Every child element of that name.
pub fn children<'a, 'i: 'a>(
    node: roxmltree::Node<'a, 'i>,
    name: &'a str,
) -> impl Iterator<Item = roxmltree::Node<'a, 'i>> {
    node.children().filter(move |n| n.is_element() && n.tag_name().name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let odd = "a'b\"<&>\n\t\u{1}ä";
        let text = Element::new("x").with("y", odd).child(Element::new("z").text(odd)).render();
        let document = roxmltree::Document::parse(&text).expect("it is XML");
        let read = "a'b\"<&>\n\t?ä";
        assert_eq!(document.root_element().attribute("y"), Some(read));
        assert_eq!(child(document.root_element(), "z").and_then(|z| z.text()), Some(read));
    }

    #[test]
    fn a_change_leaves_the_rest_as_it_was() {
        let text = "<d  type=\"kvm\"><!-- mine --><name>a</name><disk type='file'/></d>";
        let document = roxmltree::Document::parse(text).expect("it is XML");
        let root = document.root_element();
        let mut edits = Edits::of(text);
        edits.set(child(root, "disk").expect("a disk"), "device", "disk");
        edits.set(root, "type", "qemu");
        let name = child(root, "name").expect("a name").range();
        edits.replace(name.clone(), "<name>b</name>");
        edits.replace(name.start..name.start, "<title/>");
        let wanted =
            "<d  type=\"qemu\"><!-- mine --><title/><name>b</name><disk device='disk' type='file'/></d>";
        assert_eq!(edits.done(), wanted);
    }
}
