//! Every reply that the server says of its own accord, with its enhanced status (RFC 5321 §4.2, RFC 3463).

use std::fmt;

use bytes::BytesMut;
use mail::{Reply, Timestamp};
use smtp_codec::{CommandError, Extension, ExtensionSet, LineError, ParamError, XCLIENT_OFFER};

use crate::server::bad_param::BadParam;
use crate::server::settings::{Offers, Settings};
use crate::server::step::Reason;

/// A reply that is always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) wire: &'static str,
    pub(super) is_bad_command: bool,
}

const fn line(wire: &'static str) -> Line {
    Line { wire, is_bad_command: false }
}

/// A reply to a command that is unknown, malformed or out of order.
const fn bad(wire: &'static str) -> Line {
    Line { wire, is_bad_command: true }
}

pub(super) const OK: Line = line("250 2.0.0 OK\r\n");
pub(super) const SENDER_OK: Line = line("250 2.1.0 sender OK\r\n");
pub(super) const RECIPIENT_OK: Line = line("250 2.1.5 recipient OK\r\n");
pub(super) const CHUNK_OK: Line = line("250 2.0.0 chunk OK\r\n");
pub(super) const GO_AHEAD: Line = line("354 end with CRLF.CRLF\r\n");
pub(super) const BYE: Line = line("221 2.0.0 goodbye\r\n");
pub(super) const HELP: Line =
    line("214 2.0.0 EHLO HELO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n");
pub(super) const NOT_VERIFIED: Line = line("252 2.5.0 not verified, but mail will be tried\r\n");
pub(super) const TLS_READY: Line = line("220 2.0.0 ready to start TLS\r\n");

pub(super) const UNKNOWN: Line = bad("500 5.5.1 command unknown\r\n");
pub(super) const NOT_OFFERED: Line = bad("502 5.5.1 command not offered\r\n");
pub(super) const HELLO_FIRST: Line = bad("503 5.5.1 EHLO comes first\r\n");
pub(super) const MAIL_FIRST: Line = bad("503 5.5.1 MAIL comes first\r\n");
pub(super) const RECIPIENT_FIRST: Line = bad("503 5.5.1 RCPT comes first\r\n");
pub(super) const TRANSACTION_OPEN: Line =
    bad("503 5.5.1 a transaction is open: finish it or send RSET\r\n");
pub(super) const CHUNKS_OPEN: Line =
    bad("503 5.5.1 content is coming by BDAT: finish it or send RSET\r\n");
pub(super) const TLS_ALREADY: Line = bad("503 5.5.1 TLS is on already\r\n");
pub(super) const EHLO_FIRST: Line = bad("503 5.5.1 AUTH needs EHLO\r\n");
pub(super) const LOGIN_ALREADY: Line = bad("503 5.5.1 you are logged in already\r\n");
pub(super) const TLS_FIRST: Line = bad("530 5.7.0 STARTTLS comes first\r\n");
pub(super) const XCLIENT_DENIED: Line = bad("550 5.7.0 XCLIENT is for listed proxies only\r\n");
pub(super) const XCLIENT_MALFORMED: Line = bad("501 5.5.4 an attribute cannot be read\r\n");
pub(super) const NO_SERVICE: Line = bad("503 5.5.1 no mail service here, send QUIT\r\n");
pub(super) const NO_RECIPIENTS: Line = line("554 5.5.1 no valid recipients\r\n");
pub(super) const TOO_MANY_RECIPIENTS: Line =
    line("452 4.5.3 too many recipients, send the rest in another transaction\r\n");
pub(super) const FOREIGN: Line = bad("554 5.5.1 this is SMTP\r\n");

pub(super) const PARAMETER_MALFORMED: Line = bad("501 5.5.4 parameter malformed\r\n");
pub(super) const BINARY_BY_BDAT: Line = bad("503 5.5.1 BINARYMIME comes by BDAT\r\n");
pub(super) const NEEDS_SMTPUTF8: Line =
    line("553 5.6.7 the address is not ASCII: MAIL must say SMTPUTF8\r\n");

/// The reply to a line that is none.
pub(super) const fn line_error(error: LineError) -> Line {
    match error {
        LineError::TooLong => bad("500 5.5.2 line too long\r\n"),
        LineError::BareCr => bad("500 5.5.2 CR without LF: lines end with CRLF\r\n"),
        LineError::BareLf => bad("500 5.5.2 LF without CR: lines end with CRLF\r\n"),
        LineError::Nul => bad("500 5.5.2 NUL in a command\r\n"),
    }
}

/// The reply to a client's answer in a login that is no line (RFC 4954 §4).
pub(super) const fn response_error(error: LineError) -> Line {
    match error {
        LineError::TooLong => bad("500 5.5.6 the line is longer than 12288 octets\r\n"),
        error => line_error(error),
    }
}

