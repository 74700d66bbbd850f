//! Texts inside parameter values: `xtext`, and its form for addresses beyond ASCII.

/// Decodes `xtext` (RFC 3461 §4); none for other texts, and where ASCII does not come out.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '+' => {
                let mut digit = || rest.next()?.to_digit(16);
                let code = digit()?.checked_mul(16)?.checked_add(digit()?)?;
                out.push(char::from_u32(code).filter(char::is_ascii)?);
            }
            '!'..='~' if c != '=' => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

/// Appends `text`, which is ASCII, as `xtext`.
pub(crate) fn encode(text: &str, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
    text.chars().try_for_each(|c| match c {
        '+' | '=' => write!(out, "+{:02X}", u32::from(c)),
        '!'..='~' => out.write_char(c),
        _ => write!(out, "+{:02X}", u32::from(c)),
    })
}

/// Decodes an address of type `utf-8`, in the form for ASCII or in that for SMTPUTF8 (RFC 6533 §3).
pub(crate) fn decode_utf8(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..)?;
        match c {
            '\\' => {
                let (digits, behind) = rest.strip_prefix("x{")?.split_once('}')?;
                out.push(embedded(digits)?);
                rest = behind;
            }
            '+' | '=' => return None,
            '!'..='~' => out.push(c),
            _ if c.is_ascii() => return None,
            _ => out.push(c),
        }
    }
    Some(out)
}

/// RFC 6533 §3 `HEXPOINT`: no leading zeros beyond two digits.
fn embedded(digits: &str) -> Option<char> {
    let is_short =
        (2..=6).contains(&digits.len()) && (digits.len() == 2 || !digits.starts_with('0'));
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let code =
        if is_short && is_hex { u32::from_str_radix(digits, 16).ok()? } else { return None };
    char::from_u32(code)
}

/// Appends an address of type `utf-8` in the form for ASCII.
pub(crate) fn encode_utf8(text: &str, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
    text.chars().try_for_each(|c| match c {
        '+' | '=' | '\\' => write!(out, "\\x{{{:02X}}}", u32::from(c)),
        '!'..='~' => out.write_char(c),
        _ => write!(out, "\\x{{{:02X}}}", u32::from(c)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        for (text, want) in [
            ("", Some("")),
            ("Bob@Example.com", Some("Bob@Example.com")),
            ("a+2Bb+3Dc+20d", Some("a+b=c d")),
            ("a+2bb", Some("a+b")),
            ("a+", None),
            ("a+2", None),
            ("a+2G", None),
            ("a+C3+B6", None),
            ("a=b", None),
            ("a b", None),
            ("\u{f6}", None),
        ] {
            assert_eq!(decode(text).as_deref(), want, "{text}");
        }
        for (text, want) in [
            ("j\\x{F6}@b", Some("j\u{f6}@b")),
            ("j\u{f6}@b", Some("j\u{f6}@b")),
            ("\\x{1F600}\\x{2B}\\x{5C}", Some("\u{1f600}+\\")),
            ("\\x{0F6}", None),
            ("\\x{D800}", None),
            ("\\x{110000}", None),
            ("\\x{}", None),
            ("\\x{F6", None),
            ("\\y", None),
            ("\\", None),
            ("a+2Bb", None),
            ("a b", None),
        ] {
            assert_eq!(decode_utf8(text).as_deref(), want, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn encoded_and_decoded_is_the_same(ascii in "[\0-\x7f]{0,40}", any in "\\PC{0,40}", noise in "[+\\\\x{}=2F0-9a-fé ]{0,20}") {
            let mut out = String::new();
            encode(&ascii, &mut out).unwrap();
            prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decode(&out), Some(ascii));
            let mut out = String::new();
            encode_utf8(&any, &mut out).unwrap();
            prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic()) && decode(&out).is_some());
            prop_assert_eq!(decode_utf8(&out), Some(any));
            // Nothing harms.
            drop((decode(&noise), decode_utf8(&noise)));
        }
    }
}
