//! Each effect happens once, and only under the newest epoch: written as tags on the machines themselves, so
//! that every process on every computer reads it. What this process wrote it knows before EC2 shows it.
//!
//! EC2 has no compare-and-set. Two callers within the same seconds could both pass; what keeps them apart then is
//! the cluster's own lock, and for creates the client token.

use crate::refusal::Refusal;
use crate::tags::{self, EPOCH, OPERATION, TRIED, key, tag};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Tag};
use replank_provider_protocol::verbs::Mutation;
use replank_provider_protocol::{Epoch, ErrorCode, ProviderError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many effects a machine remembers: EC2 allows fifty tags, most of which are the user's.
const REMEMBERED: usize = 12;

/// How far an effect has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was about to be had, so many seconds after 1970.
    Begun(u64),
    /// It was had.
    Done(u64),
}

/// An effect that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    arguments: String,
    verb: String,
    /// How far it has come.
    pub stage: Stage,
}

/// What is known before an effect.
#[derive(Clone, Debug)]
pub struct Seen {
    mutation: Mutation,
    verb: &'static str,
    arguments: String,
    epochs: BTreeMap<String, Epoch>,
    /// The effect as far as it has come, by the things that it was on.
    pub entries: BTreeMap<String, Entry>,
    /// On which of them EC2 itself shows it.
    shown: BTreeSet<String>,
    /// How many of the allowed subnets and types had no room.
    pub tried: usize,
    /// Whether this process has written a higher count, which EC2 does not show yet.
    pub tried_unseen: bool,
}

#[derive(Debug, Default)]
struct Memory {
    epochs: BTreeMap<String, Epoch>,
    entries: BTreeMap<String, BTreeMap<String, Entry>>,
    tried: BTreeMap<String, (usize, Instant)>,
    turns: BTreeMap<String, Weak<tokio::sync::Mutex<()>>>,
}

/// The account of effects.
#[derive(Debug)]
pub struct Ledger {
    ec2: Client,
    /// How long EC2 may take until everybody sees a change.
    consistency: Duration,
    memory: Mutex<Memory>,
}

impl Entry {
    fn write(&self, cluster: &str) -> String {
        let (word, at) = match self.stage {
            Stage::Begun(at) => ("begun", at),
            Stage::Done(at) => ("done", at),
        };
        format!("{cluster}:{}:{}:{word}:{at}", self.arguments, self.verb)
    }

    fn read(value: &str) -> Option<Self> {
        let mut words = value.rsplitn(5, ':');
        let at = words.next()?.parse().ok()?;
        let stage = match words.next()? {
            "begun" => Stage::Begun(at),
            "done" => Stage::Done(at),
            _ => return None,
        };
        Some(Self { verb: words.next()?.to_owned(), arguments: words.next()?.to_owned(), stage })
    }
}

impl Seen {
    /// Whether the effect was had on this thing.
    pub fn is_done(&self, resource: &str) -> bool {
        matches!(self.entries.get(resource), Some(Entry { stage: Stage::Done(_), .. }))
    }

    /// Whether EC2 shows it on this thing to everybody.
    pub fn is_shown(&self, resource: &str) -> bool {
        self.shown.contains(resource)
    }

    /// How long ago, at the least, it was about to be had on this thing, if it was and is not known to have been. A tag
    /// tells of whole seconds: what it says began one second ago may have begun just now.
    pub fn begun(&self, resource: &str) -> Option<Duration> {
        match self.entries.get(resource)?.stage {
            Stage::Begun(at) => Some(Duration::from_secs(now().saturating_sub(at).saturating_sub(1))),
            Stage::Done(_) => None,
        }
    }

    /// The tags of a thing that this effect makes.
    pub fn birth(&self) -> Vec<Tag> {
        vec![self.epoch_tag(), self.entry_tag(&self.entry(Stage::Done(now())))]
    }

    fn entry(&self, stage: Stage) -> Entry {
        Entry { arguments: self.arguments.clone(), verb: self.verb.to_owned(), stage }
    }

    fn epoch_tag(&self) -> Tag {
        tag(EPOCH, format!("{}:{}", self.mutation.cluster, self.mutation.epoch))
    }

