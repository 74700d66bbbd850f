//! Content for next hops that take no octets above 127 (RFC 6152 §3).

mod mime;

use bytes::Bytes;
use mail::{BodyType, EnhancedStatus, Reply};
use smtp_session::client::{Extensions, Outgoing};
use spool::ReadError;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::leaving::Leaving;
use crate::words::never;

/// A larger message is not converted.
const CONVERTED_OCTETS_MAX: u64 = 32 << 20;
/// Memory that all conversions together may take.
const MEMORY_OCTETS_MAX: usize = 256 << 20;
/// What one takes, by the size of its message: the message, and what comes of it in quoted-printable at worst.
const MEMORY_FACTOR: u64 = 4;
const KIB: u64 = 1024;
/// Conversion is needed and not possible (RFC 3463 §3.7).
const NO_CONVERSION: EnhancedStatus = EnhancedStatus::new(5, 6, 3);

/// Bounds the memory of conversions; a message waits until there is room.
#[derive(Debug)]
pub(crate) struct Room(Semaphore);

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(MEMORY_OCTETS_MAX / 1024))
    }
}

/// What goes to a next hop without 8BITMIME.
#[derive(Debug)]
pub(crate) enum SevenBit<'a> {
    /// The content as it is: no octet of it is above 127.
    AsItIs,
    /// What was made of it.
    Converted(Converted<'a>),
}

/// Converted content in memory. Holds its room until it is dropped.
#[derive(Debug)]
pub(crate) struct Converted<'a> {
    pub(crate) octets: Bytes,
    _room: SemaphorePermit<'a>,
}

/// Makes what goes to a next hop without 8BITMIME.
///
/// # Errors
/// The inner one is for the recipients: the message cannot go there, or our own machine could not convert it now.
pub(crate) async fn seven_bit<'a>(
    leaving: Leaving<'_>,
    room: &'a Room,
) -> Result<Result<SevenBit<'a>, Unfit>, ReadError> {
    let mut content = leaving.pieces();
    let mut is_wide = false;
    while let Some(piece) = content.next().await? {
        is_wide = !piece.is_ascii();
        if is_wide {
            break;
        }
    }
    if !is_wide {
        return Ok(Ok(SevenBit::AsItIs));
    }
    let octets = leaving.octets();
    if octets > CONVERTED_OCTETS_MAX {
        return Ok(Err(refusal("it is larger than 32 MiB")));
    }
    let kib = (octets * MEMORY_FACTOR).div_ceil(KIB);
    let permits = room.0.acquire_many(u32::try_from(kib).unwrap_or(u32::MAX)).await;
    // Nobody closes it.
    let Ok(mut permit) = permits else { return Ok(Err(Unfit::Hindered)) };
    let mut whole = Vec::with_capacity(usize::try_from(octets).unwrap_or_default());
    let mut content = leaving.pieces();
    while let Some(piece) = content.next().await? {
        whole.extend_from_slice(&piece);
    }
    let converting = tokio::task::spawn_blocking(move || mime::converted(&whole));
    Ok(match converting.await {
        Ok(Ok(converted)) => {
            tracing::info!(message = %leaving.stored.id, "content converted to 7 bits");
            // The original is gone, and what was made of it is mostly smaller than it could be.
            let left = permit.split(converted.len().div_ceil(1024).min(permit.num_permits()));
            let room = left.unwrap_or(permit);
            Ok(SevenBit::Converted(Converted { octets: converted.into(), _room: room }))
        }
        Ok(Err(reason)) => Err(refusal(&reason.to_string())),
        // The relay stops, or the conversion met a bug of ours; neither is the message's fault.
        Err(_) => Err(Unfit::Hindered),
    })
}

/// Whether a host that offers this takes the content only converted to 7 bits.
pub(crate) fn is_needed(extensions: Extensions, outgoing: &Outgoing) -> bool {
    !extensions.eight_bit_mime && is_of_octets(outgoing)
}

/// Whether it is a message of lines whose octets a next hop without 8BITMIME may not take. What needs SMTPUTF8 cannot
/// go there at all, and chunks carry anything.
const fn is_of_octets(outgoing: &Outgoing) -> bool {
    !outgoing.needs_smtputf8 && !matches!(outgoing.body_type, BodyType::BinaryMime)
}

/// Why there is no content that can go to a next hop.
#[derive(Clone, Debug)]
pub(crate) enum Unfit {
    /// This next hop cannot have the message.
    Never(Reply),
    /// It was our own machine; a later try may do.
    Hindered,
}

fn refusal(reason: &str) -> Unfit {
    let words =
        "the next hop takes 7-bit content only (no 8BITMIME), and the message cannot be converted";
    Unfit::Never(never(554, NO_CONVERSION, format!("{words}: {reason}")))
}
