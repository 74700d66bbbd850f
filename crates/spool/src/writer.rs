//! A message on its way in.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use mail::{Accepted, Envelope, MessageId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::body::Pending;
use crate::error::{CommitError, Full, FullCause, WriteError};
use crate::inner::Inner;
use crate::place::Place;
use crate::prepared::{Prepared, Space};
use crate::record::envelope::{self, Message};
use crate::record::extent::{CONTENT_OCTETS_MAX, Extent, HEADER_OCTETS, Header};
use crate::request::{Claim, Commit, Request};
use crate::segments::{ALIGNMENT, Segment};
use crate::state::Tally;

/// Extents of one message on their way to the device at once.
const UNDER_WAY_MAX: usize = 2;
/// The step in which memory is taken from what all messages share.
const MEMORY_STEP: usize = 1024;

/// A message on its way in. Dropped before it is committed, nothing of it is kept and its space is
/// given back.
#[derive(Debug)]
pub struct Writer {
    spool: Arc<Inner>,
    id: MessageId,
    place: Place,
    /// Room for a header, then content that is not under way yet.
    buffer: Vec<u8>,
    crc: u32,
    memory: Option<OwnedSemaphorePermit>,
    space: Space,
    under_way: VecDeque<(Pending, Option<OwnedSemaphorePermit>)>,
    touched: Vec<Arc<Segment>>,
    octets: u64,
    failed: Option<WriteError>,
    /// What is counted with it.
    tallies: Vec<Tally>,
}

impl Writer {
    pub(crate) fn new(spool: Arc<Inner>, place: Place) -> Self {
        let space = Space::new(Arc::clone(&spool.shared.segments));
        Self {
            id: spool.ids.next(),
            spool,
            place,
            buffer: Vec::new(),
            crc: 0,
            memory: None,
            space,
            under_way: VecDeque::new(),
            touched: Vec::new(),
            octets: 0,
            failed: None,
            tallies: Vec::new(),
        }
    }

    /// Writes these counts down in the same write as the message.
    #[must_use]
    pub fn counting(self, tallies: Vec<Tally>) -> Self {
        Self { tallies, ..self }
    }

    /// The id the message has, also in its `Received` header.
    pub const fn id(&self) -> MessageId {
        self.id
    }

