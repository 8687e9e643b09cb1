//! Tags, on whatever there is.

use crate::request::{Answer, No, Params, allowed};
use crate::world::{Tags, World};
use crate::xml::{list, text};
use std::collections::BTreeMap;
use std::time::Instant;

/// How many tags a thing may have.
const MOST: usize = 50;

/// Tags as they are shown on a thing.
pub(crate) fn tag_set(tags: &BTreeMap<String, String>) -> String {
    list("tagSet", tags.iter().map(|(key, value)| text("key", key) + &text("value", value)))
}

/// The tags that a request gives to one kind of thing it makes.
pub(crate) fn specified(params: &Params, kind: &str) -> Result<Vec<(String, String)>, No> {
    let of_kind =
        params.structures("TagSpecification").into_iter().filter(|s| s.get("ResourceType") == Some(kind));
    let mut tags = Vec::new();
    for specification in of_kind {
        tags.extend(read(&specification)?);
    }
    if tags.len() > MOST {
        return Err(No::new("TagLimitExceeded", format!("More than {MOST} tags")));
    }
    Ok(tags)
}

/// Tags of a request, held to EC2's rules.
fn read(params: &Params) -> Result<Vec<(String, String)>, No> {
    let mut tags = Vec::new();
    for tag in params.structures("Tag") {
        let (key, value) = (tag.need("Key")?.to_owned(), tag.get("Value").unwrap_or_default().to_owned());
        let fits =
            |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c));
        if key.starts_with("aws:") || !fits(&key) || !fits(&value) {
            return Err(No::new("InvalidParameterValue", format!("The tag {key}={value} is not allowed")));
        }
        if key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(No::new("InvalidParameterValue", format!("The tag {key} is too long")));
        }
        tags.push((key, value));
    }
    Ok(tags)
}

impl World {
    fn tags_of(&mut self, resource: &str) -> Result<&mut Tags, No> {
        if resource.starts_with("i-") {
            return self.instance(resource).map(|instance| &mut instance.tags);
        }
        let volume = self.volumes.get_mut(resource).map(|volume| &mut volume.tags);
        let tags = volume.or_else(|| self.snapshots.get_mut(resource).map(|snapshot| &mut snapshot.tags));
        tags.ok_or_else(|| No::new("InvalidID", format!("The ID '{resource}' is not valid")))
    }

    pub(crate) fn create_tags(&mut self, params: &Params) -> Answer {
        let tags = read(params)?;
        for resource in params.list("ResourceId") {
            let of = self.tags_of(&resource)?;
            let mut after = of.now();
            after.extend(tags.clone());
            if after.len() > MOST {
                return Err(No::new(
                    "TagLimitExceeded",
                    format!("{resource} would have more than {MOST} tags"),
                ));
            }
            for (key, value) in &tags {
                of.change(Instant::now(), key, Some(value));
            }
        }
        Ok(text("return", true))
    }

    pub(crate) fn delete_tags(&mut self, params: &Params) -> Answer {
        for resource in params.list("ResourceId") {
            for tag in params.structures("Tag") {
                let key = tag.need("Key")?.to_owned();
                self.tags_of(&resource)?.change(Instant::now(), &key, None);
            }
        }
        Ok(text("return", true))
    }

    pub(crate) fn describe_tags(&self, params: &Params) -> Answer {
        let until = self.seen_until();
        let seen = |born| self.is_seen(born);
        let instances =
            self.instances.values().filter(|i| seen(i.born)).map(|i| (&i.id, "instance", &i.tags));
        let volumes =
            self.volumes.iter().filter(|(_, v)| seen(v.born)).map(|(id, v)| (id, "volume", &v.tags));
        let snapshots =
            self.snapshots.iter().filter(|(_, s)| seen(s.born)).map(|(id, s)| (id, "snapshot", &s.tags));
        let filters = params.filters();
        let mut items = Vec::new();
        for (id, kind, tags) in instances.chain(volumes).chain(snapshots) {
            for (key, value) in tags.until(until) {
                let fits = |(name, values): &(String, Vec<String>)| match name.as_str() {
                    "key" => allowed(values, &key),
                    "value" => allowed(values, &value),
                    "resource-id" => allowed(values, id),
                    "resource-type" => allowed(values, kind),
                    _ => false,
                };
                if filters.iter().all(fits) {
                    let item = [
                        text("resourceId", id),
                        text("resourceType", kind),
                        text("key", &key),
                        text("value", &value),
                    ];
                    items.push(item.concat());
                }
            }
        }
        Ok(self.page(params, "tagSet", items))
    }

    /// One page of a list.
    pub(crate) fn page(&self, params: &Params, name: &str, items: Vec<String>) -> String {
        let first = params.number("NextToken").unwrap_or(0).max(0) as usize;
        let wanted =
            params.number("MaxResults").map_or(self.pace.page, |n| (n.max(1) as usize).min(self.pace.page));
        let all = items.len();
        let page = items.into_iter().skip(first).take(wanted);
        let more = if first + wanted < all { text("nextToken", first + wanted) } else { String::new() };
        list(name, page) + &more
    }
}
