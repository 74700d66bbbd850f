//! The report as a whole: envelope, headers and the three parts.

use mail::{Address, BodyType, Envelope, Notify, Origin, Recipient, Ret, ReversePath, Wishes};

use crate::encode::Lines;
use crate::original::Extent;
use crate::report::{Action, Report};
use crate::status::Alphabet;
use crate::{status, text};

/// A report, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// To the sender of the original, from nobody.
    pub envelope: Envelope,
    /// Headers and body.
    pub content: Vec<u8>,
}

impl Report<'_> {
    /// Writes the report to `sender`; none if that is the null sender (RFC 5321 §6.1).
    ///
    /// It needs neither 8BITMIME nor, unless the sender's own address does, SMTPUTF8: a next hop
    /// without them must not be able to lose it.
    pub fn write(&self, sender: &ReversePath) -> Option<Written> {
        let to = sender.address()?;
        let needs_smtputf8 = !to.is_ascii() || !self.hostname.is_ascii();
        // Nobody is told what becomes of a report (RFC 3461 §6.2).
        let recipient = Recipient { notify: Some(Notify::NEVER), ..Recipient::from(to.clone()) };
        let envelope = Envelope {
            sender: ReversePath::Null,
            recipients: vec![recipient],
            body_type: if needs_smtputf8 { BodyType::EightBitMime } else { BodyType::SevenBit },
            needs_smtputf8,
            wishes: Wishes { requires_tls: self.requires_tls, ..Wishes::default() },
            origin: Origin {
                client: None,
                helo: "".into(),
                listener: "".into(),
                connector: "".into(),
                tls: None,
                login: None,
            },
            directions: None,
        };
        let alphabet = if needs_smtputf8 { Alphabet::Utf8 } else { Alphabet::Ascii };
        Some(Written { envelope, content: self.content(to, alphabet) })
    }

    fn content(&self, to: &Address, alphabet: Alphabet) -> Vec<u8> {
        let boundary = self.boundary();
        let mut out = Lines::new();
        self.header((to, alphabet), &boundary, &mut out);
        out.line("");
        out.line("This is a report in MIME format (RFC 3464).");
        let parts =
            [text::part(self), status::part(self, alphabet), self.original.part(self.extent())];
        for part in parts {
            out.line("");
            out.line(&format!("--{boundary}"));
            out.octets(&part);
        }
        out.line("");
        out.line(&format!("--{boundary}--"));
        out.into_octets()
    }

    /// How much of the original goes back: its headers unless it failed (RFC 3461 §4.3); never more of one whose
    /// sender wants it to travel by TLS alone (RFC 8689 §5).
    fn extent(&self) -> Extent {
        if self.requires_tls {
            return Extent::Headers;
        }
        match (self.action(), self.ret) {
            (Action::Delivered | Action::Relayed | Action::Delayed, _)
            | (_, Some(Ret::Headers)) => Extent::Headers,
            (Action::Failed, None) => Extent::Small,
            (Action::Failed, Some(Ret::Full)) => Extent::Full,
        }
    }

    fn header(&self, (to, alphabet): (&Address, Alphabet), boundary: &str, out: &mut Lines) {
        let host = self.hostname;
        out.line(&format!("From: \"Mail Delivery System\" <mailer-daemon@{host}>"));
        out.line(&format!("To: <{to}>"));
        out.line(&format!("Subject: {}", text::subject(self.action())));
        out.line(&format!("Date: {}", self.written_at.rfc5322()));
        out.line(&format!("Message-ID: <{}@{host}>", self.id));
        if let Some(original) = self.original.message_id() {
            out.line(&format!("In-Reply-To: {original}"));
            out.line(&format!("References: {original}"));
        }
        out.line("Auto-Submitted: auto-replied");
        out.line("MIME-Version: 1.0");
        if alphabet == Alphabet::Utf8 {
            out.line("Content-Transfer-Encoding: 8bit");
        }
        let kind = alphabet.kind();
        out.line(&format!("Content-Type: multipart/report; report-type={kind};"));
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
