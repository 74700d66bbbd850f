//! Reports to senders: from what a plan has to tell and the head of the original.

use bytes::Bytes;
use dsn::Original;
use mail::Timestamp;
use spool::{ReadError, Report, Stored};

use crate::plan::Plan;
use crate::shared::Shared;

/// What a plan has to say to the sender.
#[derive(Debug)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// This report.
    Report(Box<Report>),
    /// Nothing; but this copy is to be stored.
    Copy(Box<Report>),
    /// Something, but the sender is null: a report is never answered by a report (RFC 5321 §6.1).
    Dropped,
}

/// Writes the report that `plan` calls for.
pub(crate) async fn write(shared: &Shared, stored: &Stored, plan: &Plan, now: Timestamp) -> Told {
    if plan.notices.is_empty() {
        return Told::Nothing;
    }
    if stored.envelope.sender.address().is_none() {
        return Told::Dropped;
    }
    let (octets, is_whole) = head(stored).await.unwrap_or_else(|error| {
        // The sender is told all the same; the spool has set the message aside and logged it.
        tracing::warn!(message = %stored.id, %error, "report without the original");
        (Vec::new(), false)
    });
    let wishes = &stored.envelope.wishes;
    let report = dsn::Report {
        hostname: &shared.hostname,
        id: shared.ids.next(now),
        written_at: now,
        message: stored.id,
        received_at: stored.received_at,
        envelope_id: wishes.envelope_id.as_ref(),
        ret: wishes.ret,
        requires_tls: wishes.requires_tls,
        notices: &plan.notices,
        original: Original { octets: &octets, is_whole },
    };
    report.write(&stored.envelope.sender).map_or(Told::Dropped, |written| {
        Told::Report(Box::new(Report {
            envelope: written.envelope,
            content: Bytes::from(written.content).into(),
            received_at: now,
        }))
    })
}

/// The first octets of the content, and whether they are all.
async fn head(stored: &Stored) -> Result<(Vec<u8>, bool), ReadError> {
    let mut content = stored.content();
    let mut head = Vec::new();
    while let Some(chunk) = content.next().await? {
        let room = Original::OCTETS_WANTED.saturating_sub(head.len());
        head.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if chunk.len() > room {
            return Ok((head, false));
        }
    }
    Ok((head, true))
}
