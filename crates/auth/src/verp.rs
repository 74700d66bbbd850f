//! Signed return paths (VERP): from a bounce's address to the message and the recipient that it is about, and to the
//! sender who is to hear of it.
//!
//! Their form is `b=mark=id and recipient=domain=local`: the id is the first letters of a message's id, which no two
//! messages share; the domain is empty where it is that of the return path; hosts may change the case.

use std::time::Duration;

use mail::{MessageId, Timestamp};

use crate::dns::a_labels;
use crate::srs::{ReverseError, RewriteError};
use crate::token::{Secrets, base32, digit, digit_value, from_base32};

const LOCAL_OCTETS_MAX: usize = 64;
const TAG: &str = "b=";
const MARK_OCTETS: usize = 5;
const PURPOSE: &str = "verp";
/// The time in an id and the count within it.
const ID_LETTERS: usize = 15;
/// What an id lacks then.
const ID_REST: &str = "00000000000";

/// Makes and reads return paths.
#[derive(Clone, Debug)]
pub(crate) struct Verp {
    secrets: Secrets,
    domain: String,
    age_max: Duration,
}

/// What a bounce is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// How the id of the message begins.
    pub message: String,
    /// Which of its recipients, counted from 0.
    pub recipient: u32,
}

impl Verp {
    /// Sets up return paths in `domain`; bounces come back for `age_max`.
    pub(crate) fn new(secrets: Secrets, domain: &str, age_max: Duration) -> Self {
        Self { secrets, domain: domain.to_ascii_lowercase(), age_max }
    }

    /// The address to put in place of `sender`, which has no brackets, where a message goes to one recipient.
    pub(crate) fn forward(
        &self,
        sender: &str,
        (message, recipient): (MessageId, u32),
    ) -> Result<String, RewriteError> {
        let (local, domain) = sender.rsplit_once('@').ok_or(RewriteError::Domain)?;
        let domain = a_labels(domain).ok_or(RewriteError::Domain)?;
        let domain = if domain == self.domain { "" } else { &domain };
        let inner = local.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
        let (local, quotes) = inner.map_or((local, ""), |inner| (inner, "\""));
        let id: String = message.to_string().chars().take(ID_LETTERS).collect();
        let text = format!("{id}{}={domain}={local}", number(recipient));
        let mark = self.secrets.mark(PURPOSE, text.to_ascii_lowercase().as_bytes(), MARK_OCTETS);
        let rewritten = format!("{quotes}{TAG}{}={text}{quotes}", base32(&mark));
        if rewritten.len() > LOCAL_OCTETS_MAX {
            return Err(RewriteError::TooLong);
        }
        Ok(format!("{rewritten}@{}", self.domain))
    }

    /// The sender that `local_part`, of an address in our domain, stands for, and what the bounce is about.
    pub(crate) fn reverse(
        &self,
        local_part: &str,
        now: Timestamp,
    ) -> Result<(String, About), ReverseError> {
        let inner = local_part.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
        let (local, quotes) = inner.map_or((local_part, ""), |inner| (inner, "\""));
        let (tag, rest) = local.split_at_checked(TAG.len()).ok_or(ReverseError::NotOurs)?;
        let (mark, text) = rest.split_once('=').ok_or(ReverseError::NotOurs)?;
        let mark = from_base32(mark).filter(|mark| mark.len() == MARK_OCTETS);
        let mark = mark.filter(|_| tag.eq_ignore_ascii_case(TAG)).ok_or(ReverseError::NotOurs)?;
        let mut parts = text.splitn(3, '=');
        let (Some(of), Some(domain), Some(local)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(ReverseError::NotOurs);
        };
        if !self.secrets.is_mark(PURPOSE, text.to_ascii_lowercase().as_bytes(), &mark) {
            return Err(ReverseError::Forged);
        }
        let about = about(&of.to_ascii_lowercase()).ok_or(ReverseError::Forged)?;
        let id: MessageId =
            format!("{}{ID_REST}", about.message).parse().map_err(|_| ReverseError::Forged)?;
        if now.since(Timestamp::from_millis(id.unix_millis())) > self.age_max {
            return Err(ReverseError::Expired);
        }
        let domain = if domain.is_empty() { &self.domain } else { domain };
        Ok((format!("{quotes}{local}{quotes}@{domain}"), about))
    }
}

