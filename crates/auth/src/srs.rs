//! The Sender Rewriting Scheme (Shevek, "The Sender Rewriting Scheme", 2004): mail that is passed on for others carries a return path of ours, from which the first
//! one can be had again.
//!
//! The forms are those of libsrs2 (`SRS0=hash=day=domain=local`, `SRS1=hash=domain==rest`), so that chains of forwarders
//! of all kinds work; our marks have eight digits and are read without regard to case.

use mail::Timestamp;

use crate::dns::a_labels;
use crate::token::{Secrets, base32, digit, digit_value, from_base32};

const LOCAL_OCTETS_MAX: usize = 64;
const MARK_OCTETS: usize = 5;
/// Days are counted in two digits.
const DAYS: u64 = 1 << 10;
/// A mark for one form is none for the other.
const FIRST: &str = "srs0";
const SECOND: &str = "srs1";

/// Rewrites return paths, and back.
#[derive(Clone, Debug)]
pub(crate) struct Srs {
    secrets: Secrets,
    domain: String,
    days_max: u16,
}

/// Why a return path cannot be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// It has no domain that the DNS knows.
    #[error("the sender's domain is no name of the DNS")]
    Domain,
    /// The new local part would be longer than 64 octets (RFC 5321 §4.5.3.1.1).
    #[error("the rewritten sender would have a local part of more than 64 octets")]
    TooLong,
    /// Nothing to sign with is set.
    #[error("there is no secret for return paths")]
    NoSecret,
}

/// Why an address leads back to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReverseError {
    /// It is some other address.
    #[error("the address is no rewritten sender")]
    NotOurs,
    /// It looks like one, but nobody here made it.
    #[error("the rewritten sender is forged")]
    Forged,
    /// It was made too long ago.
    #[error("the rewritten sender is too old")]
    Expired,
}

impl Srs {
    /// Sets up rewriting into `domain`; bounces come back for `days_max` days, at most 1000.
    pub(crate) fn new(secrets: Secrets, domain: &str, days_max: u16) -> Self {
        Self { secrets, domain: domain.to_ascii_lowercase(), days_max: days_max.min(1000) }
    }

    /// The address to put in place of `sender`, which has no brackets. One that is ours stays as it is.
    pub(crate) fn forward(&self, sender: &str, now: Timestamp) -> Result<String, RewriteError> {
        let (local, domain) = sender.rsplit_once('@').ok_or(RewriteError::Domain)?;
        let domain = a_labels(domain).ok_or(RewriteError::Domain)?;
        if domain == self.domain {
            return Ok(sender.to_owned());
        }
        let (local, quotes) = unquoted(local);
        let rewritten = match Form::of(local) {
            // The first forwarder stays known, so that chains do not grow.
            Some(Form::One(rest)) => match once_more(rest) {
                Some((first, rest)) => self.second(first, rest),
                None => self.first(local, &domain, now),
            },
            Some(Form::Zero(rest)) => self.second(&domain, rest),
            None => self.first(local, &domain, now),
        };
        let rewritten = format!("{quotes}{rewritten}{quotes}");
        if rewritten.len() > LOCAL_OCTETS_MAX {
            return Err(RewriteError::TooLong);
        }
        Ok(format!("{rewritten}@{}", self.domain))
    }

