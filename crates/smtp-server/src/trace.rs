//! The `Received` field that the relay puts on top of a message.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;

use mail::{Address, Domain, MessageId, Priority, Timestamp};

/// What the field tells (RFC 5321 §4.4).
pub(crate) struct Received<'a> {
    /// What the client called itself; not trusted.
    pub(crate) helo: &'a str,
    /// The client's address.
    pub(crate) client: IpAddr,
    /// This relay's name.
    pub(crate) hostname: &'a str,
    /// How the message came.
    pub(crate) protocol: Protocol,
    /// TLS version and cipher suite.
    pub(crate) tls: Option<&'a str>,
    /// The inbound connector that lets the client relay.
    pub(crate) connector: Option<&'a str>,
    /// The message's id here.
    pub(crate) id: MessageId,
    /// The recipient if there is but one; with several, each would learn of the others
    /// (RFC 5321 §7.2).
    pub(crate) recipient: Option<&'a Address>,
    /// How urgent it is, if MAIL said so (RFC 6710 §5).
    pub(crate) priority: Option<Priority>,
    /// When it came.
    pub(crate) at: Timestamp,
}

/// The `with` clause (RFC 3848, RFC 6531 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Smtp,
    Esmtp,
    Esmtps,
    Utf8Smtp,
    Utf8Smtps,
    Esmtpa,
    Esmtpsa,
    Utf8Smtpa,
    Utf8Smtpsa,
}

impl Protocol {
    /// The name for a transaction's facts. HELO inside TLS has no name of its own and is `SMTP`.
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "three facts, each named where it is called"
    )]
    pub(crate) const fn of(is_esmtp: bool, needs_smtputf8: bool, is_tls: bool) -> Self {
        match (is_esmtp, needs_smtputf8, is_tls) {
            (false, ..) => Self::Smtp,
            (true, false, false) => Self::Esmtp,
            (true, false, true) => Self::Esmtps,
            (true, true, false) => Self::Utf8Smtp,
            (true, true, true) => Self::Utf8Smtps,
        }
    }

    /// The name if the client had logged in. Who says HELO cannot.
    pub(crate) const fn with_login(self) -> Self {
        match self {
            Self::Esmtp => Self::Esmtpa,
            Self::Esmtps => Self::Esmtpsa,
            Self::Utf8Smtp => Self::Utf8Smtpa,
            Self::Utf8Smtps => Self::Utf8Smtpsa,
            other => other,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
            Self::Esmtps => "ESMTPS",
            Self::Utf8Smtp => "UTF8SMTP",
            Self::Utf8Smtps => "UTF8SMTPS",
            Self::Esmtpa => "ESMTPA",
            Self::Esmtpsa => "ESMTPSA",
            Self::Utf8Smtpa => "UTF8SMTPA",
            Self::Utf8Smtpsa => "UTF8SMTPSA",
        }
    }

    const fn is_utf8(self) -> bool {
        matches!(self, Self::Utf8Smtp | Self::Utf8Smtps | Self::Utf8Smtpa | Self::Utf8Smtpsa)
    }
}

impl Received<'_> {
    /// The field with its line end, folded.
    pub(crate) fn field(&self) -> String {
        let mut field = String::with_capacity(320);
        field.push_str("Received: from ");
        self.from(&mut field);
        // Writing to a String cannot fail.
        write!(field, "\r\n\tby {} with {}", self.hostname, self.protocol.name()).ok();
        if let Some(tls) = self.tls {
            write!(field, "\r\n\t({})", Comment(tls)).ok();
        }
        write!(field, "\r\n\tid {}", self.id).ok();
        if let Some(connector) = self.connector {
            write!(field, " (connector {})", Comment(connector)).ok();
        }
        // A recipient beyond ASCII needs SMTPUTF8, without which the header must stay ASCII.
        if let Some(to) = self.recipient.filter(|to| to.is_ascii() || self.protocol.is_utf8()) {
            write!(field, "\r\n\tfor <{to}>").ok();
        }
        if let Some(priority) = self.priority {
            write!(field, "\r\n\tPRIORITY {priority}").ok();
        }
        write!(field, ";\r\n\t{}\r\n", self.at.rfc5322()).ok();
        field
    }

    /// The client's name stands as it was given only if it is one; else as a comment, made harmless.
    fn from(&self, field: &mut String) {
        let is_utf8 = self.protocol.is_utf8();
        let is_name = (self.helo.is_ascii() || is_utf8) && Domain::parse(self.helo).is_ok();
        let client = Literal(self.client);
        if is_name {
            write!(field, "{} ({client})", self.helo).ok();
        } else {
            write!(field, "{client} (helo {})", Comment(self.helo)).ok();
        }
    }
}

/// RFC 5321 §4.1.3.
struct Literal(IpAddr);

impl Display for Literal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_canonical() {
            IpAddr::V4(address) => write!(out, "[{address}]"),
            IpAddr::V6(address) => write!(out, "[IPv6:{address}]"),
        }
    }
}

