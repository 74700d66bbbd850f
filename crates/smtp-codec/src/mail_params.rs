//! The parameters of MAIL, with their values.

use std::fmt;

use mail::{Address, BodyType, ByMode, DeliverBy, EnvelopeId, Priority, Ret, Submitter, Timestamp};

use crate::extension::{Extension, ExtensionSet};
use crate::params::{Known, ParamError, Params};
use crate::xtext;

/// A parameter of MAIL. Prints as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailParam {
    /// `SIZE=`: octets of the content (RFC 1870).
    Size(u64),
    /// `BODY=` (RFC 6152, RFC 3030).
    Body(BodyType),
    /// `SMTPUTF8` (RFC 6531).
    SmtpUtf8,
    /// `RET=` (RFC 3461).
    Ret(Ret),
    /// `ENVID=` (RFC 3461).
    EnvelopeId(EnvelopeId),
    /// `AUTH=` (RFC 4954).
    Submitter(Submitter),
    /// `REQUIRETLS` (RFC 8689).
    RequireTls,
    /// `HOLDFOR=` or `HOLDUNTIL=` (RFC 4865).
    Hold(Hold),
    /// `BY=` (RFC 2852).
    DeliverBy(By),
    /// `MT-PRIORITY=` (RFC 6710).
    Priority(Priority),
}

/// Until when a message is not to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// For so many seconds, 1 to 999,999,999.
    For(u32),
    /// Until then.
    Until(Timestamp),
}

/// When a message shall have been delivered, seen from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// Seconds that are left, of 9 digits at most; not positive when they are over.
    pub seconds: i64,
    /// What follows then.
    pub mode: ByMode,
    /// Whether the sender wants to hear of each relay that takes the message.
    pub is_traced: bool,
}

const SECONDS_MAX: i64 = 999_999_999;

impl By {
    /// As a moment, `now` being now.
    pub fn from_now(self, now: Timestamp) -> DeliverBy {
        let millis = self.seconds.unsigned_abs().saturating_mul(1000);
        let now = now.as_millis();
        let at =
            if self.seconds < 0 { now.saturating_sub(millis) } else { now.saturating_add(millis) };
        DeliverBy { at: Timestamp::from_millis(at), mode: self.mode, is_traced: self.is_traced }
    }

    /// What is left of `by` at `now`.
    pub fn left(by: DeliverBy, now: Timestamp) -> Self {
        let seconds = by.seconds_left(now).clamp(-SECONDS_MAX, SECONDS_MAX);
        Self { seconds, mode: by.mode, is_traced: by.is_traced }
    }
}

/// One row for each parameter.
const KNOWN: &[Known<MailParam>] = &[
    Known { keyword: "SIZE", extension: Extension::Size, read: size },
    Known { keyword: "BODY", extension: Extension::EightBitMime, read: body },
    Known { keyword: "SMTPUTF8", extension: Extension::SmtpUtf8, read: smtputf8 },
    Known { keyword: "RET", extension: Extension::Dsn, read: ret },
    Known { keyword: "ENVID", extension: Extension::Dsn, read: envelope_id },
    Known { keyword: "AUTH", extension: Extension::Auth, read: submitter },
    Known { keyword: "REQUIRETLS", extension: Extension::RequireTls, read: require_tls },
    Known { keyword: "HOLDFOR", extension: Extension::FutureRelease, read: hold_for },
    Known { keyword: "HOLDUNTIL", extension: Extension::FutureRelease, read: hold_until },
    Known { keyword: "BY", extension: Extension::DeliverBy, read: deliver_by },
    Known { keyword: "MT-PRIORITY", extension: Extension::MtPriority, read: priority },
];

impl<'a> Params<'a> {
    /// Reads them as those of MAIL; one whose extension is not `offered` is not known.
    pub fn mail(
        self,
        offered: ExtensionSet,
    ) -> impl Iterator<Item = Result<MailParam, ParamError>> + use<'a> {
        self.known(KNOWN, offered)
    }
}

type Read = Result<MailParam, ParamError>;

/// RFC 1870 §3: up to twenty digits. A number that no integer holds is as large as can be.
fn size(value: Option<&str>) -> Read {
    let digits = value.filter(|value| is_number(value, 20)).ok_or(ParamError::Size)?;
    Ok(MailParam::Size(digits.parse().unwrap_or(u64::MAX)))
}

fn body(value: Option<&str>) -> Read {
    let all = [BodyType::SevenBit, BodyType::EightBitMime, BodyType::BinaryMime];
    let is = |one: &BodyType| value.is_some_and(|value| value.eq_ignore_ascii_case(one.as_str()));
    all.into_iter().find(is).map(MailParam::Body).ok_or(ParamError::BodyType)
}

fn smtputf8(value: Option<&str>) -> Read {
    alone(value, MailParam::SmtpUtf8, "SMTPUTF8")
}

fn require_tls(value: Option<&str>) -> Read {
    alone(value, MailParam::RequireTls, "REQUIRETLS")
}

fn alone(value: Option<&str>, param: MailParam, keyword: &'static str) -> Read {
    if value.is_none() { Ok(param) } else { Err(ParamError::ValueUnexpected(keyword)) }
}