    /// Octets taken so far.
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Takes the next piece of the content. Waits while the device is behind.
    ///
    /// # Errors
    /// After an error the message cannot be completed: drop the writer, answer as
    /// [`WriteError::reply`] says.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.take(chunk).await;
        self.failed = result.as_ref().err().cloned();
        result
    }

    /// Puts the message on the device; what is returned is the right to answer 250.
    ///
    /// # Errors
    /// Nothing of the message is kept; answer as [`CommitError::reply`] says.
    pub async fn commit(
        self,
        envelope: Envelope,
        received_at: Timestamp,
    ) -> Result<Accepted, CommitError> {
        let spool = Arc::clone(&self.spool);
        let before = spool.shared.clock.now();
        let deadline = tokio::time::Instant::now() + spool.commit_wait_max;
        let result = self.commit_before(envelope, received_at, deadline).await;
        match &result {
            Ok(_) => {
                let wait = spool.shared.clock.now().saturating_duration_since(before);
                spool.shared.metrics.committed(wait);
            }
            Err(_) => spool.shared.metrics.commit_failed(),
        }
        result
    }

    async fn commit_before(
        mut self,
        envelope: Envelope,
        received_at: Timestamp,
        deadline: tokio::time::Instant,
    ) -> Result<Accepted, CommitError> {
        let spool = Arc::clone(&self.spool);
        let late = |_| CommitError::TimedOut;
        let tallies = std::mem::take(&mut self.tallies);
        let prepared = self.prepare(envelope, received_at);
        let prepared = tokio::time::timeout_at(deadline, prepared).await.map_err(late)??;
        let (answer, mut answered) = oneshot::channel();
        let commit = Request::Commit(Commit { prepared, tallies, answer });
        let sent = tokio::time::timeout_at(deadline, spool.send(commit)).await.map_err(late)?;
        sent.map_err(|()| Full::from(FullCause::Closing))?;
        let claim = if let Ok(answer) = tokio::time::timeout_at(deadline, &mut answered).await {
            answer
        } else {
            // An answer that came this very moment counts; a later one finds nobody.
            answered.close();
            let Ok(answer) = answered.try_recv() else { return Err(CommitError::TimedOut) };
            Ok(answer)
        };
        let claim = claim.map_err(|_| Full::from(FullCause::Closing))?;
        claim.map(Claim::take)?.ok_or(CommitError::TimedOut)
    }

    /// Puts the content on the device and makes the record.
    pub(crate) async fn prepare(
        mut self,
        envelope: Envelope,
        received_at: Timestamp,
    ) -> Result<Prepared, WriteError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let is_inline =
            self.space.extents().is_empty() && self.octets <= self.spool.inline_octets_max as u64;
        let body = if is_inline {
            self.buffer.shrink_to_fit();
            Some(self.frame(0))
        } else {
            self.flush().await?;
            self.wait_until(0).await?;
            for segment in std::mem::take(&mut self.touched) {
                if let Err(error) = segment.sync(&self.spool.lane).await {
                    self.spool.shared.segments.abandon(segment.number);
                    return Err(write_error(&error));
                }
            }
            None
        };
        let place = match body {
            Some(_) => envelope::Place::Inline,
            None => envelope::Place::Extents(self.space.extents().into()),
        };
        let message =
            Message { envelope: Arc::new(envelope), received_at, octets: self.octets, place };
        let record = message.encode(self.id).into();
        Ok(Prepared {
            id: self.id,
            message,
            record,
            body,
            space: self.space.take(),
            place: Some(self.place),
            _memory: self.memory.take(),
        })
    }

    async fn take(&mut self, mut chunk: Bytes) -> Result<(), WriteError> {
        let octets = self.octets + chunk.len() as u64;
        self.place.grow_to(octets)?;
        self.octets = octets;
        while !chunk.is_empty() {
            let room = CONTENT_OCTETS_MAX.saturating_sub(self.buffered());
            let piece = chunk.split_to(room.min(chunk.len()));
            if self.take_memory(piece.len()) {
                self.append(&piece);
                if self.buffered() >= CONTENT_OCTETS_MAX {
                    self.flush().await?;
                }
            } else {
                // Memory is short: what is here goes to the device in whole blocks, and the sender waits for it.
                self.append(&piece);
                if self.buffer.len() as u64 >= ALIGNMENT {
                    self.flush().await?;
                    self.wait_until(0).await?;
                }
            }
        }
        Ok(())
    }

    const fn buffered(&self) -> usize {
        self.buffer.len().saturating_sub(HEADER_OCTETS)
    }

    /// Takes memory for `more` octets out of what all messages share, if there is some.
    fn take_memory(&mut self, more: usize) -> bool {
        let held = self.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let steps = (self.buffered() + more).div_ceil(MEMORY_STEP).saturating_sub(held);
        let Ok(steps) = u32::try_from(steps) else { return false };
        let Ok(taken) = Arc::clone(&self.spool.memory).try_acquire_many_owned(steps) else {
            return false;
        };
        match &mut self.memory {
            Some(memory) => memory.merge(taken),
            None => self.memory = Some(taken),
        }
        true
    }

    fn append(&mut self, piece: &[u8]) {
        if self.buffer.is_empty() {
            self.buffer.resize(HEADER_OCTETS, 0);
        }
        if self.buffered() + piece.len() > self.spool.inline_octets_max {
            // It will be a whole extent: grown by doubling it would take twice the memory.
            let whole = HEADER_OCTETS + CONTENT_OCTETS_MAX;
            self.buffer.reserve_exact(whole.saturating_sub(self.buffer.len()));
        }
        self.buffer.extend_from_slice(piece);
        self.crc = crc32c::crc32c_append(self.crc, piece);
    }

    /// What is buffered, with its header.
    fn frame(&mut self, index: u32) -> Bytes {
        self.append(&[]);
        let octets = u32::try_from(self.buffered()).unwrap_or(u32::MAX);
        let header = Header { id: self.id, index, octets, crc: self.crc }.encode();
        let mut frame = std::mem::take(&mut self.buffer);
        if let Some(place) = frame.first_chunk_mut() {
            *place = header;
        }
        self.crc = 0;
        frame.into()
    }

    /// Sends what is buffered on its way to a segment file.
    async fn flush(&mut self) -> Result<(), WriteError> {
        if self.buffered() == 0 {
            return Ok(());
        }
        let index = u32::try_from(self.space.extents().len()).unwrap_or(u32::MAX);
        let (crc, memory) = (self.crc, self.memory.take());
        let frame = self.frame(index);
        let segments = &self.spool.shared.segments;
        let placed = segments.allocate(frame.len() as u64).await;
        let (segment, offset) = placed.map_err(|error| write_error(&error))?;
        let octets = u32::try_from(frame.len() - HEADER_OCTETS).unwrap_or(u32::MAX);
        self.space.push(Extent { segment: segment.number, offset, octets, crc });
        let begun = self.spool.lane.write(&segment.file, offset, frame).await;
        self.under_way.push_back((begun.map_err(|error| write_error(&error))?, memory));
        if self.touched.last().is_none_or(|last| last.number != segment.number) {
            self.touched.push(segment);
        }
        self.wait_until(UNDER_WAY_MAX).await
    }

    /// Waits until at most `count` extents are under way.
    async fn wait_until(&mut self, count: usize) -> Result<(), WriteError> {
        while self.under_way.len() > count {
            let Some((pending, memory)) = self.under_way.pop_front() else { break };
            let result = pending.wait().await;
            drop(memory);
            result.map_err(|error| write_error(&error))?;
        }
        Ok(())
    }
}

fn write_error(error: &std::io::Error) -> WriteError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Full::from(FullCause::Device).into()
        }
        _ => WriteError::Device(error.to_string().into()),
    }
}
