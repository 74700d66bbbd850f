//! What a rule asks of a message.

use std::fmt;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use units::ByteSize;

/// What is asked of a message; a key that is left out asks nothing. Addresses and domains compare without case, and
/// domains alike in Unicode and in their ASCII form.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// Addresses of senders; `<>` is the empty sender of the envelope.
    pub sender: Vec<String>,
    /// Domains of senders: `example.com` itself, `*.example.com` for every name below it, `*` for any.
    pub sender_domain: Vec<String>,
    /// Groups that have the sender.
    pub sender_in_group: Vec<String>,
    /// Addresses of recipients, as RCPT named them.
    pub recipient: Vec<String>,
    /// Domains of recipients: `example.com` itself, `*.example.com` for every name below it, `*` for any.
    pub recipient_domain: Vec<String>,
    /// Groups that have the recipient.
    pub recipient_in_group: Vec<String>,
    /// Inbound connectors that let the client in.
    pub connector: Vec<String>,
    /// Accounts that the client logged in to: names, `*@example.com` for a domain's, `*` for any.
    pub account: Vec<String>,
    /// Listeners that the message came in at.
    pub listener: Vec<String>,
    /// Networks and single addresses of clients.
    #[serde(deserialize_with = "crate::config::networks::networks")]
    #[schemars(with = "Vec<String>")]
    pub client_networks: Vec<IpNet>,
    /// Host names in the client's certificate; `*.example.com` is every name with one label more.
    pub certificate_names: Vec<String>,
    /// Words in fields of the header. They compare without case and stand alone: `order` is not in `orders`. Values are
    /// unfolded and decoded (RFC 2047).
    pub header_contains: Vec<HeaderWords>,
    /// Regular expressions for fields of the header, found anywhere in the value; `(?i)` in front makes case not count.
    pub header_matches: Vec<HeaderPatterns>,
    /// Words in the subject, as in `header_contains`.
    pub subject_contains: Vec<String>,
    /// Regular expressions for the subject, as in `header_matches`.
    pub subject_matches: Vec<String>,
    /// Octets of content that the message has more than.
    pub size_over: Option<ByteSize>,
    /// Classes of traffic that the message came in with.
    pub class: Vec<String>,
    /// Times at which the message comes in.
    pub time: Vec<TimeWindow>,
    /// Results of SPF (RFC 7208). Of mail that was not evaluated no result holds.
    pub spf: Vec<AuthResult>,
    /// Results of DKIM (RFC 6376), as with `spf`.
    pub dkim: Vec<AuthResult>,
    /// Results of DMARC (RFC 7489), as with `spf`.
    pub dmarc: Vec<AuthResult>,
    /// Whether the message came over TLS.
    pub tls: Option<bool>,
}

impl Conditions {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Words in a field.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderWords {
    /// The field's name, in any case.
    pub name: String,
    /// Words or phrases, of which one is enough.
    pub words: Vec<String>,
}

/// Regular expressions for a field.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderPatterns {
    /// The field's name, in any case.
    pub name: String,
    /// Regular expressions, of which one is enough.
    pub patterns: Vec<String>,
}

/// A result of mail authentication (RFC 8601 §2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthResult {
    /// There was nothing to evaluate.
    None,
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// It does not hold, but is not to be refused for that.
    SoftFail,
    /// Nothing is claimed.
    Neutral,
    /// It could not be found out just now.
    TempError,
    /// It cannot be found out.
    PermError,
}

impl AuthResult {
    /// As it stands in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// A time of the week, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeWindow {
    /// Days; empty for all.
    pub weekdays: Vec<Weekday>,
    /// When it begins on each day, such as `08:00`.
    pub from: TimeOfDay,
    /// When it is over, such as `18:00`. A time before `from` means the window goes around midnight: it then holds after
    /// `from` and before `to` of each of the days.
    pub to: TimeOfDay,
}

impl Default for TimeWindow {
    fn default() -> Self {
        Self { weekdays: Vec::new(), from: TimeOfDay(0), to: TimeOfDay(TimeOfDay::MINUTES_MAX) }
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// All of them, in their order.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// As it stands in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

/// Hours and minutes from `00:00` to `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    const MINUTES_MAX: u16 = 24 * 60;

    /// Reads `18:30`; none for other texts.
    pub fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let number = |text: &str| {
            let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_two { text.parse::<u16>().ok() } else { None }
        };
        let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
        let minutes = number(hours)? * 60 + minutes;
        (minutes <= Self::MINUTES_MAX).then_some(Self(minutes))
    }

    /// Minutes since midnight.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            let words = format_args!(
                "`{text}` is no time of day: write hours and minutes, such as \"08:30\""
            );
            serde::de::Error::custom(words)
        })
    }
}

impl JsonSchema for TimeOfDay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$" })
    }
}
