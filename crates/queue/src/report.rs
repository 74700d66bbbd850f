//! Reports to senders: from the steps of a plan and the head of the original.

use dsn::{Failure, Original};
use mail::{MessageId, Timestamp};
use spool::{ReadError, Report, Stored};

use crate::plan::{Facts, Plan, Step};
use crate::shared::Shared;

/// What a plan has to say to the sender.
#[derive(Debug)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// This report.
    Report(Box<Report>),
    /// Something, but the sender is null: a report is never answered by a report (RFC 5321 §6.1).
    Dropped,
}

/// Writes the report that `plan` calls for.
pub(crate) async fn write(shared: &Shared, stored: &Stored, plan: &Plan, facts: &Facts) -> Told {
    let failures: Vec<_> = plan.steps.iter().filter_map(|step| failure(step, facts)).collect();
    if failures.is_empty() {
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
    let report = dsn::Report {
        hostname: &shared.hostname,
        id: report_id(shared, facts.now),
        written_at: facts.now,
        message: stored.id,
        received_at: stored.received_at,
        failures: &failures,
        original: Original { octets: &octets, is_whole },
    };
    report.write(&stored.envelope.sender).map_or(Told::Dropped, |written| {
        Told::Report(Box::new(Report {
            envelope: written.envelope,
            content: written.content.into(),
            received_at: facts.now,
        }))
    })
}

fn report_id(shared: &Shared, now: Timestamp) -> MessageId {
    shared.ids.next(now)
}

fn failure(step: &Step, facts: &Facts) -> Option<Failure> {
    Some(Failure {
        recipient: step.address.clone(),
        cause: step.status.cause()?,
        reply: step.reply.clone(),
        peer: step.peer.as_deref().cloned(),
        tries: facts.tries,
        last_try_at: facts.now,
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
