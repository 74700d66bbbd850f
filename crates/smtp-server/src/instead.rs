//! Recipients that stand for others: what RCPT named, and who gets the mail.

use mail::{Address, OriginalRecipient, Recipient};

/// Who gets the mail for an address.
#[derive(Clone, Debug)]
pub(crate) struct Instead {
    /// As RCPT spelled it.
    given: Address,
    /// Who gets it.
    pub(crate) address: Address,
    kind: Kind,
}

impl Instead {
    /// For an address under the suffix for certified mail.
    pub(crate) fn certified(given: &Address, address: Address) -> Self {
        Self { given: given.clone(), address, kind: Kind::Certified }
    }
}

/// Why it is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It was under the suffix for certified mail.
    Certified,
}

/// Who gets the mail for an address that RCPT named.
pub(crate) fn recipient<'a>(all: &'a [Instead], given: &'a Address) -> &'a Address {
    all.iter().find(|it| it.given == *given).map_or(given, |it| &it.address)
}

/// Puts those who get the mail in place of what RCPT named, and says whether it is certified by that.
///
/// The sender goes on to hear of recipients by the names that it gave (RFC 3461 §5.2.3).
pub(crate) fn readdress(recipients: &mut [Recipient], all: &[Instead]) -> bool {
    let mut is_certified = false;
    for recipient in recipients {
        let Some(instead) = all.iter().find(|it| it.given == recipient.address) else { continue };
        is_certified |= instead.kind == Kind::Certified;
        let kind = if instead.given.is_ascii() { "rfc822" } else { OriginalRecipient::UTF8 };
        let given = || OriginalRecipient::new(kind, instead.given.as_str());
        recipient.original = recipient.original.take().or_else(given);
        recipient.address = instead.address.clone();
    }
    is_certified
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_it_takes_the_place_and_the_name_given_stays() {
        let address = |text: &str| Address::parse(text).unwrap();
        let instead = |given: &str, to: &str| Instead::certified(&address(given), address(to));
        let all =
            [instead("a@d.x", "a@d"), instead("b@d.x", "b@d"), instead("\u{e9}@d.x", "\u{e9}@d")];
        let mut recipients: Vec<Recipient> =
            ["a@d.x", "c@d", "b@d.x", "\u{e9}@d.x"].map(|it| address(it).into()).to_vec();
        recipients[2].original = OriginalRecipient::new("rfc822", "first@d");
        assert!(readdress(&mut recipients, &all));
        let seen: Vec<_> = recipients
            .iter()
            .map(|it| (it.address.as_str(), it.original.as_ref().map(OriginalRecipient::as_str)))
            .collect();
        let want = [
            ("a@d", Some("rfc822;a@d.x")),
            ("c@d", None),
            ("b@d", Some("rfc822;first@d")),
            ("\u{e9}@d", Some("utf-8;\u{e9}@d.x")),
        ];
        assert_eq!(seen, want);
        assert!(!readdress(&mut recipients[1..2], &all));
    }
}
