//! Signing of what leaves (RFC 6376 §5).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::Timestamp;
use telemetry::Registry;
use units::Clock;

use crate::canonical::{BodyHash, Form, relaxed_field};
use crate::config::{Key, KeyState, Signing};
use crate::dns::{Dns, a_labels, is_within};
use crate::header::{Field, fields};
use crate::key::Kind;
use crate::metrics::{Signatures, Signing as Ending};

pub use crate::key::KeyError;
pub use crate::signing_key::{Published, SigningKey};

/// A field that is there more often than this is signed as often as this.
const INSTANCES_MAX: usize = 20;
/// How soon a key that was not found is looked for again.
const MISSING_REST: Duration = Duration::from_mins(1);
/// Where lines of the field are folded.
const LINE_OCTETS: usize = 72;

/// The keys for one sender.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Those that sign, RSA first.
    pub keys: Vec<Arc<SigningKey>>,
    /// Those that would, if the DNS had them.
    pub left_out: Vec<LeftOut>,
}

/// A key that does not sign, since the DNS is not known to have it.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// The key.
    pub key: Arc<SigningKey>,
    /// What the DNS said.
    pub published: Published,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.key.record().name;
        match &self.published {
            Published::Yes => write!(out, "{name} is published"),
            Published::Missing => write!(out, "{name} is not published"),
            Published::Differs { .. } => write!(out, "{name} publishes another key"),
            Published::Unknown(error) => error.fmt(out),
        }
    }
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The message has no `From`, which every signature covers.
    #[error("the message has no From field, so nothing can be signed")]
    NoFrom,
    /// The library failed.
    #[error("the signature could not be made")]
    Library,
}

/// Makes `DKIM-Signature` fields. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Signer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Vec<Arc<SigningKey>>,
    /// Fields to sign in lower case, and whether once more than they are there.
    names: Vec<(String, Extra)>,
    age_max: Duration,
    published_age_max: Duration,
    clock: Clock,
    metrics: Signatures,
}

/// Whether a field is signed once more than it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    One,
    None,
}

impl Signer {
    /// Reads all keys. Blocks on files.
    pub fn open(
        config: &Signing,
        keys: &[Key],
        clock: Clock,
        registry: &Registry,
    ) -> Result<Self, KeyError> {
        Self::with(config, keys, clock, Signatures::register(registry))
    }

    /// Reads other settings' keys, and remembers what the DNS said of those that stay. Blocks on files.
    ///
    /// # Errors
    /// As [`Self::open`]; this one stays as it is.
    pub fn reopened(&self, config: &Signing, keys: &[Key]) -> Result<Self, KeyError> {
        let Inner { clock, metrics, .. } = &*self.0;
        let new = Self::with(config, keys, clock.clone(), metrics.clone())?;
        for key in &new.0.keys {
            let is_it = |old: &&Arc<SigningKey>| {
                (&old.domain, &old.selector, &old.public)
                    == (&key.domain, &key.selector, &key.public)
            };
            if let Some(old) = self.0.keys.iter().find(is_it) {
                key.looked_up.lock().clone_from(&old.looked_up.lock());
            }
        }
        Ok(new)
    }

    fn with(
        config: &Signing,
        keys: &[Key],
        clock: Clock,
        metrics: Signatures,
    ) -> Result<Self, KeyError> {
        let mut read: Vec<Arc<SigningKey>> = Vec::with_capacity(keys.len());
        for key in keys {
            let key = SigningKey::read(key)?;
            let SigningKey { domain, selector, .. } = &key;
            if read.iter().any(|it| (&it.domain, &it.selector) == (domain, selector)) {
                let (domain, selector) = (domain.clone(), selector.clone());
                return Err(KeyError::Twice { domain, selector });
            }
            read.push(Arc::new(key));
        }
        // What cannot verify Ed25519 may stop at the first signature it sees.
        read.sort_by_key(|key| key.kind() == Kind::Ed25519);
        Ok(Self(Arc::new(Inner {
            keys: read,
            names: names(config),
            age_max: config.age_max.as_duration(),
            published_age_max: config.published_age_max.as_duration(),
            clock,
            metrics,
        })))
    }

    /// All keys, whatever their state.
    pub fn keys(&self) -> &[Arc<SigningKey>] {
        &self.0.keys
    }

    /// Whether there is a key that signs.
    pub fn has_active(&self) -> bool {
        self.0.keys.iter().any(|key| key.state == KeyState::Active)
    }

    /// Whether any key could sign for a sender of `domain`; costs no look-up.
    pub fn signs_for(&self, domain: &str) -> bool {
        a_labels(domain).is_some_and(|name| self.active(&name).next().is_some())
    }

    /// The keys for a message whose `From` is of `domain`, those of the longest domain that is it or above it.
    ///
    /// Asks the DNS for keys that want it, and remembers the answer. A key that the DNS had once stays in use while the
    /// DNS does not answer.
    pub async fn choose(&self, dns: &Dns, domain: &str) -> Choice {
        let mut choice = Choice::default();
        let Some(name) = a_labels(domain) else { return choice };
        for key in self.active(&name) {
            let published =
                if key.check_dns { self.published(dns, key).await } else { Published::Yes };
            if published == Published::Yes {
                choice.keys.push(Arc::clone(key));
            } else {
                self.0.metrics.ended(key.kind(), Ending::NotPublished);
                choice.left_out.push(LeftOut { key: Arc::clone(key), published });
            }
        }
        choice
    }

