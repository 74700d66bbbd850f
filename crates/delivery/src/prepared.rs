//! A message made ready to leave: once for an attempt, however many transactions it takes.

use bytes::Bytes;
use mail::BodyType;
use mail::header::Edit;
use smtp_session::client::{Extensions, Outgoing};
use spool::{ReadError, Stored};

use crate::body::Body;
use crate::leaving::{Head, Leaving};
use crate::seven_bit::{self, Room, SevenBit, Unfit};
use crate::signing::Desk;

/// A message on its way out, with what was made of its content.
pub(crate) struct Prepared<'a> {
    pub(crate) stored: Stored,
    /// What the content begins with, if it is changed.
    head: Option<Box<Head>>,
    /// Boxed: it is rare, and each attempt would hold room for it.
    made: Option<Box<Made<'a>>>,
}

/// What hosts get that take the content only otherwise than it is stored; each made for the first of them.
#[derive(Default)]
struct Made<'a> {
    /// For hosts without 8BITMIME.
    seven_bit: Option<SevenBit<'a>>,
    /// Signatures on the content as it is.
    signatures: Option<Bytes>,
    /// Signatures on what was converted.
    signatures_converted: Option<Bytes>,
}

impl<'a> Prepared<'a> {
    pub(crate) const fn new(stored: Stored) -> Self {
        Self { stored, head: None, made: None }
    }

    /// Makes the changes to the header.
    pub(crate) async fn ready_head(&mut self) -> Result<(), ReadError> {
        let is_to_do = self.stored.envelope.directions.is_some() && self.head.is_none();
        if is_to_do {
            // Boxed: it is rare, and each attempt would hold room for it.
            self.head = Box::pin(Head::of(&self.stored)).await?.map(Box::new);
        }
        Ok(())
    }

    /// Changes the header further, as filters want it.
    pub(crate) async fn change(&mut self, edits: &[Edit]) -> Result<(), ReadError> {
        if !edits.is_empty() {
            let changed = match self.head.take() {
                Some(head) => head.further(edits),
                None => Head::changed(&self.stored, edits).await?,
            };
            self.head = Some(Box::new(changed));
        }
        Ok(())
    }

    /// The content as it leaves, but for what a host may want otherwise.
    pub(crate) fn leaving(&self) -> Leaving<'_> {
        Leaving { stored: &self.stored, head: self.head.as_deref() }
    }

    /// The content for a host that takes it only otherwise than it is stored: converted to 7 bits, signed. It must not
    /// outlive `self`, which holds the room of what is converted.
    ///
    /// # Errors
    /// The inner one is for the recipients, as [`seven_bit::seven_bit`] says.
    pub(crate) async fn body(
        &mut self,
        outgoing: &mut Outgoing,
        extensions: Extensions,
        (room, desk): (&'a Room, &Desk),
    ) -> Result<Result<Body, Unfit>, ReadError> {
        let leaving = Leaving { stored: &self.stored, head: self.head.as_deref() };
        let made = self.made.get_or_insert_default();
        let mut converted = None;
        if seven_bit::is_needed(extensions, outgoing) {
            outgoing.body_type = BodyType::SevenBit;
            let seven_bit = match made.seven_bit.take() {
                Some(seven_bit) => seven_bit,
                None => match seven_bit::seven_bit(leaving, room).await? {
                    Ok(seven_bit) => seven_bit,
                    Err(unfit) => return Ok(Err(unfit)),
                },
            };
            if let SevenBit::Converted(it) = made.seven_bit.insert(seven_bit) {
                outgoing.octets = u64::try_from(it.octets.len()).unwrap_or(u64::MAX);
                converted = Some(it.octets.clone());
            }
        }
        let body = || match &converted {
            Some(octets) => Body::of(octets.clone()),
            None => Body::Stored(leaving.pieces()),
        };
        let mut ready = body();
        if desk.is_open() {
            let kept = if converted.is_some() {
                &mut made.signatures_converted
            } else {
                &mut made.signatures
            };
            let fields = if let Some(fields) = kept {
                fields.clone()
            } else {
                let fields = desk.signatures(leaving.stored.id, body(), outgoing.now).await?;
                kept.insert(fields).clone()
            };
            outgoing.octets += u64::try_from(fields.len()).unwrap_or(u64::MAX);
            ready.put_on_top(fields);
        }
        Ok(Ok(ready))
    }
}