fn ret(value: Option<&str>) -> Read {
    match value {
        Some(value) if value.eq_ignore_ascii_case("FULL") => Ok(MailParam::Ret(Ret::Full)),
        Some(value) if value.eq_ignore_ascii_case("HDRS") => Ok(MailParam::Ret(Ret::Headers)),
        _ => Err(ParamError::Ret),
    }
}

fn envelope_id(value: Option<&str>) -> Read {
    // The limit is one of the form on the wire.
    let value = value.filter(|value| value.len() <= EnvelopeId::OCTETS_MAX);
    let id = value.and_then(xtext::decode).and_then(|text| EnvelopeId::parse(&text));
    id.map(MailParam::EnvelopeId).ok_or(ParamError::EnvelopeId)
}

fn submitter(value: Option<&str>) -> Read {
    let text = value.and_then(xtext::decode).ok_or(ParamError::Submitter)?;
    let submitter = match text.as_str() {
        "<>" => Some(Submitter::Unknown),
        text => Address::parse(text).ok().map(Submitter::Address),
    };
    submitter.map(MailParam::Submitter).ok_or(ParamError::Submitter)
}

fn hold_for(value: Option<&str>) -> Read {
    let digits = value.filter(|value| is_number(value, 9) && !value.starts_with('0'));
    let seconds = digits.and_then(|digits| digits.parse().ok());
    seconds.map(|seconds| MailParam::Hold(Hold::For(seconds))).ok_or(ParamError::HoldFor)
}

fn hold_until(value: Option<&str>) -> Read {
    // A next hop is told whole seconds, and is not to let it go too soon.
    let at = value.and_then(Timestamp::from_rfc3339).and_then(|at| {
        let up = Timestamp::from_millis(at.as_millis().div_ceil(1000).saturating_mul(1000));
        Timestamp::from_rfc3339(&up.rfc3339()).filter(|read| *read == up)
    });
    at.map(|at| MailParam::Hold(Hold::Until(at))).ok_or(ParamError::HoldUntil)
}

fn deliver_by(value: Option<&str>) -> Read {
    const WRONG: ParamError = ParamError::DeliverBy;
    let (time, mode) = value.and_then(|value| value.split_once(';')).ok_or(WRONG)?;
    let digits = time.strip_prefix(['+', '-']).unwrap_or(time);
    if !is_number(digits, 9) {
        return Err(WRONG);
    }
    let seconds: i64 = time.parse().map_err(|_| WRONG)?;
    let (mode, is_traced) = match mode.as_bytes() {
        [b'R' | b'r', trace @ ..] => (ByMode::Return, trace),
        [b'N' | b'n', trace @ ..] => (ByMode::Notify, trace),
        _ => return Err(WRONG),
    };
    let is_traced = match is_traced {
        [] => false,
        [b'T' | b't'] => true,
        _ => return Err(WRONG),
    };
    // RFC 2852 §4: what is to be returned at once is not to be sent at all.
    if mode == ByMode::Return && seconds <= 0 {
        return Err(WRONG);
    }
    Ok(MailParam::DeliverBy(By { seconds, mode, is_traced }))
}

fn priority(value: Option<&str>) -> Read {
    let digit =
        |value: &&str| is_number(value.strip_prefix('-').unwrap_or(value), 1) && *value != "-0";
    let value = value.filter(digit).and_then(|value| value.parse().ok());
    value.and_then(Priority::new).map(MailParam::Priority).ok_or(ParamError::Priority)
}

fn is_number(text: &str, digits_max: usize) -> bool {
    (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for MailParam {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(octets) => write!(out, "SIZE={octets}"),
            Self::Body(body_type) => write!(out, "BODY={}", body_type.as_str()),
            Self::SmtpUtf8 => out.write_str("SMTPUTF8"),
            Self::Ret(Ret::Full) => out.write_str("RET=FULL"),
            Self::Ret(Ret::Headers) => out.write_str("RET=HDRS"),
            Self::EnvelopeId(id) => {
                out.write_str("ENVID=")?;
                xtext::encode(id.as_str(), out)
            }
            // What is beyond ASCII has no form here (RFC 6531 §3.4 leaves it out), and nobody must be made up.
            Self::Submitter(Submitter::Address(address)) if address.is_ascii() => {
                out.write_str("AUTH=")?;
                xtext::encode(address.as_str(), out)
            }
            Self::Submitter(_) => out.write_str("AUTH=<>"),
            Self::RequireTls => out.write_str("REQUIRETLS"),
            Self::Hold(Hold::For(seconds)) => write!(out, "HOLDFOR={seconds}"),
            Self::Hold(Hold::Until(at)) => write!(out, "HOLDUNTIL={}", at.rfc3339()),
            Self::DeliverBy(By { seconds, mode, is_traced }) => {
                let mode = if *mode == ByMode::Return { 'R' } else { 'N' };
                write!(out, "BY={seconds};{mode}{}", if *is_traced { "T" } else { "" })
            }
            Self::Priority(priority) => write!(out, "MT-PRIORITY={priority}"),
        }
    }
}

#[cfg(test)]
mod tests;
