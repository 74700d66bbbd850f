//! What all connections of the sink share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_rustls::TlsAcceptor;

use crate::envelope::{self, Place};
use crate::sink::content::Content;
use crate::sink::faults::Faults;
use crate::sink::script::{SinkScript, Stage};
use crate::tally::Tally;

/// The next hop, ready to be asked.
pub(crate) struct Host {
    pub(crate) tally: Arc<Tally>,
    pub(crate) faults: Faults,
    pub(crate) acceptor: Option<TlsAcceptor>,
    pub(crate) reply_wait: Duration,
    defer_until_accepted: u64,
    is_up: AtomicBool,
    /// When it began to take mail.
    up_at: Mutex<Option<Instant>>,
}

/// One address of the sink.
pub(crate) struct Port {
    /// The class that comes here alone; 0 for all without an address of their own.
    pub(crate) class: usize,
    /// 0 for no end.
    pub(crate) connections_max: usize,
    /// Connections that are open now.
    pub(crate) open: AtomicUsize,
}

impl Host {
    pub(crate) fn new(
        script: &SinkScript,
        faults: Faults,
        tally: &Arc<Tally>,
        acceptor: Option<TlsAcceptor>,
    ) -> Self {
        Self {
            tally: Arc::clone(tally),
            faults,
            acceptor,
            reply_wait: script.reply_wait.as_duration(),
            defer_until_accepted: script.defer_until_accepted,
            is_up: AtomicBool::new(false),
            up_at: Mutex::new(None),
        }
    }

    /// Whether mail is taken by now; notes when it first was.
    pub(crate) fn takes_mail(&self) -> bool {
        if self.is_up.load(Ordering::Relaxed) {
            return true;
        }
        let watch = &self.tally.watch;
        let is_up = watch.accepted() >= self.defer_until_accepted || watch.is_sent();
        if is_up && !self.is_up.swap(true, Ordering::Relaxed) {
            *self.up_at.lock() = Some(self.tally.clock.now());
        }
        is_up
    }

    /// When the first recipient was not deferred for all mail's sake.
    pub(crate) fn up_at(&self) -> Option<Instant> {
        *self.up_at.lock()
    }

    /// Counts what was taken: for each recipient the message that its address and the content agree on.
    pub(crate) fn count(&self, to: &[(u64, u32, usize)], content: Content, connection: usize) {
        let Some(number) = content.number else { return self.tally.damage() };
        let is_mixed_up = to.iter().any(|(named, ..)| *named != number);
        if content.is_damaged || is_mixed_up {
            self.tally.damage();
        }
        match to {
            [(named, place, class)] if *named == number => {
                self.tally.arrive(number, &[(*place, *class)], connection);
            }
            _ => {
                // Who got another's message did not get their own.
                let right = to.iter().filter(|(named, ..)| *named == number);
                let places: Vec<_> = right.map(|(_, place, class)| (*place, *class)).collect();
                self.tally.arrive(number, &places, connection);
            }
        }
    }

    /// Counts a report to a sender, by the recipients that it names.
    pub(crate) fn count_report(&self, named: &[Place]) {
        let run = self.tally.plan.run;
        for place in named.iter().filter(|place| place.run == run) {
            self.tally.report(place.number, place.nth);
        }
        if named.iter().all(|place| place.run != run) {
            self.tally.wonder();
        }
    }
}

impl Port {
    /// Whether each connection is cut at a stage before MAIL.
    pub(crate) fn cuts(&self, host: &Host, stage: Stage) -> bool {
        host.faults.class(self.class).is_some_and(|script| script.disconnect == Some(stage))
    }

    /// Whether MAIL of this message is cut.
    pub(crate) fn cuts_message(&self, host: &Host, mail: &[u8]) -> bool {
        let plan = &host.tally.plan;
        let sender = envelope::path(mail).and_then(envelope::sender);
        let number = sender.filter(|(run, _)| *run == plan.run).map(|(_, number)| number);
        number.is_some_and(|number| {
            // Any recipient of the message will do: all that come here are of this class.
            let slot = plan.slot(number, 0).map_or(0, |slot| slot as u64);
            host.faults.is_cut(self.class, Stage::Mail, number, slot)
        })
    }
}
