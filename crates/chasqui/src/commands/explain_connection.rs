//! `chasqui explain-connection`.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::anyhow;
use mail::{ReversePath, Timestamp};
use policy::config::HeaderFrom;
use policy::{
    Admission, Admitted as Verdict, Answers, Attribute, Certificate, Lookup, Who, issuer_attributes,
};
use serde::Serialize;
use settings::Settings;
use smtp_server::Stranger;
use tls::server::PeerCertificate;
use units::Clock;

use crate::arguments::{Client, ExplainConnection};
use crate::failure::{Code, Failure, Result};
use crate::{decisions, given, output};

/// What `explain-connection --json` says.
#[derive(Debug, Serialize)]
pub(super) struct Admitted {
    /// The connector that lets the client in, and takes mail of the sender, if one is named.
    pub(super) connector: Option<String>,
    /// By what of it: `login`, `certificate` or `address`.
    by: Option<&'static str>,
    /// Connectors that would let it in too, and are asked later or do not take the sender.
    others: Vec<Other>,
    /// The connector that it just missed.
    nearest: Option<Near>,
    /// What the client is told at MAIL or RCPT, if it is refused.
    pub(super) refusal: Option<String>,
    /// The same for the operator.
    reason: Option<String>,
    /// What the connector asks of the From of the header, if it does: `same-domain`, `same-address` or `registered`.
    header_from: Option<&'static str>,
    /// It depends on the SPF record of the sender's domain, which `--spf` tells.
    needs_spf: bool,
}

#[derive(Debug, Serialize)]
struct Other {
    connector: String,
    by: &'static str,
}

#[derive(Debug, Serialize)]
struct Near {
    connector: String,
    missed: String,
}

/// Does it.
pub(crate) fn run(explain: &ExplainConnection) -> Result {
    let settings = settings::load(&explain.file.config)?;
    let may_log_in = may_log_in(&settings, explain.client.listener.as_deref())?;
    let sender = explain.from.as_deref().map(sender).transpose()?;
    let admission = decisions::admission(&settings);
    let certificate = certificate(&explain.client);
    let asking = Asking {
        admission: &admission,
        who: who(&explain.client, &certificate),
        certificate: &certificate,
        sender: sender.as_ref(),
        answers: Answers { spf: explain.client.spf },
        may_log_in,
    };
    let admitted = asking.admitted();
    if explain.file.json {
        output::json(&admitted)?;
    } else {
        output::line(text(&admitted))?;
    }
    if admitted.refusal.is_none() {
        return Ok(());
    }
    Err(Failure::from(anyhow!("the client is refused")))
}

/// The sender of an envelope as it is named on the command line.
pub(super) fn sender(text: &str) -> Result<ReversePath> {
    given::sender(text).map_err(|error| Failure::from(error).code(Code::Arguments))
}

/// Whether a client could log in at the listener of this name; at each, if none is named.
pub(super) fn may_log_in(settings: &Settings, name: Option<&str>) -> Result<bool> {
    let Some(name) = name else {
        return Ok(settings.listener.iter().all(|listener| listener.auth.is_some()));
    };
    if let Some(found) = settings.listener.iter().find(|listener| listener.name == name) {
        return Ok(found.auth.is_some());
    }
    let names: Vec<_> = settings.listener.iter().map(|listener| listener.name.as_str()).collect();
    let error = anyhow!("there is no listener `{name}`; there are: {}", names.join(", "));
    Err(Failure::from(error).code(Code::Arguments))
}

/// The certificate that is named on the command line, of an authority that is trusted.
pub(super) fn certificate(client: &Client) -> PeerCertificate {
    PeerCertificate {
        subject: Box::default(),
        names: client.cert.iter().map(|name| name.as_str().into()).collect(),
        issuer: client.cert_issuer.as_deref().map(issuer_attributes).unwrap_or_default().into(),
        fault: None,
    }
}

/// The client as policy sees it.
pub(super) fn who<'a>(client: &'a Client, certificate: &'a PeerCertificate) -> Who<'a> {
    let (names, issuer) = (&certificate.names, &certificate.issuer);
    Who {
        // Who comes from nowhere is in no network that anybody would write.
        address: client.ip.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        certificate: Certificate { names, issuer },
        login: client.account.as_deref(),
        is_tls: client.tls || !names.is_empty(),
        now: Timestamp::from_millis(Clock::system().unix_millis()),
    }
}

/// What connectors are asked about.
pub(super) struct Asking<'a> {
    pub(super) admission: &'a Admission,
    pub(super) who: Who<'a>,
    pub(super) certificate: &'a PeerCertificate,
    /// The sender of the message, if one is named.
    pub(super) sender: Option<&'a ReversePath>,
    pub(super) answers: Answers,
    /// Whether the client could log in.
    pub(super) may_log_in: bool,
}

