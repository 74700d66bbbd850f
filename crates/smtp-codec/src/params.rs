//! The parameters behind a path.

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
        words(text).all(|word| Param::parse(word).is_some()).then_some(Self(text))
    }

    /// Each parameter.
    pub fn iter(self) -> impl Iterator<Item = Param<'a>> {
        words(self.0).filter_map(Param::parse)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        words(self.0).next().is_none()
    }
}

impl<'a> Param<'a> {
    fn parse(word: &'a str) -> Option<Self> {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let is_keyword = !keyword.starts_with('-')
            && !keyword.is_empty()
            && keyword.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_value = value.is_none_or(|value| {
            !value.is_empty()
                && value.chars().all(|c| c != '=' && !c.is_control() && !c.is_whitespace())
        });
        (is_keyword && is_value).then_some(Self { keyword, value })
    }

    /// Whether this is the parameter `keyword`.
    pub const fn is(self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}
