//! What the log says of outcomes: one line per recipient.

use std::time::Duration;

use crate::metrics::Stages;
use crate::plan::Status;
use crate::work::{Kind, Reported, Settled};

impl Settled {
    /// Where the time of the message went up to this outcome.
    pub(crate) fn stages(&self) -> Stages {
        let made_at = mail::Timestamp::from_millis(self.settle.id.unix_millis());
        let waits = self.settle.waits;
        let since = self.settle.facts.now.since(self.received_at);
        Stages {
            receive: self.received_at.since(made_at),
            queue: since.saturating_sub(waits.connect).saturating_sub(waits.transmit),
            connect: waits.connect,
            transmit: waits.transmit,
        }
    }

    /// Writes the lines.
    pub(crate) fn log(&self) {
        let stages = self.stages();
        for step in &self.reported.plan.steps {
            let next_try_at =
                (step.status == Status::Deferred).then_some(self.settle.facts.next_try_at);
            tracing::info!(
                message = %self.settle.id,
                recipient = %step.address,
                destination = %self.settle.destination,
                status = step.status.name(),
                reply = step.words(),
                peer = step.peer.as_deref().map(tracing::field::display),
                tls = step.peer.as_deref().and_then(|peer| peer.tls.as_deref()),
                tries = self.settle.facts.tries,
                next_try_at = next_try_at.map(tracing::field::display),
                receive_ms = millis(stages.receive),
                queue_ms = millis(stages.queue),
                connect_ms = millis(stages.connect),
                transmit_ms = millis(stages.transmit),
                "outcome"
            );
        }
    }
}

impl Reported {
    /// Writes what the log says of a report.
    pub(crate) fn log(&self) {
        if let Some(copy) = self.report.as_ref().filter(|_| self.kind == Kind::Copy) {
            let recipients = copy.envelope.recipients.len();
            tracing::info!(message = %self.id, copy = %copy.id, recipients, "copy for followers stored");
        } else if let Some(report) = &self.report {
            let action = self.plan.action().map(dsn::Action::name);
            tracing::info!(message = %self.id, report = %report.id, action, "report to the sender stored");
        }
        if self.plan.unwanted > 0 {
            let recipients = self.plan.unwanted;
            tracing::info!(message = %self.id, recipients, "no report, the sender wants none");
        }
        if self.kind == Kind::Dropped {
            tracing::info!(message = %self.id, "report dropped, the sender is null");
        }
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}