impl Asking<'_> {
    /// How the connectors see the client.
    pub(super) fn admitted(&self) -> Admitted {
        let Self { admission, who, sender, answers, .. } = self;
        let (mut all, mut not_in_plan) = (Vec::<Other>::new(), None);
        for (by, connector) in admission.ways(who) {
            if let Err(denied) = admission.includes(connector, by.into()) {
                not_in_plan = not_in_plan.or(Some(denied));
            } else if all.iter().all(|known| known.connector != connector.name) {
                all.push(Other { connector: connector.name.clone(), by: word(by) });
            }
        }
        let (mut denied, mut needs_spf) = (None, false);
        let chosen = match sender {
            None => {
                denied = not_in_plan.filter(|_| all.is_empty());
                all.first().map(|first| first.connector.clone())
            }
            Some(sender) => match admission.admit_mail(who, sender, *answers) {
                Ok(Verdict::By(connector)) => Some(connector.name.clone()),
                Ok(Verdict::Nobody) => None,
                Ok(Verdict::Needs(Lookup::Spf)) => {
                    needs_spf = true;
                    None
                }
                Err(why) => {
                    denied = Some(why);
                    None
                }
            },
        };
        let at = all.iter().position(|it| Some(&it.connector) == chosen.as_ref());
        let by = at.map(|at| all.remove(at).by);
        // None of these lets in whom SPF names.
        let by = by.or(chosen.is_some().then_some("SPF record"));
        let is_stranger = chosen.is_none() && denied.is_none() && !needs_spf;
        let refusal = match &denied {
            Some(denied) => Some(denied.reply().to_string()),
            None => is_stranger.then(|| self.denied()),
        };
        let header_from = chosen.as_deref().and_then(|name| admission.header_from(name));
        Admitted {
            header_from: header_from.map(HeaderFrom::as_str),
            connector: chosen,
            by,
            others: all,
            nearest: if is_stranger { near(admission, who) } else { None },
            refusal,
            needs_spf,
            reason: denied.map(|denied| denied.reason().to_owned()),
        }
    }

    /// What the client is told if nothing lets it in.
    fn denied(&self) -> String {
        let &Self { admission, who, certificate, sender, may_log_in, .. } = self;
        let certificate = Some(certificate).filter(|it| !it.names.is_empty());
        Stranger { admission, who, certificate, sender, may_log_in }.reply().to_string()
    }
}

fn near(admission: &Admission, who: &Who<'_>) -> Option<Near> {
    let near = admission.nearest(who)?;
    Some(Near { connector: near.connector.to_owned(), missed: near.missed.to_string() })
}

const fn word(by: Attribute) -> &'static str {
    match by {
        Attribute::Login => "login",
        Attribute::CertificateName => "certificate",
        Attribute::Network => "address",
    }
}

/// The same for people.
pub(super) fn text(admitted: &Admitted) -> String {
    let mut lines = Vec::new();
    match (&admitted.connector, admitted.by, &admitted.refusal) {
        (Some(connector), Some(by), _) => {
            lines.push(format!("inbound connector `{connector}` lets the client in by its {by}"));
            lines.extend(admitted.header_from.map(|asked| {
                format!("  it asks whom the From of the header names: header_from = \"{asked}\"")
            }));
        }
        _ if admitted.needs_spf => lines.push(
            "the SPF record of the sender's domain decides; say with --spf what it comes to"
                .to_owned(),
        ),
        (.., refusal) => {
            let refusal = refusal.as_deref().unwrap_or_default();
            let reason = admitted.reason.as_deref();
            let reason = reason.unwrap_or("no inbound connector lets the client in");
            lines.push(format!("refused: {reason}"));
            lines.push(format!("  it is told: {refusal}"));
        }
    }
    let reason = admitted.reason.as_deref().unwrap_or_default();
    // The one that refuses is named already.
    let is_named = |name: &str| reason.contains(&format!("connector {name} "));
    let others: Vec<_> = admitted.others.iter().filter(|it| !is_named(&it.connector)).collect();
    let ends = if admitted.connector.is_some() { "lets it in, too," } else { "knows it, too," };
    lines.extend(others.iter().map(|it| format!("  `{}` {ends} by its {}", it.connector, it.by)));
    if !others.is_empty() && admitted.connector.is_some() {
        lines.push("  a login goes before a certificate, and that before an address".to_owned());
    }
    lines.extend(admitted.nearest.as_ref().map(|Near { connector, missed }| {
        format!("  nearest is `{connector}`: it would take {missed}")
    }));
    lines.join("\n")
}