/// Text that may stand in a comment (RFC 5322 §3.2.2): visible ASCII, nothing that ends it, no more
/// than fits a line.
struct Comment<'a>(&'a str);

impl Display for Comment<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const OCTETS_MAX: usize = 200;
        let is_plain =
            |c: char| (c == ' ' || c.is_ascii_graphic()) && !matches!(c, '(' | ')' | '\\');
        let mut shown = self.0.chars().take(OCTETS_MAX);
        shown.try_for_each(|c| out.write_char(if is_plain(c) { c } else { '?' }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received<'a>(helo: &'a str, protocol: Protocol, to: Option<&'a Address>) -> String {
        Received {
            helo,
            client: "192.0.2.1".parse().unwrap(),
            hostname: "relay.example.com",
            protocol,
            tls: (protocol == Protocol::Esmtps).then_some("TLSv1.3 TLS_AES_256_GCM_SHA384"),
            connector: to.map(|_| "app (a)"),
            id: MessageId::new(0, 0),
            recipient: to,
            priority: None,
            at: Timestamp::from_millis(1_795_286_760_000),
        }
        .field()
    }

    #[test]
    fn all_clauses_stand_in_their_order() {
        let to = Address::parse("to@example.net").unwrap();
        assert_eq!(
            received("client.example.org", Protocol::Esmtps, Some(&to)),
            "Received: from client.example.org ([192.0.2.1])\r\n\
             \tby relay.example.com with ESMTPS\r\n\
             \t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n\
             \tid 00000000000000000000000000 (connector app ?a?)\r\n\
             \tfor <to@example.net>;\r\n\
             \tSat, 21 Nov 2026 18:46:00 +0000\r\n"
        );
    }

    #[test]
    fn several_recipients_are_not_named() {
        assert_eq!(
            received("[IPv6:2001:db8::1]", Protocol::Smtp, None),
            "Received: from [IPv6:2001:db8::1] ([192.0.2.1])\r\n\
             \tby relay.example.com with SMTP\r\n\
             \tid 00000000000000000000000000;\r\n\
             \tSat, 21 Nov 2026 18:46:00 +0000\r\n"
        );
    }

    /// Whatever a client calls itself, the field stays one field of printable ASCII.
    #[test]
    fn a_name_cannot_break_out() {
        let long = "x".repeat(3000);
        for helo in [
            "a\r\nBcc: x@example.com",
            "a) by evil (b",
            "a\\",
            "a;b",
            "",
            "-a",
            "a b",
            "\0",
            "b\u{fc}cher.example",
            "a\u{2028}b",
            "[127.0.0.1",
            long.as_str(),
        ] {
            let field = received(helo, Protocol::Esmtp, None);
            let lines: Vec<_> = field.split_terminator("\r\n").collect();
            assert_eq!(lines.len(), 4, "{field:?}");
            assert!(lines[0].starts_with("Received: from [192.0.2.1] (helo "), "{field:?}");
            assert!(lines[0].ends_with(')') && lines[0].len() < 300, "{field:?}");
            assert_eq!(lines[0].matches(['(', ')', '\\']).count(), 2, "{field:?}");
            assert!(
                lines.iter().all(|line| line.bytes().all(|b| b == b'\t' || (32..127).contains(&b)))
            );
        }
    }

    /// RFC 6531 §3.7.3: only a message that came with SMTPUTF8 may have UTF-8 in its header.
    #[test]
    fn utf8_stands_only_where_smtputf8_was_asked_for() {
        let to = Address::parse("\u{fc}@b\u{fc}cher.example").unwrap();
        let utf8 = received("b\u{fc}cher.example", Protocol::Utf8Smtp, Some(&to));
        assert!(utf8.starts_with("Received: from b\u{fc}cher.example ("), "{utf8}");
        assert!(utf8.contains("with UTF8SMTP\r\n") && utf8.contains("for <\u{fc}@b"), "{utf8}");
        assert!(received("b\u{fc}cher.example", Protocol::Esmtp, Some(&to)).is_ascii());
    }

    #[test]
    fn each_way_has_its_name() {
        use Protocol::{Esmtp, Esmtps, Smtp, Utf8Smtp, Utf8Smtps};
        for (facts, want) in [
            ((false, false, false), Smtp),
            ((false, false, true), Smtp),
            ((true, false, false), Esmtp),
            ((true, false, true), Esmtps),
            ((true, true, false), Utf8Smtp),
            ((true, true, true), Utf8Smtps),
        ] {
            assert_eq!(Protocol::of(facts.0, facts.1, facts.2), want, "{facts:?}");
        }
        let names = [Smtp, Esmtp, Esmtps, Utf8Smtp, Utf8Smtps].map(|it| it.with_login().name());
        assert_eq!(names, ["SMTP", "ESMTPA", "ESMTPSA", "UTF8SMTPA", "UTF8SMTPSA"]);
    }
}
