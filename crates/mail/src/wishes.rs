//! What a sender asks for besides delivery: reports, deadlines, priority, secrecy.

use std::fmt;
use std::num::NonZeroU8;

use crate::address::Address;
use crate::time::Timestamp;

/// What MAIL's parameters asked for, as the relay keeps it; nothing is asked for by default.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wishes {
    /// How much of the message its reports return; none leaves it to the relay (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// The sender's own name for the message, which its reports quote (RFC 3461 §4.4).
    pub envelope_id: Option<EnvelopeId>,
    /// When it shall have been delivered (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// When it may go out, not before (RFC 4865).
    pub hold_until: Option<Timestamp>,
    /// How urgent it is among others; none and zero are the same to the relay (RFC 6710).
    pub priority: Option<Priority>,
    /// Whether each hop must speak verified TLS and promise the same for the next (RFC 8689).
    pub requires_tls: bool,
    /// Who submitted it, as far as a trusted client says so (RFC 4954 §5).
    pub submitter: Option<Submitter>,
}

/// How much of a message its reports return (`RET=`, RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its headers.
    Headers,
}

/// The sender's own name for a message (`ENVID=`, RFC 3461 §4.4): 1 to 100 printable characters of ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// The longest there is.
    pub const OCTETS_MAX: usize = 100;

    /// Takes a decoded value; none if it is empty, too long or not printable.
    pub fn parse(text: &str) -> Option<Self> {
        let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let is_id = is_printable && (1..=Self::OCTETS_MAX).contains(&text.len());
        is_id.then(|| Self(text.into()))
    }

    /// The text, decoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// When a message shall have been delivered, and what follows if it is not (RFC 2852).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverBy {
    /// The moment.
    pub at: Timestamp,
    /// What follows then.
    pub mode: ByMode,
    /// Whether the sender wants to hear of each relay that takes it (`T`, RFC 2852 §4.1.2).
    pub is_traced: bool,
}

impl DeliverBy {
    /// Whole seconds from `now` to the moment, rounded down; negative when it is over.
    pub fn seconds_left(self, now: Timestamp) -> i64 {
        let seconds = |later: Timestamp, earlier: Timestamp| {
            i64::try_from(later.since(earlier).as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
        };
        if self.at > now {
            i64::try_from(self.at.since(now).as_secs()).unwrap_or(i64::MAX)
        } else {
            -seconds(now, self.at)
        }
    }
}

/// What follows when a message is not delivered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByMode {
    /// It is given up and returned (`R`).
    Return,
    /// Its sender is told, and it is tried on (`N`).
    Notify,
}

/// How urgent a message is among others, from -9 (least) to 9 (most); 0 is what is usual (RFC 6710 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Priority(i8);

impl Priority {
    /// The most there is in each direction.
    pub const MAX: i8 = 9;

    /// Takes a value from -9 to 9; none for others.
    pub const fn new(value: i8) -> Option<Self> {
        if value >= -Self::MAX && value <= Self::MAX { Some(Self(value)) } else { None }
    }

    /// The value, from -9 to 9.
    pub const fn value(self) -> i8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Who submitted a message (`AUTH=`, RFC 4954 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitter {
    /// Nobody who is known, or nobody who is trusted (`AUTH=<>`).
    Unknown,
    /// This mailbox.
    Address(Address),
}

/// Of which events a sender hears (`NOTIFY=`, RFC 3461 §4.1): a set; the empty one is `NEVER`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Notify(NonZeroU8);

impl Notify {
    /// Of nothing.
    pub const NEVER: Self = Self::of(0);
    /// That the message arrived.
    pub const SUCCESS: Self = Self::of(1);
    /// That the message was given up.
    pub const FAILURE: Self = Self::of(2);
    /// That the message is late.
    pub const DELAY: Self = Self::of(4);

    /// One more than the bits: an option of what is never zero takes no more room.
    const fn of(bits: u8) -> Self {
        Self(NonZeroU8::MIN.saturating_add(bits))
    }

    /// The set in one octet: 1 success, 2 failure, 4 delay.
    pub const fn bits(self) -> u8 {
        self.0.get().saturating_sub(1)
    }

    /// The set that [`bits`](Self::bits) gave; none for other octets.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits > 7 { None } else { Some(Self::of(bits)) }
    }

    /// This set and `other` together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self::of(self.bits() | other.bits())
    }

    /// Whether all of `events` are in the set; `NEVER` is in each.
    pub const fn holds(self, events: Self) -> bool {
        self.bits() & events.bits() == events.bits()
    }

