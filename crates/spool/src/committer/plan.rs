//! What one batch changes.

use std::collections::{HashMap, HashSet};

use mail::MessageId;

use crate::engine::{Change, Durability, Engine, EngineError, Family};
use crate::record::aside::Aside;
use crate::record::envelope::{Message, Place};
use crate::record::{progress, tally};
use crate::request::{Freed, Request, SetAside, Settle};
use crate::scan;
use crate::shared::Shared;
use crate::state::Tally;

/// One batch, and what its success means for each request in it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) durability: Durability,
    /// By request: what is given back.
    pub(super) freed: Vec<Option<Freed>>,
    /// Messages stored.
    pub(super) messages: usize,
    /// A message that the batch stores: it is there if and only if the batch is.
    witness: Option<MessageId>,
    /// Keys of progress that the batch writes: a message that ends in the same batch leaves none of them.
    noted: HashMap<MessageId, Vec<Vec<u8>>>,
    /// What is counted, by name.
    tallies: HashMap<Box<str>, Tally>,
}

impl Plan {
    pub(super) fn new(shared: &Shared, group: &[Request]) -> Result<Self, EngineError> {
        let mut plan = Self {
            changes: Vec::with_capacity(group.len() * 2),
            durability: Durability::Buffer,
            freed: Vec::with_capacity(group.len()),
            messages: 0,
            witness: None,
            noted: HashMap::new(),
            tallies: HashMap::new(),
        };
        let mut finished = HashSet::new();
        for request in group {
            let mut freed = None;
            match request {
                Request::Commit(it) => {
                    plan.store(&it.prepared);
                    for tally in &it.tallies {
                        plan.count(shared, tally)?;
                    }
                }
                Request::Settle(it) => {
                    if it.is_finished {
                        // The same message twice in one batch gives back once.
                        if finished.insert(it.id) {
                            freed = plan.finish(shared, it)?;
                        }
                    } else if !finished.contains(&it.id) {
                        plan.note(shared, it)?;
                    }
                    if let Some(report) = &it.report {
                        plan.store(report);
                    }
                    if let Some(tally) = &it.tally {
                        plan.count(shared, tally)?;
                    }
                }
                Request::SetAside(it) => freed = plan.set_aside(shared, it)?,
                Request::Tick(_) | Request::Close => {}
            }
            plan.freed.push(freed);
        }
        for tally in plan.tallies.values() {
            let key = tally.name.as_bytes().to_vec();
            plan.changes.push(Change::Put(Family::Tally, key, tally::encode(tally).into()));
        }
        Ok(plan)
    }

    /// Notes a count, unless more is known already: settlements come in any order.
    fn count(&mut self, shared: &Shared, tally: &Tally) -> Result<(), EngineError> {
        if let Some(known) = self.tallies.get_mut(&tally.name) {
            known.take(tally);
            return Ok(());
        }
        let key = tally.name.as_bytes();
        let stored = match shared.engine.get(Family::Tally, key) {
            Ok(record) => record.and_then(|record| tally::decode(&record, key).ok()),
            Err(EngineError::Corrupt(_)) => None,
            Err(error) => return Err(error),
        };
        let mut known = stored.unwrap_or_else(|| tally.clone());
        known.take(tally);
        self.tallies.insert(tally.name.clone(), known);
        Ok(())
    }

    fn store(&mut self, prepared: &crate::prepared::Prepared) {
        prepared.changes(&mut self.changes);
        self.durability = Durability::Device;
        self.messages += 1;
        self.witness = Some(prepared.id);
    }

    /// Writes where recipients stand, unless the message is gone.
    fn note(&mut self, shared: &Shared, settle: &Settle) -> Result<(), EngineError> {
        let key = settle.id.to_bytes();
        let is_there = shared.warm.load(settle.id).is_some()
            || match shared.engine.get(Family::Envelope, &key) {
                Ok(record) => record.is_some(),
                Err(EngineError::Corrupt(_)) => true,
                Err(error) => return Err(error),
            };
        for (recipient, state) in settle.recipients.iter().filter(|_| is_there) {
            let key = progress::key(settle.id, *recipient);
            let record = progress::encode(&key, state).into();
            self.noted.entry(settle.id).or_default().push(key.to_vec());
            self.changes.push(Change::Put(Family::Progress, key.to_vec(), record));
        }
        Ok(())
    }

    /// Removes a message and all that was written about it.
    fn finish(&mut self, shared: &Shared, settle: &Settle) -> Result<Option<Freed>, EngineError> {
        let (id, key) = (settle.id, settle.id.to_bytes());
        let fresh = shared.warm.load(id);
        let (message, progress) = match &fresh {
            Some(fresh) => {
                let count = fresh.recipients.as_ref().map_or(0, Vec::len);
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                let keys = (0..count).map(|recipient| progress::key(id, recipient).to_vec());
                (Some(fresh.message.clone()), keys.collect())
            }
            None => match shared.engine.get(Family::Envelope, &key) {
                Ok(Some(record)) => {
                    (Message::decode(&record, id).ok(), scan::progress_keys(&shared.engine, id)?)
                }
                Ok(None) => return Ok(settle.freed.clone()),
                // What it freed is not known, but it is to go.
                Err(EngineError::Corrupt(_)) => (None, Vec::new()),
                Err(error) => return Err(error),
            },
        };
        let is_inline = message.as_ref().is_none_or(|it| it.place == Place::Inline);
        self.changes.push(Change::Delete(Family::Envelope, key.to_vec()));
        if is_inline {
            self.changes.push(Change::Delete(Family::Body, key.to_vec()));
        }
        let noted = self.noted.remove(&id).unwrap_or_default();
        let progress = progress.into_iter().chain(noted);
        self.changes.extend(progress.map(|key| Change::Delete(Family::Progress, key)));
        if settle.freed.is_some() {
            return Ok(settle.freed.clone());
        }
        let freed = message.map_or(Freed { messages: 1, ..Freed::default() }, |message| Freed {
            messages: 1,
            octets: message.octets,
            extents: match message.place {
                Place::Inline => Vec::new(),
                Place::Extents(extents) => extents.to_vec(),
            },
        });
        Ok(Some(freed))
    }

    fn set_aside(&mut self, shared: &Shared, it: &SetAside) -> Result<Option<Freed>, EngineError> {
        let at = mail::Timestamp::from_millis(shared.clock.unix_millis());
        let mut is_new = false;
        for (family, key, raw) in &it.records {
            let aside_key = family.aside_key(key);
            is_new |= match shared.engine.get(Family::Aside, &aside_key) {
                Ok(earlier) => earlier.is_none(),
                Err(EngineError::Corrupt(_)) => false,
                Err(error) => return Err(error),
            };
            let record =
                Aside { reason: it.reason.clone(), at, raw: raw.clone() }.encode(&aside_key);
            self.changes.push(Change::Put(Family::Aside, aside_key, record.into()));
            self.changes.push(Change::Delete(*family, key.clone()));
        }
        self.durability = Durability::Device;
        // Two who read the same bad record set it aside once.
        Ok(is_new.then(|| it.freed.clone()))
    }

    /// Whether a batch whose write failed is there all the same; asked after the database was opened
    /// again. Without a message in it, writing it once more does no harm.
    pub(super) fn is_applied(&self, engine: &Engine) -> Result<bool, EngineError> {
        let Some(witness) = self.witness else { return Ok(false) };
        Ok(engine.get(Family::Envelope, &witness.to_bytes())?.is_some())
    }
}
