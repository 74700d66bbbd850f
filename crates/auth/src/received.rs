//! The signatures and seals of a message that came in, verified by `mail-auth`.
//!
//! The library gets the header alone: bodies are hashed here, in pieces and once per form, since its relaxed form keeps
//! lines of white space at the end (RFC 6376 §3.4.4). It is also spared what only costs: signatures past the limit, those
//! that RFC 8301 forbids to trust, and reports.

use bytes::Bytes;
use futures_util::future::join_all;
use mail_auth::common::crypto::{Algorithm, CryptoError, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::common::verify::VerifySignature;
use mail_auth::dkim::{Canonicalization, DkimError, Signature};
use mail_auth::{AuthenticatedMessage, DkimResult, DnsError, Error, MessageAuthenticator};
use tokio::time::{Instant, timeout_at};

use crate::canonical::{BodyHash, Form};
use crate::dns::{Dns, a_labels};
use crate::finding::{ArcFinding, DkimFinding, Verdict};
use crate::header::fields;

/// Header fields of a message whose signatures are verified, and names that one signature may cover: the work grows with
/// their product.
const FIELDS_MAX: usize = 1000;
const NAMES_MAX: usize = 200;
/// Octets hashed before others get their turn.
const TURN_OCTETS: usize = 1 << 18;

/// What the limits on one message are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub content_octets_max: usize,
    pub header_octets_max: usize,
    pub signatures_max: usize,
    pub deadline: Instant,
}

/// A message whose header was read.
pub(crate) struct Received<'a> {
    message: AuthenticatedMessage<'a>,
    body: &'a [Bytes],
    limits: Limits,
    /// Why nothing is verified.
    refusal: Option<&'static str>,
}