    /// The active keys of the longest domain that is `name` or above it.
    fn active(&self, name: &str) -> impl Iterator<Item = &Arc<SigningKey>> {
        let name = name.to_owned();
        let fits =
            move |key: &SigningKey| key.state == KeyState::Active && is_within(&name, &key.domain);
        let longest = self.0.keys.iter().filter(|key| fits(key)).map(|key| key.domain.len()).max();
        self.0.keys.iter().filter(move |key| Some(key.domain.len()) == longest && fits(key))
    }

    async fn published(&self, dns: &Dns, key: &SigningKey) -> Published {
        let now = self.0.clock.now();
        let known = key.looked_up.lock().clone();
        if let Some((published, until)) = &known
            && now < *until
        {
            return published.clone();
        }
        let mut published = key.published(dns).await;
        let was_there = known.is_some_and(|(published, _)| published == Published::Yes);
        if was_there && matches!(published, Published::Unknown(_)) {
            published = Published::Yes;
        }
        let rest =
            if published == Published::Yes { self.0.published_age_max } else { MISSING_REST };
        *key.looked_up.lock() = Some((published.clone(), now + rest));
        published
    }

    /// Makes one field per key, each with its line end, to be put on top. Takes processor time, and waits for nothing.
    ///
    /// `header` is all fields as they will be sent, with or without the empty line; `body` what follows it, in pieces
    /// cut anywhere. The body is hashed once. RFC 6376 §5, RFC 8463.
    pub fn sign<B: AsRef<[u8]>>(
        &self,
        keys: &[Arc<SigningKey>],
        header: &[u8],
        body: impl IntoIterator<Item = B>,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, SignError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let covered = self.cover(header)?;
        let mut hash = BodyHash::new(Form::Relaxed, &SHA256);
        for piece in body {
            hash.write(piece.as_ref());
        }
        let body_hash = STANDARD.encode(hash.finish());
        let seconds = now.as_millis() / 1000;
        let mut signatures = Vec::with_capacity(keys.len());
        for key in keys {
            let field = self.field(key, &covered, &body_hash, seconds);
            let ending = if field.is_some() { Ending::Signed } else { Ending::Failed };
            self.0.metrics.ended(key.kind(), ending);
            signatures.push(field.ok_or(SignError::Library)?);
        }
        Ok(signatures)
    }

    /// The fields to sign, in the order of `h=` and in their canonical form.
    fn cover(&self, header: &[u8]) -> Result<Covered, SignError> {
        let all: Vec<Field<'_>> = fields(header).collect();
        let mut covered = Covered { names: Vec::new(), text: Vec::with_capacity(header.len() / 2) };
        for (name, extra) in &self.0.names {
            // The last is the first that a verifier takes (RFC 6376 §5.4.2).
            let there = all.iter().rev().filter(|field| field.is(name)).take(INSTANCES_MAX);
            let mut count = 0;
            for field in there {
                relaxed_field(field.name, field.value, &mut covered.text);
                covered.text.extend_from_slice(b"\r\n");
                count += 1;
            }
            if name == "from" && count == 0 {
                return Err(SignError::NoFrom);
            }
            let count = count + usize::from(*extra == Extra::One);
            covered.names.extend(std::iter::repeat_n(name.clone(), count));
        }
        Ok(covered)
    }

    fn field(
        &self,
        key: &SigningKey,
        covered: &Covered,
        body_hash: &str,
        seconds: u64,
    ) -> Option<Vec<u8>> {
        let mut value = format!(
            " v=1; a={}; c=relaxed/relaxed;\r\n\td={}; s={};\r\n\tt={seconds};",
            key.kind().algorithm(),
            key.domain,
            key.selector
        );
        if !self.0.age_max.is_zero() {
            value.extend([format!(" x={};", seconds + self.0.age_max.as_secs())]);
        }
        value.push_str("\r\n\th=");
        fold(&mut value, &covered.names);
        value.extend([";\r\n\tbh=", body_hash, ";\r\n\tb="]);
        let mut text = covered.text.clone();
        relaxed_field(b"DKIM-Signature", value.as_bytes(), &mut text);
        let signature = STANDARD.encode(key.private.sign(&text)?);
        let mut field = Vec::with_capacity(value.len() + signature.len() + 64);
        field.extend_from_slice(b"DKIM-Signature:");
        field.extend_from_slice(value.as_bytes());
        for (at, line) in signature.as_bytes().chunks(LINE_OCTETS).enumerate() {
            if at > 0 {
                field.extend_from_slice(b"\r\n\t ");
            }
            field.extend_from_slice(line);
        }
        field.extend_from_slice(b"\r\n");
        Some(field)
    }
}

/// What a signature covers of the header.
struct Covered {
    names: Vec<String>,
    text: Vec<u8>,
}

/// Writes names with colons between them, on several lines where they are many.
fn fold(text: &mut String, names: &[String]) {
    let mut octets = 0;
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push(':');
            if octets + name.len() > LINE_OCTETS {
                text.push_str("\r\n\t ");
                octets = 0;
            }
        }
        text.push_str(name);
        octets += name.len() + 1;
    }
}

/// The names of all fields to sign, each once.
fn names(config: &Signing) -> Vec<(String, Extra)> {
    let is_extra = |name: &str| config.oversign.iter().any(|it| it.eq_ignore_ascii_case(name));
    let mut names: Vec<(String, Extra)> = Vec::new();
    for name in config.headers.iter().chain(&config.oversign) {
        let name = name.to_ascii_lowercase();
        if names.iter().all(|(known, _)| *known != name) {
            let extra = if is_extra(&name) { Extra::One } else { Extra::None };
            names.push((name, extra));
        }
    }
    names
}
