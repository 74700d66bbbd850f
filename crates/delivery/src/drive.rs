//! Moves bytes between a transaction, its connection and the spool.

use std::time::Instant;

use smtp_session::client::{End, Step, Transaction};
use spool::ReadError;
use units::Clock;

use crate::body::Body;
use crate::connection::{Connection, Event, Pieces};

/// So much is put together before it is written.
const PIECES_OCTETS_MAX: usize = 64 << 10;

/// How a transaction ended.
#[derive(Debug)]
pub(crate) enum Driven {
    /// It has its answers.
    Ended(End),
    /// The content could not be read; the connection is to be dropped, so that the peer throws the rest away.
    Unreadable(ReadError),
    /// It came to no end though the connection is over.
    Stuck,
}

/// Runs `transaction` on `connection` to its end.
pub(crate) async fn drive(
    connection: &mut Connection,
    transaction: &mut Transaction,
    body: &mut Body,
    clock: &Clock,
) -> Driven {
    let mut pieces = Pieces::default();
    let mut is_over = false;
    loop {
        let step = if pieces.octets() < PIECES_OCTETS_MAX { transaction.next_step() } else { None };
        let event = match step {
            Some(Step::Send(bytes)) => {
                pieces.push(bytes);
                continue;
            }
            Some(Step::NeedBody) => {
                match body.next().await {
                    Ok(Some(chunk)) => transaction.body(chunk, clock.now()),
                    Ok(None) => transaction.body_ended(clock.now()),
                    Err(error) => return Driven::Unreadable(error),
                }
                continue;
            }
            Some(Step::Done(end)) => return Driven::Ended(end),
            None if is_over => return Driven::Stuck,
            None if pieces.octets() > 0 => {
                let deadline: Instant = transaction.deadline();
                connection.send(&mut pieces, deadline).await
            }
            None => connection.receive(transaction.deadline()).await,
        };
        let now = clock.now();
        match event {
            Event::Sent => {}
            Event::Received(octets) => {
                let octets = connection.received(octets);
                if pieces.octets() == 0 {
                    transaction.receive(octets, now);
                } else {
                    transaction.receive_early(octets, now);
                }
                if transaction.is_over() {
                    // A peer that has said its last word need not read the rest, and nobody waits for that.
                    pieces.clear();
                }
            }
            Event::Closed => {
                is_over = true;
                pieces.clear();
                transaction.closed(now);
            }
            Event::Late => {
                // Written pieces would now only be thrown away.
                pieces.clear();
                transaction.expire(now.max(transaction.deadline()));
                is_over = true;
            }
        }
    }
}
