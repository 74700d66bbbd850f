//! Addresses that say which message it is, so that each copy is counted for its recipient.
//!
//! A sender is `load.RUN.NUMBER@source.example`, a recipient `userN.RUN.NUMBER@dDOMAIN.example`, or
//! `@dDOMAIN.CLASS.example` in a class of domains; the run is in hexadecimal. The run and the number stand in each
//! address because a relay may split a message as it likes, and because its reports come back to the sender.

use std::io::Write;

/// One recipient of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) run: u64,
    pub(crate) number: u64,
    /// Which of the message's recipients, from 0.
    pub(crate) nth: u32,
    pub(crate) domain: u64,
}

/// Writes `MAIL` for message `number`.
pub(crate) fn push_mail(out: &mut Vec<u8>, run: u64, number: u64) {
    // Writing to memory cannot fail; so below.
    write!(out, "MAIL FROM:<load.{run:x}.{number}@source.example>\r\n").ok();
}

/// Writes `RCPT` for one recipient; `class` is empty for domains without one.
pub(crate) fn push_rcpt(out: &mut Vec<u8>, to: Place, class: &str) {
    let Place { run, number, nth, domain } = to;
    let dot = if class.is_empty() { "" } else { "." };
    write!(out, "RCPT TO:<user{nth}.{run:x}.{number}@d{domain}{dot}{class}.example>\r\n").ok();
}

/// The text between the first pair of angle brackets; none if there is none.
pub(crate) fn path(line: &[u8]) -> Option<&str> {
    let start = memchr::memchr(b'<', line)? + 1;
    let rest = line.get(start..)?;
    std::str::from_utf8(rest.get(..memchr::memchr(b'>', rest)?)?).ok()
}

/// Run and number of the message that came from `address`.
pub(crate) fn sender(address: &str) -> Option<(u64, u64)> {
    let (local, domain) = address.rsplit_once('@')?;
    let (run, number) = local.strip_prefix("load.")?.split_once('.')?;
    let known = domain.eq_ignore_ascii_case("source.example");
    known.then_some((u64::from_str_radix(run, 16).ok()?, number.parse().ok()?))
}

/// The recipient whose address that is.
pub(crate) fn recipient(address: &str) -> Option<Place> {
    let (local, domain) = address.rsplit_once('@')?;
    let mut parts = local.strip_prefix("user")?.split('.');
    let nth = parts.next()?.parse().ok()?;
    let run = u64::from_str_radix(parts.next()?, 16).ok()?;
    let number = parts.next()?.parse().ok()?;
    let domain = domain.split('.').next()?.strip_prefix(['d', 'D'])?.parse().ok()?;
    parts.next().is_none().then_some(Place { run, number, nth, domain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let place =
            Place { run: 0x19f3_c2a0_7711, number: 4_000_000_000, nth: 19, domain: 999_999 };
        for class in ["", "slow"] {
            let mut line = Vec::new();
            push_rcpt(&mut line, place, class);
            assert_eq!(path(&line).and_then(recipient), Some(place), "{class}");
        }
        let mut line = Vec::new();
        push_mail(&mut line, 0xab, 17);
        assert_eq!(line, b"MAIL FROM:<load.ab.17@source.example>\r\n");
        assert_eq!(path(&line).and_then(sender), Some((0xab, 17)));
    }

    #[test]
    fn other_addresses_are_not_ours() {
        for other in ["", "user@example.org", "load.ab.17@other.example", "load.ab@source.example"]
        {
            assert_eq!((sender(other), recipient(other)), (None, None), "{other}");
        }
        for other in ["user1.ab.x@d1.example", "user1.ab.2.3@d1.example", "user1.ab.2@x1.example"] {
            assert_eq!(recipient(other), None, "{other}");
        }
        assert_eq!(path(b"MAIL FROM:<>"), Some(""));
        assert_eq!(path(b"MAIL FROM:x"), None);
    }
}