/// The reply to a known command that cannot be taken.
pub(super) const fn command_error(error: CommandError) -> Line {
    match error {
        CommandError::NotUtf8 => bad("501 5.5.2 the command is not UTF-8\r\n"),
        CommandError::ArgumentMissing => bad("501 5.5.4 the command needs an argument\r\n"),
        CommandError::ArgumentUnexpected => bad("501 5.5.4 the command has no argument\r\n"),
        CommandError::Name => {
            bad("501 5.5.4 the name is neither a domain nor an address literal\r\n")
        }
        CommandError::FromMissing => {
            bad("501 5.5.4 syntax: MAIL FROM:<address>, no space before the bracket\r\n")
        }
        CommandError::ToMissing => {
            bad("501 5.5.4 syntax: RCPT TO:<address>, no space before the bracket\r\n")
        }
        CommandError::Sender(_) => bad("501 5.1.7 the sender is not an address\r\n"),
        CommandError::Recipient(_) => bad("501 5.1.3 the recipient is not an address\r\n"),
        CommandError::ChunkSize => bad("501 5.5.4 syntax: BDAT octets [LAST]; closing\r\n"),
        // Parameter, and what the codec may come to tell apart.
        _ => PARAMETER_MALFORMED,
    }
}

/// The reply to a parameter that cannot be taken.
pub(super) fn write_bad_param(
    out: &mut dyn fmt::Write,
    bad: BadParam,
    offers: &Offers,
) -> fmt::Result {
    match bad {
        BadParam::Value(error @ ParamError::Unknown) => write!(out, "555 5.5.4 {error}\r\n"),
        BadParam::LoginFirst => {
            out.write_str("530 5.7.0 log in first: a parameter is for those who may relay\r\n")
        }
        BadParam::BinaryMime => out.write_str("504 5.5.4 BODY is 7BIT or 8BITMIME\r\n"),
        BadParam::Value(ParamError::BodyType) if !offers.extensions.has(Extension::BinaryMime) => {
            out.write_str("504 5.5.4 BODY is 7BIT or 8BITMIME\r\n")
        }
        BadParam::Value(error @ ParamError::BodyType) => write!(out, "504 5.5.4 {error}\r\n"),
        BadParam::Value(error) => write!(out, "501 5.5.4 {error}\r\n"),
        BadParam::HoldTwice => out.write_str("501 5.5.4 HOLDFOR or HOLDUNTIL, not both\r\n"),
        BadParam::HoldTooLong => {
            write!(out, "501 5.5.4 held for {} seconds at most\r\n", offers.hold_max.as_secs())
        }
        BadParam::ByTooSoon => {
            let seconds = offers.deliver_by_min.as_secs();
            write!(out, "501 5.5.4 BY with R takes {seconds} seconds at least, and any hold\r\n")
        }
    }
}

/// Why content is refused at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The content as a whole, or what `SIZE=` announced.
    TooBig,
    HeaderTooBig,
    Hops,
    FoldedStart,
    BareEnd,
    Nul,
    LineTooLong,
}

impl Refusal {
    /// The reply as a value, for who keeps account of refusals.
    pub(super) fn reply(self, settings: &Settings) -> Reply {
        let mut wire = String::new();
        self.write(&mut wire, settings).unwrap_or_default();
        let (code, rest) = wire.trim_end().split_once(' ').unwrap_or_default();
        let (status, text) = rest.split_once(' ').unwrap_or_default();
        Reply::new(code.parse().unwrap_or(554), status.parse().ok(), text)
    }

    pub(super) fn write(self, out: &mut dyn fmt::Write, settings: &Settings) -> fmt::Result {
        match self {
            Self::TooBig => {
                write!(
                    out,
                    "552 5.3.4 message larger than {} octets\r\n",
                    settings.message_octets_max
                )
            }
            Self::HeaderTooBig => {
                write!(
                    out,
                    "552 5.3.4 header larger than {} octets\r\n",
                    settings.header_octets_max
                )
            }
            Self::Hops => {
                write!(out, "554 5.4.6 more than {} Received fields: a loop\r\n", settings.hops_max)
            }
            Self::BareEnd => {
                out.write_str("554 5.6.0 CR or LF alone in the content: lines end with CRLF\r\n")
            }
            Self::FoldedStart => out.write_str(
                "554 5.6.0 the content begins with white space: a header begins with a field's name\r\n",
            ),
            Self::Nul => out.write_str("554 5.6.0 NUL in the content\r\n"),
            Self::LineTooLong => {
                let octets_max = settings.text_line_octets_max;
                write!(out, "554 5.6.0 line longer than {octets_max} octets in the content\r\n")
            }
        }
    }
}

/// The greeting.
pub(super) fn write_greeting(out: &mut dyn fmt::Write, settings: &Settings) -> fmt::Result {
    write!(out, "220 {} ESMTP ready\r\n", settings.hostname)
}

/// The reply to HELO.
pub(super) fn write_helo(out: &mut dyn fmt::Write, settings: &Settings) -> fmt::Result {
    write!(out, "250 {}\r\n", settings.hostname)
}

