//! Names as the DNS wants them.

use hickory_resolver::proto::rr::Name;

use crate::error::LookupError;

/// Turns `text` into an absolute name of A-labels, in lower case without the final dot.
///
/// RFC 5890 §2.3.2.1. Absolute, so that no search list of the machine can bend the route of mail.
pub(crate) fn a_labels(text: &str) -> Result<Box<str>, LookupError> {
    let bad = || LookupError::BadName(text.into());
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(text).map_err(|_| bad())?
    };
    let is_name = !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label);
    if is_name { Ok(name.into_boxed_str()) } else { Err(bad()) }
}

/// What hickory asks for.
pub(crate) fn absolute(name: &str) -> Result<Name, LookupError> {
    Name::from_ascii(format!("{name}.")).map_err(|_| LookupError::BadName(name.into()))
}

/// The host of an MX record; none for the root and for names that no host can have.
pub(crate) fn host(name: &Name) -> Option<Box<str>> {
    a_labels(&name.to_ascii()).ok()
}

/// Letters, digits, hyphens; underscores too, since hosts with them exist.
fn is_label(label: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u_labels_become_a_labels_and_odd_names_are_refused() {
        let cases = [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("BÜCHER.example", Some("xn--bcher-kva.example")),
            ("例え.テスト", Some("xn--r8jz45g.xn--zckzah")),
            ("under_score.example", Some("under_score.example")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("a b.example", None),
            ("a\\032b.example", None),
        ];
        for (input, want) in cases {
            assert_eq!(a_labels(input).ok().as_deref(), want, "{input}");
        }
        a_labels(&["a"; 128].join(".")).unwrap_err();
    }
}