impl<'a> Received<'a> {
    /// Reads the header; `body` is what follows the empty line, in pieces, and how much more there is.
    pub(crate) fn read(
        header: &'a [u8],
        (body, octets_unseen): (&'a [Bytes], u64),
        limits: Limits,
    ) -> Self {
        let message = AuthenticatedMessage::parse(header).unwrap_or_default();
        let octets = header.len() + body.iter().map(Bytes::len).sum::<usize>();
        let refusal = if header.len() > limits.header_octets_max {
            Some("the header is larger than what is checked")
        } else if message.headers.len() > FIELDS_MAX {
            Some("the header has more fields than what is checked")
        } else if octets > limits.content_octets_max || octets_unseen > 0 {
            Some("the message is larger than what is checked")
        } else {
            None
        };
        Self { message, body, limits, refusal }
    }

    /// The domains of all authors in `From`, each once, in A-labels.
    pub(crate) fn authors(&self) -> Vec<String> {
        let mut authors: Vec<_> = fields(self.message.raw_message)
            .filter(|field| field.is("From"))
            .flat_map(|field| domains(field.value))
            .filter_map(|domain| a_labels(&domain))
            .collect();
        authors.sort_unstable();
        authors.dedup();
        authors
    }

    /// Verifies signatures and seals; also says how many signatures were left out.
    pub(crate) async fn verify(mut self, dns: &Dns) -> (Vec<DkimFinding>, usize, ArcFinding) {
        let is_signed = !self.message.dkim_headers.is_empty();
        let is_sealed = !self.message.ams_headers.is_empty();
        if let Some(reason) = self.refusal {
            let dkim = is_signed.then(|| refused(Verdict::Policy, reason));
            let result = if is_sealed { Verdict::Policy } else { Verdict::None };
            return (dkim.into_iter().collect(), 0, arc(result, reason));
        }
        let mut signatures = std::mem::take(&mut self.message.dkim_headers);
        let unreadable = self.unreadable();
        let left_out = signatures.len().saturating_sub(self.limits.signatures_max);
        signatures.truncate(self.limits.signatures_max);
        self.hash_body().await;
        let dkim = signatures.into_iter().map(|signature| self.signature(dns, signature));
        let (mut dkim, arc) = tokio::join!(join_all(dkim), self.seals(dns));
        dkim.extend(unreadable);
        (dkim, left_out, arc)
    }

    /// Findings for signatures that are none; what is wrong with seals stays where it is.
    fn unreadable(&mut self) -> Vec<DkimFinding> {
        let is_signature = |error: &Header<'_, Error>| {
            error.name.trim_ascii_end().eq_ignore_ascii_case(b"dkim-signature")
        };
        let errors = std::mem::take(&mut self.message.errors);
        let (of_signatures, others) = errors.into_iter().partition::<Vec<_>, _>(is_signature);
        self.message.errors = others;
        let finding = |error: Header<'_, Error>| match error.header {
            Error::Dkim(DkimError::SignatureLength) => {
                refused(Verdict::Policy, "the signature covers a part of the body only (l=)")
            }
            _ => refused(Verdict::PermError, "the DKIM-Signature field cannot be understood"),
        };
        of_signatures.into_iter().take(self.limits.signatures_max).map(finding).collect()
    }

    /// Puts the true hashes of the body where the library has those of an empty one.
    async fn hash_body(&mut self) {
        let form = |canonicalization| match canonicalization {
            Canonicalization::Relaxed => Form::Relaxed,
            Canonicalization::Simple => Form::Simple,
        };
        let sha256 = &aws_lc_rs::digest::SHA256;
        for (canonicalization, algorithm, _, hash) in &mut self.message.body_hashes {
            // SHA-1 is not trusted, so nothing needs it.
            hash.clear();
            if *algorithm == HashAlgorithm::Sha1 {
                continue;
            }
            let mut body = BodyHash::new(form(*canonicalization), sha256);
            for piece in self.body.iter().flat_map(|piece| piece.chunks(TURN_OCTETS)) {
                body.write(piece);
                if piece.len() == TURN_OCTETS {
                    tokio::task::yield_now().await;
                }
            }
            hash.extend_from_slice(body.finish().as_ref());
        }
    }

    async fn signature(&self, dns: &Dns, header: Header<'a, Signature>) -> DkimFinding {
        let mut finding = described(&header.header);
        if let Some((result, reason)) = refusal(&header.header) {
            return DkimFinding { result, reason: reason.to_owned(), ..finding };
        }
        let mut header = header;
        header.header.r = false;
        header.header.atps = None;
        let message = AuthenticatedMessage {
            headers: self.fields(header.header.ch),
            body_hashes: self.message.body_hashes.clone(),
            dkim_headers: vec![header],
            ..AuthenticatedMessage::default()
        };
        let verifier = MessageAuthenticator(dns.resolver());
        let verified = timeout_at(self.limits.deadline, verifier.verify_dkim(&message)).await;
        let domain = &finding.domain;
        (finding.result, finding.reason) = match verified.as_deref() {
            Ok([output]) => outcome(output.result(), domain),
            Ok(_) => (Verdict::PermError, "the signature cannot be understood".to_owned()),
            Err(_) => (Verdict::TempError, format!("the key of {domain} did not come in time")),
        };
        finding
    }

    /// The fields for the library, which knows no white space before a colon (RFC 5322 §4.5.3).
    fn fields(&self, form: Canonicalization) -> Vec<(&'a [u8], &'a [u8])> {
        let fields = self.message.headers.iter();
        match form {
            Canonicalization::Relaxed => {
                fields.map(|(name, value)| (name.trim_ascii_end(), *value)).collect()
            }
            Canonicalization::Simple => fields.copied().collect(),
        }
    }

    async fn seals(&self, dns: &Dns) -> ArcFinding {
        let seals = &self.message.ams_headers;
        if seals.iter().any(|seal| seal.header.h.len() > NAMES_MAX) {
            return arc(Verdict::Policy, "a seal covers more fields than what is checked");
        }
        let verifier = MessageAuthenticator(dns.resolver());
        let verified = timeout_at(self.limits.deadline, verifier.verify_arc(&self.message)).await;
        let domain = seals.last().map_or("", |seal| seal.header.domain());
        let (result, reason) = match &verified {
            Ok(output) => match output.result() {
                DkimResult::None => (Verdict::None, "nobody sealed the message".to_owned()),
                DkimResult::Pass => {
                    (Verdict::Pass, format!("all seals up to that of {domain} are good"))
                }
                DkimResult::TempError(_) => {
                    (Verdict::TempError, "the key of a seal could not be looked up".to_owned())
                }
                // RFC 8617 §5.2: a chain is good or it is not.
                DkimResult::Neutral(error)
                | DkimResult::Fail(error)
                | DkimResult::PermError(error) => (Verdict::Fail, arc_words(error)),
            },
            Err(_) => (Verdict::TempError, "the key of a seal did not come in time".to_owned()),
        };
        ArcFinding { result, seals: seals.len(), domain: domain.to_owned(), reason }
    }
}

/// The domains of the addresses in a field.
fn domains(value: &[u8]) -> Vec<String> {
    // The parser wants the line end that it stops at.
    let text = [value, b"\r\n"].concat();
    let parsed = mail_parser::parsers::MessageStream::new(&text).parse_address();
    let mail_parser::HeaderValue::Address(addresses) = &parsed else { return Vec::new() };
    let domain = |address: &mail_parser::Addr<'_>| {
        let (_, domain) = address.address.as_deref()?.rsplit_once('@')?;
        Some(domain.to_owned())
    };
    addresses.iter().filter_map(domain).collect()
}