/// The reply to EHLO.
pub(super) struct Ehlo<'a> {
    pub(super) settings: &'a Settings,
    pub(super) offered: ExtensionSet,
    pub(super) offers_starttls: bool,
    pub(super) offers_xclient: bool,
    /// What AUTH takes; empty for nothing.
    pub(super) mechanisms: &'a str,
    /// What the wall clock shows.
    pub(super) now: Timestamp,
}

/// RFC 9422 §4 has six digits for a limit; one beyond them limits nobody.
const LIMIT_MAX: u32 = 999_999;

impl Ehlo<'_> {
    /// Appends it: the relay's name, then what is offered.
    pub(super) fn write(&self, out: &mut BytesMut) -> fmt::Result {
        use fmt::Write as _;
        let settings = self.settings;
        let octets_max = settings.message_octets_max;
        write!(out, "250-{}\r\n250-PIPELINING\r\n250-SIZE {octets_max}", settings.hostname)?;
        self.plain(out, &[Extension::EightBitMime, Extension::SmtpUtf8]);
        out.extend_from_slice(b"\r\n250-ENHANCEDSTATUSCODES");
        if self.offers_starttls {
            out.extend_from_slice(b"\r\n250-STARTTLS");
        }
        if !self.mechanisms.is_empty() {
            write!(out, "\r\n250-AUTH {}", self.mechanisms)?;
        }
        self.plain(out, &[Extension::Dsn, Extension::RequireTls]);
        self.limits(out)?;
        let offers = &settings.offers;
        if self.offered.has(Extension::FutureRelease) {
            let (seconds, until) = (offers.hold_max.as_secs(), self.now.plus(offers.hold_max));
            write!(out, "\r\n250-FUTURERELEASE {seconds} {}", until.rfc3339())?;
        }
        if self.offered.has(Extension::DeliverBy) {
            out.extend_from_slice(b"\r\n250-DELIVERBY");
            let seconds = offers.deliver_by_min.as_secs();
            if seconds > 0 {
                write!(out, " {seconds}")?;
            }
        }
        if self.offered.has(Extension::MtPriority) {
            let space = if offers.priority_profile.is_empty() { "" } else { " " };
            write!(out, "\r\n250-MT-PRIORITY{space}{}", offers.priority_profile)?;
        }
        self.plain(out, &[Extension::BinaryMime, Extension::Chunking]);
        if self.offers_xclient {
            write!(out, "\r\n250-{XCLIENT_OFFER}")?;
        }
        out.extend_from_slice(b"\r\n");
        mark_last_line(out);
        Ok(())
    }

    /// Those that are offered and say nothing but their name.
    fn plain(&self, out: &mut BytesMut, extensions: &[Extension]) {
        for extension in extensions.iter().filter(|it| self.offered.has(**it)) {
            out.extend_from_slice(b"\r\n250-");
            out.extend_from_slice(extension.keyword().as_bytes());
        }
    }

    fn limits(&self, out: &mut BytesMut) -> fmt::Result {
        use fmt::Write as _;
        if !self.offered.has(Extension::Limits) {
            return Ok(());
        }
        let settings = self.settings;
        let recipients_max = u32::try_from(settings.recipients_max.max(1)).unwrap_or(u32::MAX);
        let limits = [("RCPTMAX", recipients_max), ("MAILMAX", settings.transactions_max)];
        let is_limit = |limit: &(&str, u32)| (1..=LIMIT_MAX).contains(&limit.1);
        for (number, (name, limit)) in limits.into_iter().filter(is_limit).enumerate() {
            out.extend_from_slice(if number == 0 { b"\r\n250-LIMITS" } else { b"" });
            write!(out, " {name}={limit}")?;
        }
        Ok(())
    }
}

/// Puts the space behind the code of the last line (RFC 5321 §4.2.1).
fn mark_last_line(out: &mut BytesMut) {
    const CODE_OCTETS: usize = 3;
    let text = out.strip_suffix(b"\r\n").unwrap_or(out);
    let start = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if let Some(separator) = out.get_mut(start + CODE_OCTETS) {
        *separator = b' ';
    }
}

/// The 421 before a close that the client did not ask for; empty where none is due.
pub(super) fn write_farewell(
    out: &mut dyn fmt::Write,
    settings: &Settings,
    reason: Reason,
) -> fmt::Result {
    let (status, words) = match reason {
        Reason::Idle => ("4.4.2", "waited too long, closing"),
        Reason::TooSlow => ("4.4.2", "the content comes too slowly, closing"),
        Reason::TotalTime => ("4.4.2", "the session lasted too long, closing"),
        Reason::BadCommands => ("4.7.0", "too many bad commands, closing"),
        Reason::Transactions => ("4.7.0", "too many transactions in one session, closing"),
        Reason::ShutDown => ("4.3.2", "shutting down, try again soon"),
        Reason::Quit | Reason::InputEnded | Reason::ForeignProtocol | Reason::Refused => {
            return Ok(());
        }
    };
    write!(out, "421 {status} {} {words}\r\n", settings.hostname)
}
