//! Settings.

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// How SPF, DKIM, DMARC and ARC of incoming mail are evaluated, and how outgoing mail is signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The name under which results are written in `Authentication-Results`; fields of that name that come in are
    /// removed (RFC 8601 §2.5). Empty takes the `hostname`.
    pub authserv_id: String,
    /// How long the look-ups for one message may take in all. What is not known by then is `temperror`.
    pub wait_max: Span,
    /// Messages larger than this are not checked for DKIM and ARC; their results are `policy` and say so.
    pub content_size_max: ByteSize,
    /// The same for the header alone.
    pub header_size_max: ByteSize,
    /// Signatures of one message that are verified, from the top; what is below is left out.
    pub signatures_max: u16,
    /// What `DKIM-Signature` fields cover.
    pub signing: Signing,
    /// What `chasqui domain` and `chasqui dkim` go by.
    pub domains: Domains,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            authserv_id: String::new(),
            wait_max: Span::seconds(10),
            content_size_max: ByteSize::mib(50),
            header_size_max: ByteSize::kib(256),
            signatures_max: 10,
            signing: Signing::default(),
            domains: Domains::default(),
        }
    }
}

/// What `DKIM-Signature` fields cover and how long they hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Signing {
    /// Header fields that are signed where they are present, each as often as it is there (RFC 6376 §5.4.1).
    pub headers: Vec<String>,
    /// Header fields that are signed once more than they are there, so that nobody can add one (RFC 6376 §8.15).
    pub oversign: Vec<String>,
    /// How long a signature holds (RFC 6376 §3.5, `x=`); `0s` for ever. It must outlive the time in queues.
    pub age_max: Span,
    /// How long it is remembered that the DNS has a key; a key that is missing is looked for again every minute.
    pub published_age_max: Span,
}

impl Default for Signing {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            headers: names(&[
                "From",
                "Sender",
                "Reply-To",
                "To",
                "Cc",
                "Subject",
                "Date",
                "Message-ID",
                "In-Reply-To",
                "References",
                "MIME-Version",
                "Content-Type",
                "Content-Transfer-Encoding",
                "Content-Disposition",
                "Content-ID",
                "List-Id",
                "List-Help",
                "List-Unsubscribe",
                "List-Unsubscribe-Post",
                "List-Subscribe",
                "List-Post",
                "List-Owner",
                "List-Archive",
            ]),
            oversign: names(&["From", "Subject"]),
            age_max: Span::seconds(0),
            published_age_max: Span::hours(1),
        }
    }
}

/// `[mail_auth.domains]`: what `chasqui domain` and `chasqui dkim` go by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Domains {
    /// The addresses that mail leaves from, as other hosts see them. Empty: the `source_addresses` of
    /// connectors that go by MX, else the addresses of the `hostname`.
    pub source_addresses: Vec<IpAddr>,
    /// A domain whose SPF record names these addresses; other domains are then told to include it. Empty: they are told
    /// to name the addresses.
    pub spf_include: String,
    /// The mail address that proposed records have reports sent to. Empty: `postmaster` of each domain.
    pub reports_to: String,
    /// Where `chasqui dkim add` puts private keys. Taken from this file's folder on.
    pub keys_folder: PathBuf,
}

impl Default for Domains {
    fn default() -> Self {
        Self {
            source_addresses: Vec::new(),
            spf_include: String::new(),
            reports_to: String::new(),
            keys_folder: PathBuf::from("dkim"),
        }
    }
}

/// A key that mail is signed with: one `[[dkim]]` per domain and selector.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The domain that signs (`d=`). It signs for senders in it and below it; the longest that fits is taken.
    pub domain: String,
    /// The name of the key below `_domainkey` of the domain (`s=`).
    pub selector: String,
    /// The private key: a PEM file, PKCS #8 (RSA or Ed25519) or PKCS #1 (RSA). Only its owner may read it, and it may
    /// be readable for the group.
    pub key_file: PathBuf,
    /// Where the key is in its life.
    #[serde(default)]
    pub state: KeyState,
    /// Whether the key signs only once the DNS has it.
    #[serde(default = "yes")]
    pub check_dns: bool,
}

