//! Evaluation of what comes in.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use hickory_resolver::TokioResolver;
use telemetry::Registry;
use tokio::time::{Instant, timeout_at};
use units::Clock;

use crate::config::Config;
use crate::dmarc;
use crate::dns::{Dns, LookupError, a_labels};
use crate::finding::{
    ArcFinding, DkimFinding, DmarcPolicy, Evaluation, IprevFinding, SpfFinding, Verdict,
};
use crate::metrics::{Checks, Method};
use crate::received::{Limits, Received};
use crate::results;
use crate::spf::{self, Question};

/// Names of a client's address that are looked at.
const NAMES_MAX: usize = 3;

/// Says of what comes in who may have sent it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dns: Dns,
    config: Config,
    host: String,
    clock: Clock,
    metrics: Checks,
}

/// Who brings a message.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Its name in HELO or EHLO.
    pub helo: &'a str,
    /// What stands in `MAIL FROM`, without brackets; empty for the null sender.
    pub sender: &'a str,
}

/// A message: the header with or without the empty line behind it, and the body in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// All fields, each with its line end.
    pub header: &'a [u8],
    /// What follows the empty line, cut anywhere.
    pub body: &'a [Bytes],
    /// Octets behind these that are not shown; a message that is not shown as a whole is not checked for DKIM and ARC.
    pub octets_unseen: u64,
}

impl Authenticator {
    /// Sets up evaluation; `host` is the name of this relay.
    pub fn new(
        resolver: TokioResolver,
        config: Config,
        host: &str,
        clock: Clock,
        registry: &Registry,
    ) -> Self {
        let metrics = Checks::register(registry);
        let dns = Dns::new(resolver);
        Self(Arc::new(Inner { dns, config, host: host.to_owned(), clock, metrics }))
    }

    /// The name under which results are written.
    pub fn authserv_id(&self) -> &str {
        let id = &self.0.config.authserv_id;
        if id.is_empty() { &self.0.host } else { id }
    }

    /// The largest content that is checked.
    pub fn content_octets_max(&self) -> u64 {
        self.0.config.content_size_max.as_octets()
    }

    /// What the DNS is asked by.
    pub fn dns(&self) -> &Dns {
        &self.0.dns
    }

    /// Asks whether the sender's domain lets the client send; known at MAIL. Takes `wait_max` at most.
    ///
    /// RFC 7208 §4. `TempError` means that the answer is not known, and never that there is none.
    pub async fn spf(&self, client: &Client<'_>) -> SpfFinding {
        let finding = self.spf_until(client, self.deadline()).await;
        self.0.metrics.checked(Method::Spf, finding.result);
        finding
    }

    /// Finds out all about a message; `spf` is what was found at MAIL, if it was asked. Takes twice `wait_max` at most.
    ///
    /// RFC 6376, RFC 8617, RFC 9989.
    pub async fn evaluate(
        &self,
        client: &Client<'_>,
        spf: Option<SpfFinding>,
        content: Content<'_>,
    ) -> Evaluation {
        let deadline = self.deadline();
        let asked = async {
            match spf {
                Some(spf) => spf,
                None => self.spf(client).await,
            }
        };
        let (spf, iprev, signed) = tokio::join!(
            asked,
            self.iprev(client.address.to_canonical(), deadline),
            self.signatures(content, deadline)
        );
        let Signed { authors, dkim, left_out, arc } = signed;
        let claims = dmarc::Claims { authors: &authors, spf: &spf, dkim: &dkim };
        let dmarc = self.dmarc(&claims, self.deadline()).await;
        let evaluation = Evaluation { spf, dkim, dkim_left_out: left_out, arc, dmarc, iprev };
        self.0.metrics.evaluated(&evaluation);
        evaluation
    }

    /// The DMARC policy that holds for mail of `domain`; none if nobody published one. Takes `wait_max` at most.
    pub async fn dmarc_policy(&self, domain: &str) -> Result<Option<DmarcPolicy>, LookupError> {
        let name = a_labels(domain).ok_or_else(|| LookupError::BadName(domain.to_owned()))?;
        let asking = dmarc::policy(&self.0.dns, &name);
        timeout_at(self.deadline(), asking).await.unwrap_or_else(|_| {
            let reason = "no answer came in time".to_owned();
            Err(LookupError::Temporary { name: format!("_dmarc.{name}"), record: "TXT", reason })
        })
    }

