//! Rules as an operator writes them.

mod actions;
mod conditions;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use actions::{Actions, HeaderField, Reject};
pub use conditions::{
    AuthResult, Conditions, HeaderPatterns, HeaderWords, TimeOfDay, TimeWindow, Weekday,
};

use crate::config::moment::Moment;

/// What is done with some messages after their content came, before the 250.
///
/// Rules are asked in the order of the settings. All of them look at the message as it was received: what an earlier
/// rule changes is not seen by the conditions of a later one. Where two rules set the same thing (the route of a
/// recipient, the class, a field of the header), the later one wins, unless the earlier one says `stop_processing`.
///
/// A rule is asked about each recipient: it applies to those that its conditions on recipients name, and to all if it
/// has none. `route` concerns just these recipients, all other actions the whole message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Its name in logs and explanations; unique among rules.
    pub name: String,
    /// Whether it is asked at all.
    pub enabled: bool,
    /// A note for people.
    pub comment: String,
    /// Whether it acts or only tells what it would do.
    pub mode: Mode,
    /// How much it matters that this rule applied; stands in the log.
    pub severity: Severity,
    /// Where `sender`, `sender_domain` and `sender_in_group` look.
    pub sender_address_location: SenderAddressLocation,
    /// Whether later rules are left out for a message that this rule applies to. Does nothing in the test modes.
    pub stop_processing: bool,
    /// From when on it is used, such as `2027-01-31` (UTC) or `2027-01-31T18:00:00+01:00`.
    pub activation: Option<Moment>,
    /// From when on it is no longer used.
    pub expiry: Option<Moment>,
    /// What must hold of a message: all keys that are given. In a list one value is enough. Without it the rule is for
    /// all messages.
    pub when: Conditions,
    /// What must not hold: one key that does is enough to leave the message out, or the recipient, if the key is about
    /// recipients.
    pub except: Conditions,
    /// A condition in CEL, the Common Expression Language, instead of `when` and `except`. It must say true or false;
    /// anything else counts as false and is logged. Texts: `sender` and `sender_domain` of the envelope, `recipient` and
    /// `recipient_domain` (the expression is then asked for each recipient), `client`, `helo`, `listener`, `connector`,
    /// `account`, `class`, `subject`, `spf`, `dkim`, `dmarc`, `weekday` (`mon`); empty where there is nothing. Lists of
    /// texts: `from`, `from_domains`, `recipients`, `recipient_domains`, `certificate_names`. Numbers: `octets`, `now`
    /// (seconds since 1970), `hour` and `minute` (UTC). `tls` is true or false; `headers` is a map of names in lower case
    /// to lists of values. Addresses are in lower case. Functions besides those of CEL: `text.matches(regex)`,
    /// `in_group(address, name)`, `in_network(client, network)`; regex, name and network stand in quotes.
    pub expression: Option<String>,
    /// What is done.
    pub then: Actions,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            name: String::new(),
            enabled: true,
            comment: String::new(),
            mode: Mode::default(),
            severity: Severity::default(),
            sender_address_location: SenderAddressLocation::default(),
            stop_processing: false,
            activation: None,
            expiry: None,
            when: Conditions::default(),
            except: Conditions::default(),
            expression: None,
            then: Actions::default(),
        }
    }
}

/// Whether a rule acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It acts.
    #[default]
    Enforce,
    /// It changes nothing; what it would do is logged.
    Test,
    /// As `test`, and a notice is given besides.
    TestWithNotice,
}

impl Mode {
    /// As it stands in the settings and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Test => "test",
            Self::TestWithNotice => "test-with-notice",
        }
    }
}

/// How much it matters that a rule applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is not tagged.
    #[default]
    None,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

impl Severity {
    /// As it stands in the settings and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Which sender a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SenderAddressLocation {
    /// The addresses of the field `From`. A message without any has no sender then.
    #[default]
    Header,
    /// The address of MAIL; `<>` in `sender` is the empty one.
    Envelope,
    /// Either of them.
    HeaderOrEnvelope,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_in_the_words_of_the_settings() {
        let rule: Rule = serde_json::from_str(
            r#"{"name":"a","mode":"test-with-notice","severity":"high","sender_address_location":"header-or-envelope",
            "activation":"2027-01-31","when":{"sender_domain":["example.com"],"size_over":"1MiB",
            "header_contains":[{"name":"X-Mailer","words":["orders"]}],"client_networks":["192.0.2.7"],
            "time":[{"weekdays":["sat","sun"],"from":"22:00","to":"06:30"}]},
            "then":{"route":"bulk","reject":{"text":"no"},"add_header":[{"name":"X-A","value":"b"}]}}"#,
        )
        .unwrap();
        assert_eq!(
            (rule.mode, rule.severity, rule.sender_address_location),
            (Mode::TestWithNotice, Severity::High, SenderAddressLocation::HeaderOrEnvelope)
        );
        assert_eq!(rule.then.reject.unwrap().status, "5.7.1");
        for bad in [
            r#"{"when":{"sendr":[]}}"#,
            r#"{"then":{"drop":true}}"#,
            r#"{"mode":"audit"}"#,
            r#"{"expiry":"soon"}"#,
            r#"{"when":{"time":[{"from":"24:30"}]}}"#,
        ] {
            assert!(serde_json::from_str::<Rule>(bad).is_err(), "{bad}");
        }
    }
}
