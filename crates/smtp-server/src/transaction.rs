//! The driver's side of a transaction: the place in the spool, the content on its way there, the times.

use std::time::{Duration, Instant};

use auth::finding::SpfFinding;
use bytes::Bytes;
use mail::{Accepted, Envelope, MessageId, Reply, Timestamp};
use spool::{Tally, Writer};
use tokio::time::timeout;

use crate::instead::Instead;
use crate::reply;
use crate::seen::Seen;

/// A transaction from its MAIL on.
pub(crate) struct Transaction {
    /// When MAIL came.
    pub(crate) begun_at: Instant,
    /// Whether its refusal has been counted and logged; the first reason stands for all.
    pub(crate) is_refusal_told: bool,
    /// What was found out about sender and recipients, where that was not plain.
    pub(crate) found: Option<Box<Found>>,
    content: Option<Box<Content>>,
}

/// What was found out about sender and recipients.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Why MAIL or RCPT was refused, in the operator's words.
    pub(crate) reason: Option<Box<str>>,
    /// What SPF said of the sender, if it was asked at MAIL.
    pub(crate) spf: Option<SpfFinding>,
    /// The recipients that stand for others.
    pub(crate) instead: Vec<Instead>,
}

/// Content on its way into the spool. Dropped, nothing of it is kept.
struct Content {
    writer: Writer,
    received_at: Timestamp,
    /// The generation of the policy by which it was settled what is kept.
    generation: u64,
    /// What is kept of it for those who decide; none if nobody wants to know.
    seen: Option<Box<Seen>>,
}

impl Transaction {
    pub(crate) const fn new(begun_at: Instant) -> Self {
        Self { begun_at, is_refusal_told: false, found: None, content: None }
    }

    /// The recipients that stand for others.
    pub(crate) fn instead(&self) -> &[Instead] {
        self.found.as_ref().map_or(&[], |found| &found.instead)
    }

    /// Where what is found out is put.
    pub(crate) fn found_mut(&mut self) -> &mut Found {
        self.found.get_or_insert_default()
    }

    /// Whether content has a place and is not dropped.
    pub(crate) const fn takes_content(&self) -> bool {
        self.content.is_some()
    }

    /// Takes the place for the content, which begins with the trace field.
    pub(crate) async fn begin_content(
        &mut self,
        writer: Writer,
        (received_at, generation): (Timestamp, u64),
        (trace, wait_max): (String, Duration),
        seen: Option<Seen>,
    ) -> Result<(), Reply> {
        self.content = Some(Box::new(Content { writer, received_at, generation, seen: None }));
        self.write(trace.into(), wait_max).await?;
        // The trace field is ours, and nothing to decide by.
        if let Some(content) = &mut self.content {
            content.seen = seen.map(Box::new);
        }
        Ok(())
    }

    /// The id that the message has or would have.
    pub(crate) fn id(&self) -> Option<MessageId> {
        self.content.as_ref().map(|content| content.writer.id())
    }

    /// The generation of the policy by which it was settled what is kept of the content.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.content.as_ref().map(|content| content.generation)
    }

    /// What was kept of the content, if somebody wants to know.
    pub(crate) fn take_seen(&mut self) -> Option<Box<Seen>> {
        self.content.as_mut()?.seen.take()
    }

    /// Appends to the content, or drops it and says why.
    pub(crate) async fn write(&mut self, chunk: Bytes, wait_max: Duration) -> Result<(), Reply> {
        let Some(content) = &mut self.content else { return Ok(()) };
        if let Some(seen) = &mut content.seen {
            seen.take(&chunk);
        }
        let refusal = match timeout(wait_max, content.writer.write(chunk)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.reply(),
            Err(_) => reply::spool_slow(),
        };
        self.content = None;
        Err(refusal)
    }

    /// Puts the message and what is counted with it on the device; only then there is something to say 250 for.
    pub(crate) async fn commit(
        self,
        envelope: Envelope,
        tallies: Vec<Tally>,
    ) -> Result<Accepted, Reply> {
        let content = *self.content.ok_or_else(reply::spool_slow)?;
        let writer = content.writer.counting(tallies);
        writer.commit(envelope, content.received_at).await.map_err(|error| error.reply())
    }

    /// Drops what came of the content; its id, if it had a place.
    pub(crate) fn abandon(&mut self) -> Option<MessageId> {
        self.content.take().map(|content| content.writer.id())
    }
}