    /// The `Authentication-Results` field for what was found, with its line end (RFC 8601).
    pub fn results_field(&self, evaluation: &Evaluation) -> Vec<u8> {
        results::field(self.authserv_id(), evaluation)
    }

    /// Which of the `Authentication-Results` fields of `header` claim to be ours, counted from 1 at the top; they are forged
    /// and must go (RFC 8601 §5).
    pub fn forged_fields(&self, header: &[u8]) -> Vec<u32> {
        results::forged(header, self.authserv_id())
    }

    fn deadline(&self) -> Instant {
        (self.0.clock.now() + self.0.config.wait_max.as_duration()).into()
    }

    async fn spf_until(&self, client: &Client<'_>, deadline: Instant) -> SpfFinding {
        let Client { address, helo, sender } = *client;
        let question = Question { client: address, helo, sender, host: &self.0.host };
        let asking = AssertUnwindSafe(spf::check(&self.0.dns, &question)).catch_unwind();
        let unknown = |reason: &str| SpfFinding {
            result: Verdict::TempError,
            reason: reason.to_owned(),
            ..question.open()
        };
        match timeout_at(deadline, asking).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(_)) => unknown("the check broke off, which is a fault of this relay"),
            Err(_) => unknown("the look-ups took too long"),
        }
    }

    async fn signatures(&self, content: Content<'_>, deadline: Instant) -> Signed {
        let Config { content_size_max, header_size_max, signatures_max, .. } = &self.0.config;
        let limits = Limits {
            content_octets_max: content_size_max.as_usize(),
            header_octets_max: header_size_max.as_usize(),
            signatures_max: usize::from(*signatures_max),
            deadline,
        };
        let verifying = async {
            let end = mail::header::body_at(content.header).unwrap_or(content.header.len());
            let header = content.header.get(..end).unwrap_or_default();
            let received = Received::read(header, (content.body, content.octets_unseen), limits);
            let authors = received.authors();
            let (dkim, left_out, arc) = received.verify(&self.0.dns).await;
            Signed { authors, dkim, left_out, arc }
        };
        // What reads the octets of strangers must not end the connection.
        AssertUnwindSafe(verifying).catch_unwind().await.unwrap_or_else(|_| Signed {
            authors: Vec::new(),
            dkim: Vec::new(),
            left_out: 0,
            arc: ArcFinding {
                result: Verdict::TempError,
                seals: 0,
                domain: String::new(),
                reason: "the check broke off, which is a fault of this relay".to_owned(),
            },
        })
    }

    async fn dmarc(
        &self,
        claims: &dmarc::Claims<'_>,
        deadline: Instant,
    ) -> crate::finding::DmarcFinding {
        timeout_at(deadline, dmarc::evaluate(&self.0.dns, claims))
            .await
            .unwrap_or_else(|_| dmarc::unknown(claims, "the look-ups took too long"))
    }

    async fn iprev(&self, address: IpAddr, deadline: Instant) -> IprevFinding {
        let asking = iprev(&self.0.dns, address);
        timeout_at(deadline, asking).await.unwrap_or_else(|_| IprevFinding {
            result: Verdict::TempError,
            address,
            name: None,
            reason: "the look-ups took too long".to_owned(),
        })
    }
}

/// What is known of a message's own claims.
struct Signed {
    authors: Vec<String>,
    dkim: Vec<DkimFinding>,
    left_out: usize,
    arc: ArcFinding,
}

/// Looks for a name of `address` that points back to it (RFC 8601 §3).
async fn iprev(dns: &Dns, address: IpAddr) -> IprevFinding {
    let found = |result, name, reason| IprevFinding { result, address, name, reason };
    let names = match dns.names(address).await {
        Ok(names) => names,
        Err(error) if error.is_temporary() => {
            return found(Verdict::TempError, None, error.to_string());
        }
        Err(_) => return found(Verdict::PermError, None, format!("{address} has no name")),
    };
    let mut failed = None;
    for name in names.iter().take(NAMES_MAX) {
        match dns.addresses_like(name, address).await {
            Ok(addresses) if addresses.contains(&address) => {
                let reason = format!("{name} and {address} point at each other");
                return found(Verdict::Pass, Some(name.clone()), reason);
            }
            Err(error) if error.is_temporary() => failed = Some(error),
            _ => {}
        }
    }
    match failed {
        Some(error) => found(Verdict::TempError, None, error.to_string()),
        None => found(Verdict::Fail, None, format!("no name of {address} points back to it")),
    }
}
