//! What a connection hands over by an inbound connector with limits.

use mail::{Reply, ReversePath};
use spool::Tally;

use crate::connection::Connection;
use crate::metrics::Limit;
use crate::rates::Kind;
use crate::reply;

impl Connection {
    /// MAIL: takes a message of what the connector may, then looks whether there is room.
    pub(crate) fn begin_message(&mut self, octets_declared: Option<u64>) -> Result<(), Reply> {
        self.take_message()?;
        let begun = self.may_begin(octets_declared);
        if begun.is_err()
            && let Some(held) = &mut self.held
        {
            held.give_back(Kind::Messages);
        }
        begun
    }

    /// Takes a message of what the connector may.
    pub(crate) fn take_message(&mut self) -> Result<(), Reply> {
        let Some(connector) = self.client.connector.as_deref() else {
            self.held = None;
            return Ok(());
        };
        let begun = self.reception.quotas.begin(connector, &mut self.held);
        self.counted(begun)
    }

    /// Whether the one connector that a look-up may let the sender in by takes more today. Nothing is taken of what it may
    /// before that is known: whoever writes a customer's address in MAIL could use it up.
    pub(crate) fn may_come_by_lookup(&mut self, sender: &ReversePath) -> Result<(), Reply> {
        let policy = self.reception.policy.load();
        let Some(connector) = policy.admission.by_lookup(sender) else { return Ok(()) };
        let Some(until) = self.reception.quotas.full_until(&connector.name) else { return Ok(()) };
        let why = format!("connector {} has taken all of its day, until {until}", connector.name);
        drop(policy);
        self.transaction.found_mut().reason = Some(why.into());
        // Who this is nobody knows yet: it hears no numbers, and is not counted as the connector's.
        Err(reply::day_full())
    }

    /// RCPT: takes a recipient of what the connector and the rates of the listener allow.
    pub(crate) fn take_recipient(&mut self) -> Result<(), Reply> {
        if let Some(held) = &mut self.held {
            let taken = held.take_recipient();
            self.counted(taken)?;
        }
        let taken = self.may_have_one(Kind::Recipients);
        if taken.is_err()
            && let Some(held) = &mut self.held
        {
            held.give_back(Kind::Recipients);
        }
        taken
    }

    fn counted<T>(&self, taken: Result<T, (Limit, Reply)>) -> Result<T, Reply> {
        taken.map_err(|(limit, reply)| {
            self.reception.shed(limit);
            reply
        })
    }

    /// What is written with a message of so many recipients.
    pub(crate) fn tallies(&mut self, recipients: u64) -> Vec<Tally> {
        self.held.as_mut().map(|held| held.taken(recipients)).unwrap_or_default()
    }

    /// The transaction is over, and nothing of it was taken.
    pub(crate) fn nothing_taken(&mut self) {
        if let Some(held) = &mut self.held {
            held.end();
        }
    }
}
