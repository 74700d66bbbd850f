//! What a server session is told at its start.

use std::time::Duration;

use smtp_codec::{Extension, ExtensionSet};

/// Names and limits of a listener's sessions; shared by all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the relay calls itself in the greeting, in EHLO's reply and in 421.
    pub hostname: Box<str>,
    /// Largest content taken; announced as SIZE. Above it: 552 5.3.4 at MAIL if declared, else at the end of the content.
    pub message_octets_max: u64,
    /// Most recipients of one transaction; above it 452 4.5.3 at RCPT.
    pub recipients_max: usize,
    /// Longest command line with its CRLF; above it 500 5.5.2.
    pub command_octets_max: usize,
    /// Largest header; above it 552 5.3.4 at the end of the content.
    pub header_octets_max: u64,
    /// Longest line of the content without its CRLF; above it 554 5.6.0 at the end of the content.
    pub text_line_octets_max: u64,
    /// Whether the content may hold NULs. If not, one with any is refused with 554 5.6.0 at its end.
    pub takes_nul: bool,
    /// Most `Received` fields in the header; above it 554 5.4.6 at the end of the content (RFC 5321 §6.3).
    pub hops_max: u32,
    /// Most commands that are unknown, malformed or out of order since the last accepted message; at it 421 4.7.0.
    pub bad_commands_max: u32,
    /// Longest wait for a whole command; after it 421 4.4.2 (RFC 5321 §4.5.3.2.7).
    pub idle_wait_max: Duration,
    /// Longest wait for the next octets of content; after it 421 4.4.2.
    pub data_wait_max: Duration,
    /// Fewest octets a second that content comes with, averaged over each `data_wait_max` from its first octet to its
    /// last; below it 421 4.4.2. 0 is any speed.
    pub data_rate_min: u64,
    /// Longest life of a session; after it 421 4.4.2.
    pub session_wait_max: Duration,
    /// Most transactions of a session; above it 421 4.7.0 at MAIL.
    pub transactions_max: u32,
    /// What EHLO offers besides PIPELINING, SIZE, ENHANCEDSTATUSCODES and STARTTLS.
    pub offers: Offers,
}

/// What a listener's sessions offer. A parameter of what is not offered is answered 555 5.5.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offers {
    /// The extensions. BINARYMIME goes with CHUNKING only, REQUIRETLS under TLS only, FUTURERELEASE and DELIVERBY only
    /// where the session knows what the wall clock shows. AUTH stands for MAIL's parameter.
    pub extensions: ExtensionSet,
    /// What EHLO names besides as long as the client may log in: those that only some accounts may use, so that a client
    /// need not say EHLO again to learn of them. Their parameters are answered 530 5.7.0 before. Not CHUNKING, which has a
    /// command.
    pub extensions_by_login: ExtensionSet,
    /// Longest hold of FUTURERELEASE; above it 501 5.5.4 (RFC 4865).
    pub hold_max: Duration,
    /// Least time of DELIVERBY with return; below it 501 5.5.4 (RFC 2852).
    pub deliver_by_min: Duration,
    /// The profile of MT-PRIORITY; empty if none is named (RFC 6710 §10).
    pub priority_profile: Box<str>,
}

impl Default for Offers {
    /// What needs nothing of whoever takes the mail but that it keeps each octet.
    fn default() -> Self {
        let plain = [Extension::EightBitMime, Extension::SmtpUtf8, Extension::Chunking];
        Self {
            extensions: plain.into_iter().collect(),
            extensions_by_login: ExtensionSet::default(),
            hold_max: Duration::from_hours(7 * 24),
            deliver_by_min: Duration::from_mins(1),
            priority_profile: Box::default(),
        }
    }
}

/// How a session stands to TLS.
///
/// Under implicit TLS both are false, since nothing is left to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// EHLO offers STARTTLS.
    pub offers_starttls: bool,
    /// Mail is taken under TLS only; before it 530 5.7.0 (RFC 3207 §4).
    pub requires_tls: bool,
}