/// What a signature says of itself.
fn described(signature: &Signature) -> DkimFinding {
    DkimFinding {
        result: Verdict::None,
        domain: signature.d.clone(),
        selector: signature.s.clone(),
        algorithm: signature.a.name(),
        signature_start: beginning(&signature.b),
        reason: String::new(),
    }
}

/// The first eight letters of a signature in base 64.
fn beginning(signature: &[u8]) -> String {
    use base64::Engine as _;
    let octets = signature.get(..6).unwrap_or(signature);
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(octets)
}

fn refused(result: Verdict, reason: &str) -> DkimFinding {
    DkimFinding {
        result,
        domain: String::new(),
        selector: String::new(),
        algorithm: "",
        signature_start: String::new(),
        reason: reason.to_owned(),
    }
}

fn arc(result: Verdict, reason: &str) -> ArcFinding {
    ArcFinding { result, seals: 0, domain: String::new(), reason: reason.to_owned() }
}

/// Why a signature is not even verified; the library does not ask.
fn refusal(signature: &Signature) -> Option<(Verdict, &'static str)> {
    let covers_from = signature.h.iter().any(|name| name.trim().eq_ignore_ascii_case("from"));
    if signature.v != 1 {
        Some((Verdict::PermError, "the signature names no version (RFC 6376 §3.5)"))
    } else if !covers_from {
        Some((Verdict::PermError, "the signature does not cover From (RFC 6376 §5.4)"))
    } else if signature.h.len() > NAMES_MAX {
        Some((Verdict::Policy, "the signature covers more fields than what is checked"))
    } else if a_labels(&signature.d).is_none() || a_labels(&signature.s).is_none() {
        Some((Verdict::PermError, "the signature's domain or selector is no name of the DNS"))
    } else if signature.a == Algorithm::RsaSha1 {
        Some((Verdict::Policy, "the signature uses SHA-1, which is not trusted (RFC 8301 §3.1)"))
    } else {
        None
    }
}

fn outcome(result: &DkimResult, domain: &str) -> (Verdict, String) {
    let error = match result {
        DkimResult::Pass => return (Verdict::Pass, format!("the signature of {domain} is good")),
        DkimResult::None => return (Verdict::None, "there is no signature".to_owned()),
        DkimResult::Neutral(error)
        | DkimResult::Fail(error)
        | DkimResult::PermError(error)
        | DkimResult::TempError(error) => error,
    };
    match error {
        Error::Dkim(DkimError::FailedBodyHashMatch) => {
            (Verdict::Fail, format!("the body is not the one that {domain} signed"))
        }
        Error::Crypto(CryptoError::FailedVerification) => (
            Verdict::Fail,
            format!("the header is not the one that {domain} signed, or its key is another"),
        ),
        Error::Dkim(DkimError::SignatureExpired) => {
            (Verdict::Fail, format!("the signature of {domain} is too old"))
        }
        Error::Dkim(DkimError::FailedAuidMatch) => {
            (Verdict::Fail, format!("the signature's identity is not within {domain}"))
        }
        Error::Dkim(DkimError::RevokedPublicKey) => {
            (Verdict::PermError, format!("{domain} has withdrawn the key"))
        }
        Error::Dns(DnsError::Resolver(_)) => {
            (Verdict::TempError, format!("the key of {domain} could not be looked up"))
        }
        Error::Dns(DnsError::RecordNotFound(code)) if is_temporary(*code) => (
            Verdict::TempError,
            format!("the key of {domain} could not be looked up: {}", code.to_str()),
        ),
        Error::Dns(_) => (Verdict::PermError, format!("{domain} publishes no such key")),
        Error::Crypto(_) => {
            (Verdict::PermError, format!("the key of {domain} does not fit the signature"))
        }
        _ => (
            Verdict::PermError,
            format!("the signature or the key of {domain} cannot be understood"),
        ),
    }
}

/// The library calls every answer without records "not found", also those that are no answer.
fn is_temporary(code: hickory_resolver::proto::op::ResponseCode) -> bool {
    use hickory_resolver::proto::op::ResponseCode;
    !matches!(code, ResponseCode::NXDomain | ResponseCode::NoError)
}

fn arc_words(error: &Error) -> String {
    match error {
        Error::Arc(error) => format!("the chain of seals is broken: {error}"),
        Error::Crypto(_) => {
            "the chain of seals is broken: a seal does not fit what it covers".to_owned()
        }
        Error::Dns(_) => "the chain of seals is broken: a key is not published".to_owned(),
        _ => "the chain of seals is broken: a field cannot be understood".to_owned(),
    }
}
