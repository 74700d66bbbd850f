//! The report as a whole.

use mail::{
    Address, BodyType, Domain, EnhancedStatus, Envelope, MessageId, Origin, Peer, Recipient, Reply,
    ReversePath, Timestamp,
};

use crate::encode::Lines;
use crate::original::Original;
use crate::{status, text};

/// What a report says.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The relay that writes.
    pub hostname: &'a Domain,
    /// An id of its own, from which the report's `Message-ID` and boundary are made.
    pub id: MessageId,
    /// When it is written.
    pub written_at: Timestamp,
    /// The message that failed.
    pub message: MessageId,
    /// When that was received.
    pub received_at: Timestamp,
    /// Its recipients that failed, never empty.
    pub failures: &'a [Failure],
    /// What is known of its content.
    pub original: Original<'a>,
}

/// One recipient that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The recipient.
    pub recipient: Address,
    /// Why it was given up.
    pub cause: Cause,
    /// The reply that decided it; it may come from an enemy.
    pub reply: Reply,
    /// Who said so; none if the relay itself did.
    pub peer: Option<Peer>,
    /// Tries in all.
    pub tries: u16,
    /// When the last of them ended.
    pub last_try_at: Timestamp,
}

/// Why a recipient was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The answer was no for good.
    Refused,
    /// The answer was not now, until the message was too old.
    Expired,
}

/// A report, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// To the sender of the original, from nobody.
    pub envelope: Envelope,
    /// Headers and body.
    pub content: Vec<u8>,
}

impl Failure {
    /// The status for the report: class 5, or 4.4.7 for what was given up because of its age
    /// (RFC 3463 §3.5).
    pub fn status(&self) -> EnhancedStatus {
        let given = self.reply.status_or_default();
        match self.cause {
            Cause::Expired => EnhancedStatus::new(4, 4, 7),
            Cause::Refused if given.class() == 5 => given,
            Cause::Refused => EnhancedStatus::new(5, 0, 0),
        }
    }
}

impl Report<'_> {
    /// Writes the report to `sender`; none if that is the null sender (RFC 5321 §6.1).
    ///
    /// It needs neither 8BITMIME nor, unless the sender's own address does, SMTPUTF8: a next hop
    /// without them must not be able to lose it.
    pub fn write(&self, sender: &ReversePath) -> Option<Written> {
        let to = sender.address()?;
        let needs_smtputf8 = !to.is_ascii() || !self.hostname.is_ascii();
        let envelope = Envelope {
            sender: ReversePath::Null,
            recipients: vec![Recipient { address: to.clone() }],
            body_type: if needs_smtputf8 { BodyType::EightBitMime } else { BodyType::SevenBit },
            needs_smtputf8,
            origin: Origin {
                client: None,
                helo: "".into(),
                listener: "".into(),
                connector: "".into(),
                tls: None,
            },
        };
        Some(Written { envelope, content: self.content(to) })
    }

    fn content(&self, to: &Address) -> Vec<u8> {
        let boundary = self.boundary();
        let mut out = Lines::new();
        self.header(to, &boundary, &mut out);
        out.line("");
        out.line("This is a report in MIME format (RFC 3464).");
        for part in [text::part(self), status::part(self), self.original.part()] {
            out.line("");
            out.line(&format!("--{boundary}"));
            out.octets(&part);
        }
        out.line("");
        out.line(&format!("--{boundary}--"));
        out.into_octets()
    }

    fn header(&self, to: &Address, boundary: &str, out: &mut Lines) {
        let host = self.hostname;
        out.line(&format!("From: \"Mail Delivery System\" <mailer-daemon@{host}>"));
        out.line(&format!("To: <{to}>"));
        out.line("Subject: Your message could not be delivered");
        out.line(&format!("Date: {}", self.written_at.rfc5322()));
        out.line(&format!("Message-ID: <{}@{host}>", self.id));
        if let Some(original) = self.original.message_id() {
            out.line(&format!("In-Reply-To: {original}"));
            out.line(&format!("References: {original}"));
        }
        out.line("Auto-Submitted: auto-replied");
        out.line("MIME-Version: 1.0");
        out.line("Content-Type: multipart/report; report-type=delivery-status;");
        out.line(&format!("\tboundary=\"{boundary}\""));
    }

    /// A boundary that the original does not hold; the other parts cannot begin a line with `--=`.
    fn boundary(&self) -> String {
        let mut boundary = format!("=_{}", self.id);
        while memory_holds(self.original.octets, boundary.as_bytes()) {
            boundary.push('_');
        }
        boundary
    }
}

fn memory_holds(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests;
