//! What a report says.

use mail::{
    Address, Domain, EnhancedStatus, EnvelopeId, MessageId, OriginalRecipient, Peer, Reply, Ret,
    Timestamp,
};

use crate::original::Original;

/// What a report says.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The relay that writes.
    pub hostname: &'a Domain,
    /// An id of its own, from which the report's `Message-ID` and boundary are made.
    pub id: MessageId,
    /// When it is written.
    pub written_at: Timestamp,
    /// The message it is about.
    pub message: MessageId,
    /// When that was received.
    pub received_at: Timestamp,
    /// What its sender called it, if anything.
    pub envelope_id: Option<&'a EnvelopeId>,
    /// How much of it the sender wants back, if it said so.
    pub ret: Option<Ret>,
    /// Whether it may only go where TLS is verified; then so may the report (RFC 8689 §5).
    pub requires_tls: bool,
    /// The recipients that the sender is told of, never empty.
    pub notices: &'a [Notice],
    /// What is known of its content.
    pub original: Original<'a>,
}

/// What the sender is told of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The recipient.
    pub recipient: Address,
    /// As the sender named it first, if that is known.
    pub original: Option<OriginalRecipient>,
    /// What happened.
    pub event: Event,
    /// The reply that decided it, or the last one; it may come from an enemy.
    pub reply: Reply,
    /// Who said so; none if the relay itself did.
    pub peer: Option<Peer>,
    /// Tries in all.
    pub tries: u16,
    /// When the last of them ended, if that is known.
    pub last_try_at: Option<Timestamp>,
}

/// What happened to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Given up: the answer was no for good.
    Refused,
    /// Given up: the answer was not now, until the message was too old.
    Expired,
    /// Given up: the time was over by which the sender wanted it delivered (RFC 2852).
    Overdue,
    /// It waits, longer than usual, and is tried until then.
    Late {
        /// When it will be given up.
        until: Timestamp,
    },
    /// The time is over by which the sender wanted it delivered, and it is tried until then (RFC 2852).
    Missed {
        /// When it will be given up.
        until: Timestamp,
    },
    /// It rests where it shall (RFC 3464 §2.3.3).
    Delivered,
    /// A host took it that reports no success; it may still be on its way (RFC 3461 §5.2.2).
    Relayed,
}

/// What happened, as programs read it (RFC 3464 §2.3.3). Ordered from the good to the bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Where it shall be.
    Delivered,
    /// Handed to a host that reports no success.
    Relayed,
    /// Still tried.
    Delayed,
    /// Given up.
    Failed,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Relayed, Self::Delayed, Self::Failed];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
        }
    }
}

impl Event {
    /// What programs are told.
    pub const fn action(self) -> Action {
        match self {
            Self::Refused | Self::Expired | Self::Overdue => Action::Failed,
            Self::Late { .. } | Self::Missed { .. } => Action::Delayed,
            Self::Delivered => Action::Delivered,
            Self::Relayed => Action::Relayed,
        }
    }
}

impl Notice {
    /// The status for the report: of the class that the action has, or x.4.7 for what became
    /// too old (RFC 3463 §3.5).
    pub fn status(&self) -> EnhancedStatus {
        let given = self.reply.status_or_default();
        let in_class = |class, plain| if given.class() == class { given } else { plain };
        match self.event {
            Event::Expired | Event::Missed { .. } => EnhancedStatus::new(4, 4, 7),
            Event::Overdue => EnhancedStatus::new(5, 4, 7),
            Event::Refused => in_class(5, EnhancedStatus::new(5, 0, 0)),
            Event::Late { .. } => in_class(4, EnhancedStatus::new(4, 0, 0)),
            Event::Delivered | Event::Relayed => in_class(2, EnhancedStatus::new(2, 0, 0)),
        }
    }
}

impl Report<'_> {
    /// The worst that happened to a recipient.
    pub fn action(&self) -> Action {
        self.notices.iter().map(|it| it.event.action()).max().unwrap_or(Action::Failed)
    }
}