const fn yes() -> bool {
    true
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Made, to be published; does not sign.
    Pending,
    /// Published; signs. Several keys of one domain may be active, such as one RSA and one Ed25519: each signs.
    #[default]
    Active,
    /// Signs no more; its record must stay until the mail it signed has arrived.
    Retiring,
    /// Its record may go.
    Retired,
}

/// What is wrong with these settings, and with which key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {words}")]
pub struct ConfigError {
    /// The key, from this section on.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub words: String,
}

impl Config {
    /// Says all that is wrong; empty when nothing is. Looks at no file.
    pub fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let mut wrong = |is_wrong: bool, key, words: &str| {
            if is_wrong {
                problems.push(ConfigError { key, words: words.to_owned() });
            }
        };
        let is_name = |text: &String| {
            text.is_empty() || text.bytes().all(|it| it.is_ascii_graphic() && it != b';')
        };
        wrong(
            !is_name(&self.authserv_id),
            "authserv_id",
            "holds a character that no name has; write a host's name",
        );
        wrong(
            self.wait_max.as_duration().is_zero(),
            "wait_max",
            "is 0s; no look-up could be answered in it",
        );
        wrong(
            self.signatures_max == 0,
            "signatures_max",
            "is 0; no signature could be verified, and DMARC would fail",
        );
        let is_field = |name: &String| {
            let is_allowed = |octet: u8| octet.is_ascii_graphic() && octet != b':' && octet != b';';
            !name.is_empty() && name.bytes().all(is_allowed)
        };
        for (key, names) in [
            ("signing.headers", &self.signing.headers),
            ("signing.oversign", &self.signing.oversign),
        ] {
            wrong(
                !names.iter().all(is_field),
                key,
                "holds what is no header field's name; write names such as \"From\"",
            );
        }
        let mut names = self.signing.headers.iter().chain(&self.signing.oversign);
        wrong(
            !names.any(|name| name.eq_ignore_ascii_case("from")),
            "signing.headers",
            "lacks `From`, which every signature must cover (RFC 6376 §5.4)",
        );
        problems
    }
}

impl Key {
    /// Says all that is wrong; empty when nothing is. Looks at no file.
    pub fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let mut wrong = |is_wrong: bool, key, words: String| {
            if is_wrong {
                problems.push(ConfigError { key, words });
            }
        };
        let is_domain =
            |text: &str| crate::dns::a_labels(text).is_some_and(|name| name.contains('.'));
        wrong(
            !is_domain(&self.domain),
            "domain",
            format!("`{}` is no domain; write one such as \"example.com\"", self.domain),
        );
        wrong(
            crate::dns::a_labels(&self.selector).is_none(),
            "selector",
            format!("`{}` is no selector; write one such as \"2026-rsa\"", self.selector),
        );
        wrong(
            self.key_file.as_os_str().is_empty(),
            "key_file",
            "is empty; name the PEM file with the private key".to_owned(),
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good() {
        assert_eq!(Config::default().problems(), []);
    }

    #[test]
    fn what_cannot_work_is_named() {
        let mut config = Config { signatures_max: 0, ..Config::default() };
        config.authserv_id = "a b".to_owned();
        config.wait_max = Span::seconds(0);
        config.signing.oversign = vec!["a b".to_owned()];
        config.signing.headers = vec!["To".to_owned()];
        let keys: Vec<_> = config.problems().iter().map(|it| it.key).collect();
        let want =
            ["authserv_id", "wait_max", "signatures_max", "signing.oversign", "signing.headers"];
        assert_eq!(keys, want);
        let key = Key {
            domain: "com".to_owned(),
            selector: "a b".to_owned(),
            key_file: PathBuf::new(),
            state: KeyState::Active,
            check_dns: true,
        };
        let keys: Vec<_> = key.problems().iter().map(|it| it.key).collect();
        assert_eq!(keys, ["domain", "selector", "key_file"]);
    }
}
