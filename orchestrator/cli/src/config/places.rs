//! Where in the file each value stands.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::fmt;

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self { line: number(location.line()), column: number(location.column()) }
    }
}

/// The values of a document by the keys that lead to them; items of lists by their numbers from 0.
#[derive(Default)]
pub(super) struct Places {
    below: BTreeMap<String, Spanned<Places>>,
}

impl Places {
    /// The places in a document that was read before.
    pub(super) fn of(text: &str) -> Self {
        serde_saphyr::from_str(text).unwrap_or_default()
    }

    /// The place of a value; of the nearest one above it that stands in the file where it was left out.
    pub(super) fn find(&self, keys: &[String]) -> Option<Place> {
        let (first, rest) = keys.split_first()?;
        let here = self.below.get(first)?;
        here.value.find(rest).or(Some(here.referenced.into()))
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

/// Walks through a document and keeps nothing but places.
struct Walk;

/// A scalar has nothing below it.
macro_rules! scalars {
    ($($method:ident: $kind:ty),*) => {
        $(fn $method<E>(self, _: $kind) -> Result<Places, E> {
            Ok(Places::default())
        })*
    };
}

impl<'de> Visitor<'de> for Walk {
    type Value = Places;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Places, E> {
        Ok(Places::default())
    }

    fn visit_none<E>(self) -> Result<Places, E> {
        Ok(Places::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Places, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Places, A::Error> {
        let mut places = Places::default();
        while let Some(item) = items.next_element()? {
            places.below.insert(places.below.len().to_string(), item);
        }
        Ok(places)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Places, A::Error> {
        let mut places = Places::default();
        while let Some(key) = fields.next_key::<Key>()? {
            match key {
                Key::Named(name) => {
                    places.below.insert(name, fields.next_value()?);
                }
                Key::Other => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(places)
    }
}

/// A key of a map.
#[derive(Deserialize)]
#[serde(untagged)]
enum Key {
    Named(String),
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_what_was_left_out_is_found_above() {
        let places = Places::of("network:\n  podCidrs:\n  - a\n  - b\n  mtu: 3\n");
        let find = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|k| (*k).to_owned()).collect();
            places.find(&keys).map(|place| (place.line, place.column))
        };
        assert_eq!(find(&["network", "podCidrs", "1"]), Some((4, 5)));
        assert_eq!(find(&["network", "mtu"]), Some((5, 8)));
        assert_eq!(find(&["network", "image"]), Some((2, 3)));
        assert_eq!(find(&["nodes"]), None);
    }
}
