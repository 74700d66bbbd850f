//! Asks filters about a message before it leaves.

use std::net::SocketAddr;

use bytes::Bytes;
use filters::SHOWN_OCTETS_MAX;
use filters::facts::{Content, Facts, Login, Recipient};
use filters::verdict::{Action, Change, ContentVerdict};
use mail::{
    Attempt, EnhancedStatus, Envelope, Fate, Outcome, RecipientOutcome, Reply, ReversePath,
};
use spool::ReadError;

use crate::prepared::Prepared;
use crate::shared::Shared;
use crate::words::later;

const SECURITY: u16 = 7;

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It may leave, changed as they want it.
    Leaves,
    /// It does not leave now.
    Stays(Outcome),
    /// The relay stops.
    Stopping,
}

/// Asks about a message with the recipients at `places`. It waits for no host meanwhile, and none waits for it.
pub(crate) async fn ask(
    shared: &Shared,
    attempt: &Attempt,
    message: &mut Prepared<'_>,
    (places, octets_max): (&[usize], u64),
) -> Result<Asked, ReadError> {
    message.ready_head().await?;
    let asking = verdict(shared, attempt, message, (places, octets_max));
    let verdict = tokio::select! {
        biased;
        () = shared.stop() => return Ok(Asked::Stopping),
        verdict = asking => verdict?,
    };
    for note in &verdict.notes {
        tracing::info!(
            message = %attempt.id,
            connector = attempt.destination.connector(),
            destination = %attempt.destination,
            filter = %note.filter,
            stage = note.stage.name(),
            words = %note.words,
            "filter answered"
        );
    }
    let outcome = match verdict.action {
        Action::Continue if verdict.hold.is_some() => {
            let why = verdict.hold.unwrap_or_default();
            Outcome::Hindered {
                reply: later(EnhancedStatus::FILTERED, format!("held back by filter {why}")),
            }
        }
        Action::Continue => {
            let edits: Vec<_> = verdict.changes.iter().filter_map(Change::edit).cloned().collect();
            if edits.len() < verdict.changes.len() {
                tracing::warn!(message = %attempt.id, "changes that filters want to the envelope are passed over");
            }
            message.change(&edits).await?;
            return Ok(Asked::Leaves);
        }
        Action::Refuse(reply) if reply.is_permanent() => Outcome::Decided(failed(places, &reply)),
        Action::Refuse(reply) => Outcome::Hindered { reply: deferred(reply) },
        Action::Discard => Outcome::Discarded,
    };
    Ok(Asked::Stays(outcome))
}

async fn verdict(
    shared: &Shared,
    attempt: &Attempt,
    message: &Prepared<'_>,
    (places, octets_max): (&[usize], u64),
) -> Result<ContentVerdict, ReadError> {
    let leaving = message.leaving();
    let octets = leaving.octets();
    let is_shown = octets <= octets_max.min(SHOWN_OCTETS_MAX);
    let shown = u32::try_from(octets).ok().filter(|_| is_shown);
    // Holds its room until all have answered; nobody closes it.
    let room = match shown {
        Some(shown) => shared.shown.acquire_many(shown).await.ok(),
        None => None,
    };
    let content = if room.is_some() {
        let (mut content, mut pieces) = (leaving.pieces(), Vec::<Bytes>::new());
        while let Some(piece) = content.next().await? {
            pieces.push(piece);
        }
        Content::new(pieces)
    } else {
        Content::unseen(octets)
    };
    let envelope = &message.stored.envelope;
    let recipients = places.iter().filter_map(|place| envelope.recipients.get(*place));
    let recipients = recipients.map(|it| Recipient::from(it.address.clone())).collect();
    let facts = facts(shared, attempt, envelope);
    Ok(shared.filters.delivery(facts, (sender(envelope), recipients), content).await)
}

/// What is known of the message, and of the session in which it came.
fn facts(shared: &Shared, attempt: &Attempt, envelope: &Envelope) -> Facts {
    let origin = &envelope.origin;
    let login = |account: &str| Login { account: account.into(), mechanism: Box::default() };
    Facts {
        relay: shared.means.hostname.clone(),
        scope: attempt.destination.connector().into(),
        destination: Some(attempt.destination.to_string().into()),
        client: origin.client.map(|address| SocketAddr::new(address, 0)),
        helo: origin.helo.clone(),
        tls: origin.tls.as_deref().map(Into::into),
        login: origin.login.as_deref().map(login),
        message: Some(attempt.id),
        ..Facts::default()
    }
}

/// The sender, as rules left it; return paths of the relay's own come after.
fn sender(envelope: &Envelope) -> ReversePath {
    let other = envelope.directions.as_ref().and_then(|it| it.sender.clone());
    other.map_or_else(|| envelope.sender.clone(), ReversePath::Address)
}

fn failed(places: &[usize], reply: &Reply) -> Vec<RecipientOutcome> {
    let failed = |place: &usize| RecipientOutcome {
        recipient: u32::try_from(*place).unwrap_or(u32::MAX),
        fate: Fate::Failed,
        reply: reply.clone(),
        peer: None,
    };
    places.iter().map(failed).collect()
}

/// A filter's reply, with a status that is not one of the relay's own.
fn deferred(reply: Reply) -> Reply {
    match reply.status() {
        Some(status) if status.subject() != SECURITY => reply,
        _ => Reply::new(reply.code(), Some(EnhancedStatus::FILTERED), reply.text()),
    }
}
