//! The scan at start.

use std::collections::HashSet;
use std::iter::Peekable;
use std::ops::ControlFlow;
use std::sync::Arc;

use mail::{MessageId, Timestamp};

use crate::engine::{EngineError, Family};
use crate::error::RecoverError;
use crate::inner::Inner;
use crate::record::RecordError;
use crate::record::envelope::{self, Place};
use crate::record::progress;
use crate::request::{Freed, SetAside};
use crate::rows::Rows;
use crate::scan;
use crate::state::{Recovered, Recovery, Waiting};

/// Messages read at once: what the scan takes of memory, and how long the database is held.
const PAGE: usize = 1024;

/// Hands over every message up to `last`.
pub(crate) fn run(
    inner: &Arc<Inner>,
    last: Option<MessageId>,
    each: &mut dyn FnMut(Recovered<'_>) -> ControlFlow<()>,
) -> Result<Recovery, RecoverError> {
    let mut recovery = Recovery::default();
    let corrupt_before = inner.shared.accounts.counts().corrupt;
    let mut asides = HashSet::new();
    let mut next = last.map(|_| inner.scanned_to.lock().clone());
    let end = last.map(|last| [&last.to_bytes()[..], &[0]].concat());
    while let Some(from) = next {
        let page = scan::page(&inner.shared.engine, Family::Envelope, &from, end.as_deref(), PAGE);
        let page = page.map_err(|error| failed(&error))?;
        if !page.damage.is_empty() {
            inner.shared.segments.keep_all();
        }
        report_damage(inner, Family::Envelope, page.damage);
        let progress = progress_of(inner, &page.rows).map_err(|error| failed(&error))?;
        let mut notes = progress.iter().flat_map(Rows::iter).filter_map(note).peekable();
        let mut message = Message::default();
        for (key, value) in page.rows.iter() {
            let mut is_wanted = ControlFlow::Continue(());
            match message.read(inner, (key, value), &mut notes) {
                Ok(recovered) => {
                    recovery.messages += 1;
                    recovery.octets += recovered.octets;
                    is_wanted = each(recovered);
                }
                Err((id, error)) => {
                    asides.insert(id);
                    let (reason, freed) = (error.to_string().into(), Freed::default());
                    let records = vec![(Family::Envelope, key.to_vec(), value.to_vec())];
                    inner.set_aside_blocking(
                        Family::Envelope,
                        SetAside { id, records, reason, freed },
                    );
                }
            }
            mark_scanned(inner, key);
            if is_wanted.is_break() {
                return Err(RecoverError::Stopped);
            }
        }
        next = page.next;
    }
    asides.extend(ids_aside(inner).map_err(|error| failed(&error))?);
    inner.shared.segments.scan_ended(&asides);
    recovery.corrupt = inner.shared.accounts.counts().corrupt - corrupt_before;
    Ok(recovery)
}

fn failed(error: &EngineError) -> RecoverError {
    RecoverError::Engine(error.to_string().into())
}

/// Notes that a message is handed over or set aside, so that it is counted once.
fn mark_scanned(inner: &Inner, key: &[u8]) {
    let mut scanned_to = inner.scanned_to.lock();
    scanned_to.clear();
    scanned_to.extend_from_slice(key);
    scanned_to.push(0);
}

/// A row of progress: its message, its recipient, its key and its value.
struct Note<'a> {
    id: MessageId,
    recipient: u32,
    key: &'a [u8],
    value: &'a [u8],
}

fn note<'a>((key, value): (&'a [u8], &'a [u8])) -> Option<Note<'a>> {
    progress::split_key(key).map(|(id, recipient)| Note { id, recipient, key, value })
}

/// The message that is being read; its memory is used again for the next one.
#[derive(Default)]
struct Message<'a> {
    /// With the connectors chosen for them.
    recipients: Vec<(&'a str, Option<&'a str>)>,
    /// By recipient: tries, when the next one is due, whether its sender was told that it is late; none if
    /// it is settled.
    states: Vec<Option<(u16, Timestamp, bool)>>,
    /// Whether the sender is still to be told of one that is settled.
    owes: bool,
    waiting: Vec<Waiting<'a>>,
}