    /// The names of the events, joined by commas, as NOTIFY says them.
    pub const fn as_str(self) -> &'static str {
        match self.bits() {
            1 => "SUCCESS",
            2 => "FAILURE",
            3 => "SUCCESS,FAILURE",
            4 => "DELAY",
            5 => "SUCCESS,DELAY",
            6 => "FAILURE,DELAY",
            7 => "SUCCESS,FAILURE,DELAY",
            _ => "NEVER",
        }
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The recipient as its sender named it, before any hop changed it (`ORCPT=`, RFC 3461 §4.2): a type and an address of
/// that type.
///
/// The address is decoded. It holds no control character, and ASCII alone unless the type is `utf-8` (RFC 6533 §3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OriginalRecipient(Box<str>);

impl OriginalRecipient {
    /// The longest there is, type and address together.
    pub const OCTETS_MAX: usize = 500;

    /// Joins a type and a decoded address; none if either cannot be.
    pub fn new(kind: &str, address: &str) -> Option<Self> {
        let is_atom =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*-/?^_`{|}~".contains(&byte);
        let is_kind = !kind.is_empty() && kind.bytes().all(is_atom);
        let is_wide = kind.eq_ignore_ascii_case(Self::UTF8);
        let is_plain = |c: char| !c.is_control() && (c.is_ascii() || is_wide);
        let is_address = !address.is_empty() && address.chars().all(is_plain);
        let octets = kind.len().saturating_add(1).saturating_add(address.len());
        (is_kind && is_address && octets <= Self::OCTETS_MAX)
            .then(|| Self(format!("{kind};{address}").into_boxed_str()))
    }

    /// Reads what [`as_str`](Self::as_str) gave.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_once(';').and_then(|(kind, address)| Self::new(kind, address))
    }

    /// The type of addresses beyond ASCII.
    pub const UTF8: &'static str = "utf-8";

    /// The type as it was spelled; types compare without case.
    pub fn kind(&self) -> &str {
        self.parts().0
    }

    /// The address, decoded.
    pub fn address(&self) -> &str {
        self.parts().1
    }

    /// Type and address with `;` between them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(';').unwrap_or_default()
    }
}

impl fmt::Debug for OriginalRecipient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_events() {
        let both = Notify::FAILURE.with(Notify::DELAY);
        assert!(both.holds(Notify::FAILURE) && both.holds(Notify::DELAY));
        assert!(!both.holds(Notify::SUCCESS) && !Notify::NEVER.holds(Notify::FAILURE));
        assert_eq!((both.to_string().as_str(), Notify::NEVER.as_str()), ("FAILURE,DELAY", "NEVER"));
        for bits in 0..=7 {
            assert_eq!(Notify::from_bits(bits).map(Notify::bits), Some(bits));
        }
        assert_eq!(Notify::from_bits(8), None);
        assert_eq!(size_of::<Option<Notify>>(), 1);
    }

    #[test]
    fn what_could_break_out_of_a_header_is_no_id_and_no_address() {
        for bad in ["", "a\r\nb", "a\0", "\u{e9}", &"x".repeat(101)] {
            assert_eq!(EnvelopeId::parse(bad), None, "{bad:?}");
        }
        assert_eq!(EnvelopeId::parse("a b+c").unwrap().as_str(), "a b+c");
        for (kind, address) in [
            ("", "a@b"),
            ("rfc822", ""),
            ("rfc 822", "a@b"),
            ("a;b", "a@b"),
            ("rfc822", "a@b\r\nX: y"),
            ("rfc822", "\u{f6}@b"),
            ("utf-8", "\u{f6}@b\u{85}"),
            ("rfc822", &"x".repeat(494)),
        ] {
            assert_eq!(OriginalRecipient::new(kind, address), None, "{kind};{address}");
        }
        let original = OriginalRecipient::new("UTF-8", "\u{f6};x@b").unwrap();
        assert_eq!((original.kind(), original.address()), ("UTF-8", "\u{f6};x@b"));
        assert_eq!(OriginalRecipient::parse(original.as_str()), Some(original));
        assert!(OriginalRecipient::new("rfc822", &"x".repeat(493)).is_some());
    }

    #[test]
    fn seconds_are_rounded_to_the_earlier() {
        let by = DeliverBy {
            at: Timestamp::from_millis(10_000),
            mode: ByMode::Return,
            is_traced: false,
        };
        for (now, want) in
            [(0, 10), (8_999, 1), (9_001, 0), (10_000, 0), (10_001, -1), (12_000, -2)]
        {
            assert_eq!(by.seconds_left(Timestamp::from_millis(now)), want, "{now}");
        }
    }

    #[test]
    fn priorities_have_bounds() {
        for value in -9..=9 {
            assert_eq!(Priority::new(value).map(Priority::value), Some(value));
        }
        assert_eq!(
            (Priority::new(10), Priority::new(-10), Priority::new(i8::MIN)),
            (None, None, None)
        );
    }
}