fn about(text: &str) -> Option<About> {
    let (message, recipient) = text.split_at_checked(ID_LETTERS)?;
    let recipient = recipient
        .bytes()
        .try_fold(0_u32, |sum, digit| sum.checked_mul(32)?.checked_add(digit_value(digit)?))?;
    Some(About { message: message.to_owned(), recipient })
}

/// A number in as few digits as there are.
fn number(mut value: u32) -> String {
    let mut digits = vec![digit(value)];
    while value >= 32 {
        value >>= 5;
        digits.push(digit(value));
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verp(secret: &str) -> Verp {
        let secrets = Secrets::new(&[format!("secret of {secret:16}")]).unwrap();
        Verp::new(secrets, "Bounces.example", Duration::from_hours(24))
    }

    fn local(address: &str) -> &str {
        address.rsplit_once('@').unwrap().0
    }

    #[test]
    fn a_bounce_finds_its_message_and_its_sender() {
        let ours = verp("us");
        let id = MessageId::new(1000, (77 << 56) + 99);
        let now = Timestamp::from_millis(2000);
        for (sender, recipient) in [
            ("ana@sender.example", 0),
            ("A.na=x@sender.example", 31),
            ("\"a b\"@sender.example", 32),
            ("notifications@bounces.example", 100_000),
        ] {
            let path = ours.forward(sender, (id, recipient)).unwrap();
            assert!(path.ends_with("@bounces.example"), "{path}");
            let (back, about) = ours.reverse(local(&path), now).unwrap();
            assert_eq!((back.as_str(), about.recipient), (sender, recipient));
            assert!(id.to_string().starts_with(&about.message), "{about:?}");
            let (back, same) = ours.reverse(&local(&path).to_uppercase(), now).unwrap();
            assert!(back.eq_ignore_ascii_case(sender) && same == about, "{back}");
            let late = Timestamp::from_millis(2000 + 24 * 3_600_000);
            assert_eq!(ours.reverse(local(&path), late), Err(ReverseError::Expired));
            assert_eq!(verp("them").reverse(local(&path), now), Err(ReverseError::Forged));
            let changed = path.replacen("=b", "=c", 1).replacen("a@", "b@", 1);
            if changed != path {
                assert!(ours.reverse(local(&changed), now).is_err(), "{changed}");
            }
        }
        // Two messages of one moment have two return paths.
        let other = ours.forward("ana@sender.example", (MessageId::new(1000, (78 << 56) + 99), 0));
        assert_ne!(other, ours.forward("ana@sender.example", (id, 0)));
        let long = format!("{}@sender.example", "a".repeat(30));
        assert_eq!(ours.forward(&long, (id, 0)), Err(RewriteError::TooLong));
        assert_eq!(ours.forward("nobody", (id, 0)), Err(RewriteError::Domain));
        for other in ["", "b", "b=", "b=x", "b=x=y", "postmaster", "b=aaaaaaaa=x", "\u{e9}=x"] {
            assert_eq!(ours.reverse(other, now), Err(ReverseError::NotOurs), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\"?(b=)?([a-z2-7]{8}=)?\\PC{0,40}\"?") {
            prop_assert!(verp("us").reverse(&text, Timestamp::from_millis(0)).is_err());
        }

        #[test]
        fn any_recipient_comes_back(recipient in 0..u32::MAX) {
            let path = verp("us").forward("a@b.example", (MessageId::new(7, 7), recipient)).unwrap();
            let (_, about) = verp("us").reverse(local(&path), Timestamp::from_millis(7)).unwrap();
            prop_assert_eq!(about.recipient, recipient);
        }
    }
}