impl<'a> Message<'a> {
    /// Reads a record and what `notes`, which are in the same order, say of its message; counts it.
    fn read(
        &mut self,
        inner: &Inner,
        (key, value): (&'a [u8], &'a [u8]),
        notes: &mut Peekable<impl Iterator<Item = Note<'a>>>,
    ) -> Result<Recovered<'_>, (MessageId, RecordError)> {
        let Ok(octets) = key.try_into() else {
            return Err((MessageId::from_bytes([0; 16]), RecordError::Key));
        };
        let id = MessageId::from_bytes(octets);
        self.recipients.clear();
        let view = envelope::View::read(value, id, &mut self.recipients);
        let view = view.map_err(|error| (id, error))?;
        self.states.clear();
        let due_at = view.times.due_at(view.received_at);
        self.states.resize(self.recipients.len(), Some((0, due_at, false)));
        self.owes = false;
        while let Some(note) = notes.next_if(|note| note.id <= id) {
            if note.id == id {
                self.take(inner, &note);
            }
        }
        self.waiting.clear();
        let states = self.recipients.iter().zip(&self.states);
        self.waiting.extend(states.filter_map(|(&(recipient, via), state)| {
            let (tries, next_try_at, is_told) = (*state)?;
            Some(Waiting { recipient, via, tries, next_try_at, is_told })
        }));
        inner.shared.accounts.found(view.octets);
        if let Place::Extents(extents) = &view.place {
            inner.shared.segments.found(extents);
        }
        let envelope::View { received_at, octets, times, .. } = view;
        let owes = self.owes;
        Ok(Recovered { id, received_at, octets, times, waiting: &self.waiting, owes })
    }

    /// Takes what is written about a recipient; what cannot be read counts as not written, so that the
    /// recipient is tried again rather than never.
    fn take(&mut self, inner: &Inner, note: &Note<'_>) {
        let place = usize::try_from(note.recipient).ok().and_then(|at| self.states.get_mut(at));
        match (progress::view(note.value, note.key), place) {
            (Ok(progress::View::Waiting { tries, next_try_at, is_told, .. }), Some(place)) => {
                *place = Some((tries, next_try_at, is_told));
            }
            (Ok(progress::View::Settled { owed, .. }), Some(place)) => {
                *place = None;
                self.owes |= owed.is_some();
            }
            (view, _) => {
                let reason = view.err().unwrap_or(RecordError::Key).to_string().into();
                let records = vec![(Family::Progress, note.key.to_vec(), note.value.to_vec())];
                let aside = SetAside { id: note.id, records, reason, freed: Freed::default() };
                inner.set_aside_blocking(Family::Progress, aside);
            }
        }
    }
}

/// The progress of all messages of a page.
fn progress_of(inner: &Inner, rows: &Rows) -> Result<Vec<Rows>, EngineError> {
    let mut pages = Vec::new();
    let (Some(first), Some(last)) = (rows.first_key(), rows.last_key()) else { return Ok(pages) };
    let end = [last, &[u8::MAX; 5][..]].concat();
    let mut next = Some(first.to_vec());
    while let Some(from) = next {
        let page = scan::page(&inner.shared.engine, Family::Progress, &from, Some(&end), PAGE)?;
        report_damage(inner, Family::Progress, page.damage);
        pages.push(page.rows);
        next = page.next;
    }
    Ok(pages)
}

/// Messages of which something was set aside, now or earlier.
fn ids_aside(inner: &Inner) -> Result<HashSet<MessageId>, EngineError> {
    let (mut ids, mut next) = (HashSet::new(), Some(Vec::new()));
    while let Some(from) = next {
        let page = scan::page(&inner.shared.engine, Family::Aside, &from, None, PAGE)?;
        report_damage(inner, Family::Aside, page.damage);
        let id =
            |key: &[u8]| key.get(1..).and_then(crate::record::array).map(MessageId::from_bytes);
        ids.extend(page.rows.iter().filter_map(|(key, _)| id(key)));
        next = page.next;
    }
    Ok(ids)
}

/// Counts and logs places that the database could not read at all.
pub(crate) fn report_damage(inner: &Inner, family: Family, damage: Vec<Box<str>>) {
    for words in damage {
        tracing::error!(record = family.name(), error = %words, "records of the spool cannot be read");
        inner.corrupt_found(family);
    }
}
