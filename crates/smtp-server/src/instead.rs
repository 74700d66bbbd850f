//! Recipients that stand for others: what RCPT named, and who gets the mail.

use std::collections::HashSet;

use auth::{About, Origin};
use mail::{Address, MessageId, OriginalRecipient, Recipient};

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

    /// For a return path of ours.
    pub(crate) fn returned(given: &Address, origin: Origin) -> Self {
        let Origin { sender, about } = origin;
        Self { given: given.clone(), address: sender, kind: Kind::Returned(about) }
    }

    /// Whether it was a return path of ours.
    pub(crate) const fn is_return(&self) -> bool {
        matches!(self.kind, Kind::Returned(_))
    }

    /// Tells that the message with this id comes back to a sender, and what it is about.
    pub(crate) fn tell(&self, id: MessageId) {
        let Kind::Returned(about) = &self.kind else { return };
        tracing::info!(
            message = %id,
            sender = %self.address,
            return_path = %self.given,
            about = about.as_ref().map(|it| it.message.as_str()),
            recipient = about.as_ref().map(|it| it.recipient),
            "bounce for a sender"
        );
    }
}

/// Why it is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// It was under the suffix for certified mail.
    Certified,
    /// It was a return path of ours, which may say what comes back.
    Returned(Option<About>),
}

/// Who gets the mail for an address that RCPT named.
pub(crate) fn recipient<'a>(all: &'a [Instead], given: &'a Address) -> &'a Address {
    all.iter().find(|it| it.given == *given).map_or(given, |it| &it.address)
}

/// Puts those who get the mail in place of what RCPT named, and says whether it is certified by that.
///
/// The sender goes on to hear of recipients by the names that it gave (RFC 3461 §5.2.3).
/// Who is then named twice gets it once.
pub(crate) fn readdress(recipients: &mut Vec<Recipient>, all: &[Instead]) -> bool {
    if all.is_empty() {
        return false;
    }
    let mut is_certified = false;
    for recipient in recipients.iter_mut() {
        let Some(instead) = all.iter().find(|it| it.given == recipient.address) else { continue };
        recipient.address = instead.address.clone();
        if instead.is_return() {
            continue;
        }
        is_certified = true;
        let kind = if instead.given.is_ascii() { "rfc822" } else { OriginalRecipient::UTF8 };
        let given = || OriginalRecipient::new(kind, instead.given.as_str());
        recipient.original = recipient.original.take().or_else(given);
    }
    let mut seen = HashSet::new();
    recipients.retain(|recipient| seen.insert(recipient.address.clone()));
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
        assert!(!readdress(&mut recipients[1..2].to_vec(), &all));
    }
}
