//! The parameters behind a path.

use crate::extension::{Extension, ExtensionSet};
use crate::text::{split_once, words};

/// The parameters of MAIL or RCPT: an open list, well-formed, in the order they were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

/// One `KEYWORD` or `KEYWORD=value` (RFC 5321 §4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The keyword as spelled; it compares without case.
    pub keyword: &'a str,
    /// What stands behind `=`, never empty.
    pub value: Option<&'a str>,
}

/// Why a parameter cannot be taken; the words tell the client what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// No such parameter, or its extension is not offered: 555.
    #[error("parameter not known")]
    Unknown,
    /// No such body type: 504.
    #[error("BODY is 7BIT, 8BITMIME or BINARYMIME")]
    BodyType,
    /// A parameter stands twice.
    #[error("{0} stands twice")]
    Twice(&'static str),
    /// A parameter without a value has one.
    #[error("{0} has no value")]
    ValueUnexpected(&'static str),
    /// RFC 1870 §3.
    #[error("SIZE is a number of octets")]
    Size,
    /// RFC 3461 §4.3.
    #[error("RET is FULL or HDRS")]
    Ret,
    /// RFC 3461 §4.4.
    #[error("ENVID is xtext of printable ASCII, 100 characters at most")]
    EnvelopeId,
    /// RFC 3461 §4.1.
    #[error("NOTIFY is NEVER alone, or a list of SUCCESS, FAILURE and DELAY")]
    Notify,
    /// RFC 3461 §4.2, RFC 6533 §3.
    #[error("ORCPT is a type, a semicolon and xtext of an address, 500 characters at most")]
    OriginalRecipient,
    /// RFC 4865 §4.
    #[error("HOLDFOR is a number of seconds, 9 digits at most")]
    HoldFor,
    /// RFC 4865 §4.
    #[error("HOLDUNTIL is a date and time such as 2026-11-21T18:46:00Z")]
    HoldUntil,
    /// RFC 2852 §4.
    #[error("BY is a number of seconds, a semicolon and R or N; with R it is more than 0")]
    DeliverBy,
    /// RFC 6710 §4.
    #[error("MT-PRIORITY is a number from -9 to 9")]
    Priority,
    /// RFC 4954 §5.
    #[error("AUTH is <> or xtext of an address")]
    Submitter,
}

/// A known parameter: its keyword, the extension that brings it, and how its value is read.
pub(crate) struct Known<T> {
    pub(crate) keyword: &'static str,
    pub(crate) extension: Extension,
    pub(crate) read: fn(Option<&str>) -> Result<T, ParamError>,
}

impl<'a> Params<'a> {
    /// Reads what stands behind the path; none if a parameter is malformed.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        words(text).map(Param::split).all(Param::is_well_formed).then_some(Self(text))
    }

    /// Each parameter.
    pub fn iter(self) -> impl Iterator<Item = Param<'a>> {
        words(self.0).map(Param::split)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        words(self.0).next().is_none()
    }

    /// Each parameter with its value read, as far as `known` has it and its extension is `offered`.
    pub(crate) fn known<T: 'static>(
        self,
        known: &'static [Known<T>],
        offered: ExtensionSet,
    ) -> impl Iterator<Item = Result<T, ParamError>> {
        let mut seen = 0_u32;
        self.iter().map(move |param| {
            let mut rows = known.iter().zip(0_u32..);
            let row = rows.find(|(row, _)| param.is(row.keyword) && offered.has(row.extension));
            let (row, number) = row.ok_or(ParamError::Unknown)?;
            let bit = 1_u32.wrapping_shl(number);
            if seen & bit != 0 {
                return Err(ParamError::Twice(row.keyword));
            }
            seen |= bit;
            (row.read)(param.value)
        })
    }
}

impl<'a> Param<'a> {
    fn split(word: &'a str) -> Self {
        match split_once(word, b'=') {
            Some((keyword, value)) => Self { keyword, value: Some(value) },
            None => Self { keyword: word, value: None },
        }
    }

    fn is_well_formed(self) -> bool {
        let is_keyword = !self.keyword.starts_with('-')
            && !self.keyword.is_empty()
            && self.keyword.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_keyword && self.value.is_none_or(is_value)
    }

    /// Whether this is the parameter `keyword`.
    pub const fn is(self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }
}

fn is_value(value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'=';
    let is_allowed = |c: char| c != '=' && !c.is_control() && !c.is_whitespace();
    !value.is_empty() && (value.bytes().all(is_plain) || value.chars().all(is_allowed))
}