    /// The address that `local_part`, of an address in our domain, stands for.
    pub(crate) fn reverse(&self, local_part: &str, now: Timestamp) -> Result<String, ReverseError> {
        let (local, quotes) = unquoted(local_part);
        match Form::of(local).ok_or(ReverseError::NotOurs)? {
            Form::Zero(rest) => {
                let rest = rest.get(1..).ok_or(ReverseError::NotOurs)?;
                let (mark, rest) = rest.split_once('=').ok_or(ReverseError::NotOurs)?;
                self.verify(FIRST, mark, rest)?;
                let mut parts = rest.splitn(3, '=');
                let (Some(day), Some(domain), Some(local)) =
                    (parts.next(), parts.next(), parts.next())
                else {
                    return Err(ReverseError::NotOurs);
                };
                let made = read_day(day).ok_or(ReverseError::Forged)?;
                // Days wrap, so what lies ahead is long past.
                let age = (today(now) + DAYS - made) % DAYS;
                if age > u64::from(self.days_max) {
                    return Err(ReverseError::Expired);
                }
                Ok(format!("{quotes}{local}{quotes}@{domain}"))
            }
            Form::One(rest) => {
                let rest = rest.get(1..).ok_or(ReverseError::NotOurs)?;
                let (mark, rest) = rest.split_once('=').ok_or(ReverseError::NotOurs)?;
                self.verify(SECOND, mark, rest)?;
                let (domain, rest) = rest.split_once('=').ok_or(ReverseError::NotOurs)?;
                Ok(format!("{quotes}SRS0{rest}{quotes}@{domain}"))
            }
        }
    }

    fn first(&self, local: &str, domain: &str, now: Timestamp) -> String {
        let rest = format!("{}={domain}={local}", day(now));
        format!("SRS0={}={rest}", self.mark(FIRST, &rest))
    }

    fn second(&self, first_domain: &str, rest: &str) -> String {
        let rest = format!("{first_domain}={rest}");
        format!("SRS1={}={rest}", self.mark(SECOND, &rest))
    }

    fn mark(&self, of: &str, text: &str) -> String {
        base32(&self.secrets.mark(of, text.to_ascii_lowercase().as_bytes(), MARK_OCTETS))
    }

    fn verify(&self, of: &str, mark: &str, text: &str) -> Result<(), ReverseError> {
        let mark = from_base32(mark).filter(|mark| mark.len() == MARK_OCTETS);
        let text = text.to_ascii_lowercase();
        let is_ours = mark.is_some_and(|it| self.secrets.is_mark(of, text.as_bytes(), &it));
        if is_ours { Ok(()) } else { Err(ReverseError::Forged) }
    }
}

