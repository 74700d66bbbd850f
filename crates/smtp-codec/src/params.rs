//! The parameters behind a path.

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
