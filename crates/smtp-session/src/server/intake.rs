//! Content as it comes in.

use bytes::Bytes;
use mail::{BodyType, Reply};
use smtp_codec::{HeaderScan, LineScan};

use crate::server::replies::Refusal;
use crate::server::settings::Settings;
use crate::server::step::{Step, Transaction};
use crate::server::talk::Talk;

/// A transaction whose content is on its way.
///
/// Content at fault is not passed on, but measured to its end, so that the reply does not depend on how it was cut.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) transaction: Box<Transaction>,
    lines: LineScan,
    header: HeaderScan,
    /// Whether the first octet is white space. The line would be read as a part of the trace field before it.
    begins_folded: bool,
    keeping: Keeping,
}

#[derive(Debug)]
enum Keeping {
    /// The driver takes it.
    Wanted,
    /// It is at fault, by this first, and the driver was told: from here no way leads to a commit.
    Abandoned(Refusal),
    /// The driver cannot take it.
    Refused(Reply),
}

impl Intake {
    pub(super) fn new(transaction: Box<Transaction>, settings: &Settings) -> Self {
        Self {
            transaction,
            lines: LineScan::new(settings.text_line_octets_max),
            header: HeaderScan::new(),
            begins_folded: false,
            keeping: Keeping::Wanted,
        }
    }

    /// An intake of content that nobody takes.
    pub(super) fn refused(
        transaction: Box<Transaction>,
        reply: Reply,
        settings: &Settings,
    ) -> Self {
        Self { keeping: Keeping::Refused(reply), ..Self::new(transaction, settings) }
    }

    /// The driver can take no more of it.
    pub(super) fn refuse(&mut self, reply: Reply) {
        self.keeping = Keeping::Refused(reply);
    }

    /// Whether the driver holds content that it must drop if the session ends now.
    pub(super) const fn is_wanted(&self) -> bool {
        matches!(self.keeping, Keeping::Wanted)
    }

    /// The first fault, if the driver was told to drop the content for one.
    pub(super) const fn abandoned_for(&self) -> Option<Refusal> {
        match self.keeping {
            Keeping::Abandoned(fault) => Some(fault),
            Keeping::Wanted | Keeping::Refused(_) => None,
        }
    }

    /// Measures a piece and passes it on.
    pub(super) fn take(&mut self, piece: Bytes, settings: &Settings) -> Option<Step> {
        self.begins_folded |=
            self.transaction.octets == 0 && matches!(piece.first(), Some(b' ' | b'\t'));
        let octets = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.transaction.octets = self.transaction.octets.saturating_add(octets);
        if self.is_text() {
            self.lines.scan(&piece);
        }
        self.header.scan(&piece);
        if !self.is_wanted() {
            return None;
        }
        match self.fault(settings) {
            Some(fault) => {
                self.keeping = Keeping::Abandoned(fault);
                Some(Step::Abandon)
            }
            None => Some(Step::Body(piece)),
        }
    }

    /// Says at the end of a chunk why the content is refused; false if it is not.
    pub(super) fn say_refusal(&self, talk: &mut Talk) -> bool {
        match &self.keeping {
            Keeping::Wanted => return false,
            Keeping::Refused(reply) => talk.say_reply(reply),
            // Of several faults the gravest is told, wherever the content was cut.
            Keeping::Abandoned(first) => {
                let fault = self.fault(&talk.settings).unwrap_or(*first);
                talk.say_refusal(fault);
            }
        }
        true
    }

    /// Whether the end of the content is itself at fault: a CR that stands alone there.
    pub(super) fn ends_at_fault(&self) -> bool {
        self.lines.has_bare_end() && !self.lines.has_bare_end_so_far()
    }

    /// Whether the content is lines; binary content may hold what it likes (RFC 3030 §3).
    fn is_text(&self) -> bool {
        self.transaction.body_type != BodyType::BinaryMime
    }

    fn fault(&self, settings: &Settings) -> Option<Refusal> {
        if self.transaction.octets > settings.message_octets_max {
            Some(Refusal::TooBig)
        } else if self.lines.has_bare_end_so_far() {
            Some(Refusal::BareEnd)
        } else if self.lines.has_nul() && !settings.takes_nul {
            Some(Refusal::Nul)
        } else if self.begins_folded {
            Some(Refusal::FoldedStart)
        } else if self.header.octets() > settings.header_octets_max {
            Some(Refusal::HeaderTooBig)
        } else if self.header.received() > settings.hops_max {
            Some(Refusal::Hops)
        } else if self.lines.has_long_line() {
            Some(Refusal::LineTooLong)
        } else {
            None
        }
    }
}