/// A local part that was rewritten once or more often; what follows the four letters, separator and all.
enum Form<'a> {
    Zero(&'a str),
    One(&'a str),
}

impl<'a> Form<'a> {
    fn of(local: &'a str) -> Option<Self> {
        let (tag, rest) = local.split_at_checked(4)?;
        let has_separator = rest.starts_with(['=', '+', '-']);
        if has_separator && tag.eq_ignore_ascii_case("SRS0") {
            Some(Self::Zero(rest))
        } else if has_separator && tag.eq_ignore_ascii_case("SRS1") {
            Some(Self::One(rest))
        } else {
            None
        }
    }
}

/// Of `=mark=domain=rest`, the domain and the rest.
fn once_more(rest: &str) -> Option<(&str, &str)> {
    let (_, rest) = rest.get(1..)?.split_once('=')?;
    rest.split_once('=')
}

/// A local part without its quotes, and the quotes to put back.
fn unquoted(local: &str) -> (&str, &'static str) {
    let inner = local.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
    inner.map_or((local, ""), |inner| (inner, "\""))
}

const fn today(now: Timestamp) -> u64 {
    now.day() % DAYS
}

fn day(now: Timestamp) -> String {
    let today = u32::try_from(today(now)).unwrap_or_default();
    [digit(today >> 5), digit(today)].into_iter().collect()
}

fn read_day(text: &str) -> Option<u64> {
    let [high, low] = text.as_bytes().try_into().ok()?;
    Some(u64::from(digit_value(high)? << 5 | digit_value(low)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn srs(domain: &str) -> Srs {
        let secret = format!("secret of {domain}");
        Srs::new(Secrets::new(&[secret]).unwrap(), domain, 21)
    }

    fn days(count: u64) -> Timestamp {
        Timestamp::of_day(count)
    }

    fn local(address: &str) -> &str {
        address.rsplit_once('@').unwrap().0
    }

    #[test]
    fn a_sender_comes_back() {
        let ours = srs("relay.example");
        for sender in ["a@b.example", "A.b+c=d@b.example", "\"a b\"@b.example", "\u{e9}@b.example"]
        {
            let forwarded = ours.forward(sender, days(2000)).unwrap();
            assert!(forwarded.ends_with("@relay.example"), "{forwarded}");
            assert_eq!(ours.reverse(local(&forwarded), days(2021)).as_deref(), Ok(sender));
            let lower = local(&forwarded).to_lowercase();
            let back = ours.reverse(&lower, days(2021)).unwrap();
            assert!(back.eq_ignore_ascii_case(sender), "{back}");
            for late in [2022, 2500, 2999] {
                let back = ours.reverse(local(&forwarded), days(late));
                assert_eq!(back, Err(ReverseError::Expired), "{late}");
            }
        }
        assert_eq!(ours.forward("x@Relay.example", days(1)).as_deref(), Ok("x@Relay.example"));
        let forwarded = ours.forward("a@b.example", days(2000)).unwrap();
        assert_eq!(forwarded.len(), "SRS0=12345678=ab=b.example=a@relay.example".len());
    }

    #[test]
    fn a_chain_leads_back_through_its_first_link() {
        let [one, two, three] = ["one.example", "two.example", "three.example"].map(srs);
        let first = one.forward("a@b.example", days(5)).unwrap();
        let second = two.forward(&first, days(5)).unwrap();
        let third = three.forward(&second, days(5)).unwrap();
        assert!(second.starts_with("SRS1=") && third.starts_with("SRS1="), "{second} {third}");
        assert_eq!(third.len() - second.len(), "three".len() - "two".len(), "chains do not grow");
        assert_eq!(three.reverse(local(&third), days(6)).as_ref(), Ok(&first));
        assert_eq!(one.reverse(local(&first), days(6)).as_deref(), Ok("a@b.example"));
    }

    #[test]
    fn what_nobody_made_leads_nowhere() {
        let ours = srs("relay.example");
        let forwarded = ours.forward("a@b.example", days(5)).unwrap();
        for (from, to) in [("b.example", "c.example"), ("=a@", "=b@"), ("SRS0", "SRS1")] {
            let changed = forwarded.replacen(from, to, 1);
            let back = ours.reverse(local(&changed), days(5));
            assert_eq!(back, Err(ReverseError::Forged), "{changed}");
        }
        let other = srs("other.example").reverse(local(&forwarded), days(5));
        assert_eq!(other, Err(ReverseError::Forged));
        for text in ["", "a", "SRS0", "SRS0a", "SRS", "\u{e9}\u{e9}\u{e9}"] {
            assert_eq!(ours.reverse(text, days(5)), Err(ReverseError::NotOurs), "{text}");
        }
        for text in ["SRS0=", "SRS0=x", "SRS1=", "SRS1==="] {
            assert!(ours.reverse(text, days(5)).is_err(), "{text}");
        }
        assert_eq!(ours.forward("nobody", days(5)), Err(RewriteError::Domain));
        let long = format!("{}@b.example", "a".repeat(60));
        assert_eq!(ours.forward(&long, days(5)), Err(RewriteError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(SRS[01])?[=+-]?\\PC{0,40}") {
            prop_assert!(srs("relay.example").reverse(&text, days(5)).is_err());
        }

        #[test]
        fn any_sender_comes_back(name in "[a-z0-9=+_-]{1,20}", day in 0_u64..5000) {
            let ours = srs("relay.example");
            let sender = format!("{name}@b.example");
            let forwarded = ours.forward(&sender, days(day)).unwrap();
            prop_assert!(forwarded.len() <= 64 + 14);
            if !name.to_ascii_lowercase().starts_with("srs") {
                prop_assert_eq!(ours.reverse(local(&forwarded), days(day + 21)), Ok(sender));
            }
        }
    }
}
