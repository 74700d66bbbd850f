//! The parameters of RCPT, with their values.

use std::fmt;

use mail::{Notify, OriginalRecipient};

use crate::extension::{Extension, ExtensionSet};
use crate::params::{Known, ParamError, Params};
use crate::xtext;

/// A parameter of RCPT. Prints as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RcptParam {
    /// `NOTIFY=` (RFC 3461).
    Notify(Notify),
    /// `ORCPT=` (RFC 3461).
    Original(OriginalRecipient),
}

/// One row for each parameter.
const KNOWN: &[Known<RcptParam>] = &[
    Known { keyword: "NOTIFY", extension: Extension::Dsn, read: notify },
    Known { keyword: "ORCPT", extension: Extension::Dsn, read: original },
];

impl<'a> Params<'a> {
    /// Reads them as those of RCPT; one whose extension is not `offered` is not known.
    pub fn rcpt(
        self,
        offered: ExtensionSet,
    ) -> impl Iterator<Item = Result<RcptParam, ParamError>> + use<'a> {
        self.known(KNOWN, offered)
    }
}

impl RcptParam {
    /// `ORCPT=`; none if the address, beyond ASCII, is too long in the form that each next hop takes.
    pub fn original(original: &OriginalRecipient) -> Option<Self> {
        let octets = |c: char| if c.is_ascii_graphic() && !"+=\\".contains(c) { 1 } else { 10 };
        let param = Self::Original(original.clone());
        let may_be_long = original.as_str().chars().map(octets).sum::<usize>();
        let fits = may_be_long <= OriginalRecipient::OCTETS_MAX
            || param.to_string().len() <= OriginalRecipient::OCTETS_MAX + "ORCPT=".len();
        fits.then_some(param)
    }
}

fn notify(value: Option<&str>) -> Result<RcptParam, ParamError> {
    let value = value.ok_or(ParamError::Notify)?;
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(RcptParam::Notify(Notify::NEVER));
    }
    let events = [Notify::SUCCESS, Notify::FAILURE, Notify::DELAY];
    let event = |word: &str| {
        let event = events.into_iter().find(|event| word.eq_ignore_ascii_case(event.as_str()));
        event.ok_or(ParamError::Notify)
    };
    let set = value.split(',').try_fold(Notify::NEVER, |set, word| Ok(set.with(event(word)?)));
    set.map(RcptParam::Notify)
}

fn original(value: Option<&str>) -> Result<RcptParam, ParamError> {
    // The limit is one of the form on the wire.
    let value = value.filter(|value| value.len() <= OriginalRecipient::OCTETS_MAX);
    let original = value.and_then(|value| {
        let (kind, address) = value.split_once(';')?;
        let is_wide = kind.eq_ignore_ascii_case(OriginalRecipient::UTF8);
        let address = if is_wide { xtext::decode_utf8(address) } else { xtext::decode(address) };
        OriginalRecipient::new(kind, &address?)
    });
    original.map(RcptParam::Original).ok_or(ParamError::OriginalRecipient)
}

impl fmt::Display for RcptParam {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notify(notify) => write!(out, "NOTIFY={notify}"),
            Self::Original(original) => {
                write!(out, "ORCPT={};", original.kind())?;
                if original.kind().eq_ignore_ascii_case(OriginalRecipient::UTF8) {
                    xtext::encode_utf8(original.address(), out)
                } else {
                    xtext::encode(original.address(), out)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<RcptParam>, ParamError> {
        let offered = ExtensionSet::default().with(Extension::Dsn);
        Params::parse(text).expect("well-formed").rcpt(offered).collect()
    }

    fn address(kind: &str, text: &str) -> RcptParam {
        RcptParam::Original(OriginalRecipient::new(kind, text).unwrap())
    }

    #[test]
    fn values_are_read() {
        let late = Notify::FAILURE.with(Notify::DELAY);
        for (text, want) in [
            ("NOTIFY=never", RcptParam::Notify(Notify::NEVER)),
            ("notify=Delay,FAILURE", RcptParam::Notify(late)),
            ("NOTIFY=SUCCESS", RcptParam::Notify(Notify::SUCCESS)),
            ("ORCPT=rfc822;Bob+2BJr@Example.com", address("rfc822", "Bob+Jr@Example.com")),
            ("ORCPT=utf-8;j\\x{F6}@b.example", address("utf-8", "j\u{f6}@b.example")),
            ("ORCPT=UTF-8;j\u{f6}@b.example", address("UTF-8", "j\u{f6}@b.example")),
            ("ORCPT=x400;/G+3DBob;/S+3DX", address("x400", "/G=Bob;/S=X")),
        ] {
            assert_eq!(read(text), Ok(vec![want]), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        use ParamError::{Notify, OriginalRecipient, Twice, Unknown};
        let long = format!("ORCPT=rfc822;{}", "x".repeat(494));
        for (text, want) in [
            ("NOTIFY", Notify),
            ("NOTIFY=NEVER,FAILURE", Notify),
            ("NOTIFY=FAILURE,NEVER", Notify),
            ("NOTIFY=FAILURE,", Notify),
            ("NOTIFY=ALWAYS", Notify),
            ("ORCPT", OriginalRecipient),
            ("ORCPT=bob@b", OriginalRecipient),
            ("ORCPT=rfc822;", OriginalRecipient),
            ("ORCPT=;a@b", OriginalRecipient),
            ("ORCPT=rfc822;a+0D+0Ab", OriginalRecipient),
            ("ORCPT=utf-8;a\\x{0A}b", OriginalRecipient),
            ("ORCPT=rfc822;\u{f6}@b", OriginalRecipient),
            (&long, OriginalRecipient),
            ("NOTIFY=DELAY NOTIFY=DELAY", Twice("NOTIFY")),
            ("SIZE=1", Unknown),
        ] {
            assert_eq!(read(text), Err(want), "{text}");
        }
        let none = Params::parse("NOTIFY=x").unwrap().rcpt(ExtensionSet::default()).next();
        assert_eq!(none, Some(Err(Unknown)));
    }

    #[test]
    fn a_form_that_is_too_long_is_left_out() {
        let long = OriginalRecipient::new("utf-8", &"\u{f6}".repeat(80)).unwrap();
        assert!(RcptParam::original(&long).is_some());
        let longer = OriginalRecipient::new("utf-8", &"\u{f6}".repeat(100)).unwrap();
        assert_eq!(RcptParam::original(&longer), None);
    }

    fn param() -> impl Strategy<Value = RcptParam> {
        prop_oneof![
            (0..8_u8).prop_map(|bits| RcptParam::Notify(Notify::from_bits(bits).unwrap())),
            "[ -~]{1,60}".prop_map(|text| address("rfc822", &text)),
            "\\PC{1,40}".prop_map(|text| address("utf-8", &text)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn printed_and_read_is_the_same(param in param(), value in "[ -~é+;x{}\\\\]{1,40}") {
            let text = param.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(read(&text), Ok(vec![param]));
            // Nothing harms.
            drop((notify(Some(&value)), original(Some(&value))));
        }
    }
}