    fn entry_tag(&self, entry: &Entry) -> Tag {
        tag(&format!("{OPERATION}{}", key(&self.mutation)), entry.write(&self.mutation.cluster))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Ledger {
    /// The account of effects in an AWS account.
    pub fn new(ec2: Client, consistency: Duration) -> Self {
        Self { ec2, consistency, memory: Mutex::default() }
    }

    /// Waits until nobody else in this process works on the same operation.
    pub async fn turn(&self, mutation: &Mutation) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.turns.retain(|_, turn| turn.strong_count() > 0);
            let known = memory.turns.get(&key(mutation)).and_then(Weak::upgrade);
            let turn = known.unwrap_or_default();
            memory.turns.insert(key(mutation), Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }

    /// What is known of an effect that is asked for.
    ///
    /// # Errors
    /// When the epoch is old, the operation has other arguments, or EC2 does not tell.
    pub async fn look(
        &self,
        mutation: &Mutation,
        verb: &'static str,
        arguments: &Value,
    ) -> Result<Seen, ProviderError> {
        let arguments = tags::short(&format!("{}\n{verb}\n{arguments}", mutation.run));
        let mut seen = Seen {
            mutation: mutation.clone(),
            verb,
            arguments,
            epochs: BTreeMap::new(),
            entries: BTreeMap::new(),
            shown: BTreeSet::new(),
            tried: 0,
            tried_unseen: false,
        };
        self.read(&mut seen).await?;
        seen.shown = seen.entries.keys().cloned().collect();
        let highest = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            // What this process wrote is newer than what EC2 may show.
            seen.entries.extend(memory.entries.get(&key(mutation)).cloned().unwrap_or_default());
            if let Some((tried, at)) = memory.tried.get(&key(mutation)) {
                seen.tried_unseen = *tried > seen.tried && at.elapsed() < self.consistency;
            }
            let shown = seen.epochs.values().max().copied().unwrap_or_default();
            let known = memory.epochs.entry(mutation.cluster.clone()).or_default();
            *known = (*known).max(shown);
            if mutation.epoch >= *known {
                *known = mutation.epoch;
            }
            *known
        };
        if mutation.epoch < highest {
            let message = format!(
                "epoch {} is over: {highest} was seen for this cluster, so another run holds its lock",
                mutation.epoch
            );
            return Err(ProviderError::lasting(ErrorCode::Denied, message));
        }
        let other = seen.entries.iter().find(|(_, e)| e.arguments != seen.arguments || e.verb != verb);
        if let Some((resource, entry)) = other {
            let message = format!(
                "operation {} is known: it was to {} {resource} with other arguments or for another run",
                mutation.operation, entry.verb
            );
            return Err(ProviderError::lasting(ErrorCode::AlreadyExists, message));
        }
        Ok(seen)
    }

    /// Reads the tags of all things that carry this operation or an epoch of its cluster.
    async fn read(&self, seen: &mut Seen) -> Result<(), ProviderError> {
        let (cluster, name) = (seen.mutation.cluster.clone(), key(&seen.mutation));
        let (operation, tried) = (format!("{OPERATION}{name}"), format!("{TRIED}{name}"));
        let keys = [EPOCH, &operation, &tried].map(str::to_owned);
        let mut pages = self
            .ec2
            .describe_tags()
            .filters(Filter::builder().name("key").set_values(Some(keys.into())).build())
            .filters(Filter::builder().name("value").values(format!("{cluster}:*")).build())
            .into_paginator()
            .items()
            .send();
        while let Some(found) = pages.next().await {
            let found = found.map_err(|e| {
                Refusal::of("ec2:DescribeTags", &e).about("what was done before can't be read")
            })?;
            let (Some(resource), Some(value)) = (found.resource_id, found.value) else { continue };
            let last = || value.rsplit(':').next().and_then(|last| last.parse::<u64>().ok());
            match found.key.as_deref() {
                Some(EPOCH) => {
                    seen.epochs.insert(resource, Epoch(last().unwrap_or_default()));
                }
                Some(found) if found == tried => seen.tried = last().unwrap_or_default() as usize,
                Some(_) => match Entry::read(&value) {
                    Some(entry) => {
                        seen.entries.insert(resource, entry);
                    }
                    None => {
                        let message =
                            format!("the tag {operation} of {resource} is not one of ours: {value}");
                        return Err(ProviderError::lasting(ErrorCode::Internal, message));
                    }
                },
                None => {}
            }
        }
        Ok(())
    }

    /// Writes down that an effect is about to be had on a thing, whose tags are given.
    ///
    /// # Errors
    /// When EC2 does not take it.
    pub async fn begin(&self, seen: &Seen, resource: &str, known: &[Tag]) -> Result<(), ProviderError> {
        let entry = seen.entry(Stage::Begun(now()));
        let mut written = vec![seen.entry_tag(&entry)];
        if seen.epochs.get(resource).is_none_or(|epoch| *epoch < seen.mutation.epoch) {
            written.push(seen.epoch_tag());
        }
        self.write(resource, written).await?;
        self.remember(seen, resource, entry);
        let surplus = surplus(known);
        if !surplus.is_empty() {
            let keys = surplus.into_iter().map(|key| Tag::builder().key(key).build()).collect();
            let deleted = self.ec2.delete_tags().resources(resource).set_tags(Some(keys)).send().await;
            deleted.map_err(|e| {
                Refusal::of("ec2:DeleteTags", &e).about(&format!("old tags of {resource} can't be removed"))
            })?;
        }
        Ok(())
    }

    /// As [`Self::begin`], unless it is written already.
    ///
    /// # Errors
    /// When EC2 does not take it.
    pub async fn begin_once(&self, seen: &Seen, resource: &str, known: &[Tag]) -> Result<(), ProviderError> {
        if seen.begun(resource).is_some() {
            return Ok(());
        }
        self.begin(seen, resource, known).await
    }

    /// Writes down that an effect was had on a thing.
    ///
    /// # Errors
    /// When EC2 does not take it.
    pub async fn end(&self, seen: &Seen, resource: &str) -> Result<(), ProviderError> {
        let entry = seen.entry(Stage::Done(now()));
        self.write(resource, vec![seen.entry_tag(&entry)]).await?;
        self.remember(seen, resource, entry);
        Ok(())
    }

    /// Takes back that an effect was about to be had on a thing: it was refused.
    ///
    /// # Errors
    /// When EC2 does not take it.
    pub async fn withdraw(&self, seen: &Seen, resource: &str) -> Result<(), ProviderError> {
        if let Some(known) =
            self.memory.lock().unwrap_or_else(PoisonError::into_inner).entries.get_mut(&key(&seen.mutation))
        {
            known.remove(resource);
        }
        let tag = Tag::builder().key(format!("{OPERATION}{}", key(&seen.mutation))).build();
        let deleted = self.ec2.delete_tags().resources(resource).tags(tag).send().await;
        deleted.map(drop).map_err(|e| {
            Refusal::of("ec2:DeleteTags", &e).about(&format!("a tag of {resource} can't be removed"))
        })
    }

    /// Keeps in mind what a call has made, which EC2 may not show yet.
    pub fn made(&self, seen: &Seen, resource: &str) {
        self.remember(seen, resource, seen.entry(Stage::Done(now())));
    }

    /// Writes down how many of the allowed subnets and types had no room.
    ///
    /// # Errors
    /// When EC2 does not take it.
    pub async fn tried(&self, seen: &Seen, like: &str, tried: usize) -> Result<(), ProviderError> {
        let tag =
            tag(&format!("{TRIED}{}", key(&seen.mutation)), format!("{}:{tried}", seen.mutation.cluster));
        self.write(like, vec![tag]).await?;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.tried.insert(key(&seen.mutation), (tried, Instant::now()));
        Ok(())
    }

    /// Forgets that again: the new machine's own tags tell it.
    ///
    /// # Errors
    /// When EC2 does not take it.
    pub async fn forget_tried(&self, seen: &Seen, like: &str) -> Result<(), ProviderError> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).tried.remove(&key(&seen.mutation));
        let tag = Tag::builder().key(format!("{TRIED}{}", key(&seen.mutation))).build();
        let deleted = self.ec2.delete_tags().resources(like).tags(tag).send().await;
        deleted.map(drop).map_err(|e| {
            Refusal::of("ec2:DeleteTags", &e).about(&format!("a tag of {like} can't be removed"))
        })
    }

    async fn write(&self, resource: &str, tags: Vec<Tag>) -> Result<(), ProviderError> {
        let written = self.ec2.create_tags().resources(resource).set_tags(Some(tags)).send().await;
        written
            .map(drop)
            .map_err(|e| Refusal::of("ec2:CreateTags", &e).about(&format!("{resource} can't be tagged")))
    }

    fn remember(&self, seen: &Seen, resource: &str, entry: Entry) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.entries.entry(key(&seen.mutation)).or_default().insert(resource.to_owned(), entry);
    }
}

/// The oldest of a machine's effects that it need not remember any longer.
fn surplus(tags: &[Tag]) -> Vec<String> {
    let mut done: Vec<(u64, &str)> = tags
        .iter()
        .filter_map(|tag| {
            let key = tag.key.as_deref().filter(|key| key.starts_with(OPERATION))?;
            let entry = Entry::read(tag.value.as_deref()?)?;
            match entry.stage {
                // What made the machine is remembered as long as it is there.
                Stage::Done(at) if entry.verb != "create" => Some((at, key)),
                _ => None,
            }
        })
        .collect();
    done.sort_unstable();
    let surplus = done.len().saturating_sub(REMEMBERED);
    done.into_iter().take(surplus).map(|(_, key)| key.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for stage in [Stage::Begun(7), Stage::Done(1_900_000_000)] {
            let entry = Entry { arguments: "ab12".into(), verb: "stop".into(), stage };
            assert_eq!(Entry::read(&entry.write("0d6c5f2e-3a51")), Some(entry));
        }
        assert_eq!(Entry::read("anything"), None);
    }

    #[test]
    fn a_machine_remembers_its_newest_effects_and_what_made_it() {
        let entry = |n: u64, verb: &str| {
            let entry = Entry { arguments: "a".into(), verb: verb.into(), stage: Stage::Done(n) };
            tag(&format!("{OPERATION}{n}"), entry.write("c"))
        };
        let mut tags: Vec<Tag> = (1..=14).map(|n| entry(n, "stop")).collect();
        tags.push(entry(0, "create"));
        tags.push(tag("Name", "worker"));
        assert_eq!(surplus(&tags), [format!("{OPERATION}1"), format!("{OPERATION}2")]);
    }
}
