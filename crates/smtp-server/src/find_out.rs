//! What mail authentication finds out about a message and its sender, and what its header says of it.

use auth::finding::{DkimFinding, Evaluation, Policy, SpfFinding, Verdict};
use auth::{Client, Content, LookupError};
use mail::header::{Edit, Field, FieldName, FieldValue, Header, Place, Which, apply};
use mail::{Domain, Reply, ReversePath};
use policy::config::AuthResult;
use policy::{Admitted, Answers, AuthResults, Lookup, Protection};
use smtp_session::server;

use crate::connection::Connection;
use crate::seen::Finished;

/// How the names of fields begin that speak inside an organisation.
const INTERNAL: [&[u8]; 3] =
    [b"x-ms-exchange-organization-", b"x-ms-exchange-crosspremises-", b"x-chasqui-"];

/// What was found out about a message.
#[derive(Debug, Default)]
pub(crate) struct FoundOut {
    /// What its header is to say, and to say no more.
    pub(crate) edits: Vec<Edit>,
    /// What mail authentication came to, if it was asked.
    pub(crate) results: Option<AuthResults>,
}

impl Connection {
    /// Looks up what decides whether a connector takes mail of this sender from this client.
    pub(crate) async fn find_out_who(
        &mut self,
        (sender, octets_declared): (&ReversePath, Option<u64>),
        lookup: Lookup,
    ) -> Result<(), Reply> {
        // What there is no room for, or is beyond its rate, is not worth a look-up.
        self.may_begin(octets_declared)?;
        self.may_come_by_lookup(sender)?;
        let (mut answers, mut needed) = (Answers::default(), Some(lookup));
        while let Some(Lookup::Spf) = needed {
            answers.spf = Some(self.spf(sender).await);
            needed = self.admitted(sender, answers)?;
        }
        self.take_message()
    }

    /// Asks policy, and notes the connector that takes the mail; gives back what has to be known first.
    pub(crate) fn admitted(
        &mut self,
        sender: &ReversePath,
        answers: Answers,
    ) -> Result<Option<Lookup>, Reply> {
        let policy = self.reception.policy.load();
        let who = self.client.for_policy(self.reception.today());
        let admitted = policy.admission.admit_mail(&who, sender, answers);
        let name = match admitted {
            Ok(Admitted::By(connector)) => Some(connector.name.as_str()),
            Ok(Admitted::Nobody) => None,
            Ok(Admitted::Needs(lookup)) => return Ok(Some(lookup)),
            Err(denied) => {
                self.transaction.found_mut().reason = Some(denied.reason().into());
                return Err(denied.reply().clone());
            }
        };
        if name != self.client.connector.as_deref() {
            self.client.connector = name.map(Into::into);
        }
        Ok(None)
    }

    /// Asks whether the sender's domain lets the client send; kept for the message's own evaluation.
    async fn spf(&mut self, sender: &ReversePath) -> AuthResult {
        let Some(authenticator) = &self.reception.authenticator else {
            return AuthResult::TempError;
        };
        let helo = self.session.helo_at_mail().unwrap_or_default();
        let finding = authenticator.spf(&self.asking(helo, sender)).await;
        tracing::debug!(
            session = %self.client.session,
            client = %self.client.address,
            sender = %sender,
            spf = %finding.result,
            reason = %finding.reason,
            "sender looked up"
        );
        let result = result(finding.result);
        self.transaction.found_mut().spf = Some(finding);
        result
    }

    fn asking<'a>(&self, helo: &'a str, sender: &'a ReversePath) -> Client<'a> {
        let sender = sender.address().map_or("", |address| address.as_str());
        Client { address: self.client.address.ip().to_canonical(), helo, sender }
    }

    /// Finds out what the connector wants to know of a message, and changes the header that others see next.
    ///
    /// # Errors
    /// What the client is told when the message names a thread that there cannot be.
    pub(crate) async fn find_out(
        &mut self,
        received: &server::Transaction,
        (content, found_at_mail): (&mut Finished, Option<SpfFinding>),
    ) -> Result<FoundOut, Reply> {
        let mut found = FoundOut::default();
        let policy = self.reception.policy.load();
        let connector = self.client.connector.as_deref().unwrap_or_default();
        let strips = policy.admission.strips_internal_fields(connector);
        let checks = policy.admission.checks_mail_auth(connector);
        let names_connector = policy.admission.names_connector(connector);
        let threads = policy.admission.threads(connector).map(Box::<str>::from);
        let spared = [
            names_connector.then_some(policy::CONNECTOR_FIELD),
            threads.is_some().then_some(policy::THREAD_FIELD),
        ];
        drop(policy);
        if strips {
            found.edits.extend(internal_fields(&content.header, spared));
        }
        if let Some(application) = threads {
            found.edits.extend(self.thread_edits(&application, &content.header)?);
        }
        if checks && let Some(authenticator) = self.reception.authenticator.clone() {
            let client = self.asking(&received.helo, &received.sender);
            let Finished { header, body, octets_unseen, .. } = &*content;
            let shown = Content { header, body, octets_unseen: *octets_unseen };
            let spf = found_at_mail;
            let evaluation = authenticator.evaluate(&client, spf, shown).await;
            self.log_evaluation(&evaluation);
            let forged = authenticator.forged_fields(header);
            let field = authenticator.results_field(&evaluation);
            found.edits.extend(results_edits(&forged, &field));
            found.results = Some(results(&evaluation));
        }
        if !found.edits.is_empty() {
            content.header = apply(&content.header, &found.edits);
        }
        Ok(found)
    }

    /// Whether the owner of a domain wants others kept from its name.
    pub(crate) async fn protection(&self, domain: &Domain) -> Protection {
        let Some(authenticator) = &self.reception.authenticator else {
            return Protection::Unknown;
        };
        match authenticator.dmarc_policy(domain.as_str()).await {
            Ok(Some(policy)) if policy.disposition() != Policy::None => Protection::Protected,
            Ok(_) | Err(LookupError::BadName(_) | LookupError::NoName(_)) => Protection::Open,
            Err(error) => {
                tracing::warn!(
                    session = %self.client.session,
                    domain = %domain,
                    %error,
                    "DMARC policy not looked up"
                );
                Protection::Unknown
            }
        }
    }

    fn log_evaluation(&self, evaluation: &Evaluation) {
        tracing::info!(
            session = %self.client.session,
            connector = self.client.connector.as_deref(),
            spf = %evaluation.spf.result,
            spf_domain = %evaluation.spf.domain,
            dkim = %dkim(&evaluation.dkim).word(),
            dmarc = %evaluation.dmarc.result,
            from_domain = %evaluation.dmarc.domain,
            arc = %evaluation.arc.result,
            reason = %evaluation.dmarc.reason,
            "mail authentication checked"
        );
    }
}

/// Removes each field that speaks inside an organisation, but for those that are asked for later, and removed then.
fn internal_fields(header: &[u8], spared: [Option<&str>; 2]) -> Vec<Edit> {
    let mut names: Vec<FieldName> = Vec::new();
    let is_spared = |field: &Field<'_>| spared.into_iter().flatten().any(|name| field.is(name));
    for field in Header::read(header).fields.iter().filter(|field| !is_spared(field)) {
        let lower = field.name().to_ascii_lowercase();
        let is_internal = INTERNAL.iter().any(|start| lower.starts_with(start));
        let name = is_internal.then(|| std::str::from_utf8(&lower).ok()).flatten();
        if let Some(name) = name.and_then(|name| FieldName::parse(name.trim_end()).ok())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names.into_iter().map(|name| Edit::Remove { name, which: Which::All }).collect()
}

/// Takes out the fields that are forged, from below, and puts ours on top.
fn results_edits(forged: &[u32], field: &[u8]) -> Vec<Edit> {
    let colon = field.iter().position(|octet| *octet == b':').unwrap_or(field.len());
    let name = field.get(..colon).and_then(|name| std::str::from_utf8(name).ok());
    let Some(name) = name.and_then(|name| FieldName::parse(name).ok()) else { return Vec::new() };
    let value = field.get(colon.saturating_add(1)..).unwrap_or_default();
    let removed = forged
        .iter()
        .rev()
        .map(|number| Edit::Remove { name: name.clone(), which: Which::FromTop(*number) });
    let mut edits: Vec<_> = removed.collect();
    if let Ok(value) = FieldValue::parse(value) {
        edits.push(Edit::Add { name, value, at: Place::Top });
    }
    edits
}

fn results(evaluation: &Evaluation) -> AuthResults {
    AuthResults {
        spf: result(evaluation.spf.result),
        dkim: result(dkim(&evaluation.dkim)),
        dmarc: result(evaluation.dmarc.result),
    }
}

/// What all signatures come to: one that is good is enough.
fn dkim(findings: &[DkimFinding]) -> Verdict {
    let good = findings.iter().find(|it| it.result == Verdict::Pass);
    good.or(findings.first()).map_or(Verdict::None, |it| it.result)
}

const fn result(verdict: Verdict) -> AuthResult {
    match verdict {
        Verdict::Pass => AuthResult::Pass,
        Verdict::Fail => AuthResult::Fail,
        Verdict::SoftFail => AuthResult::SoftFail,
        Verdict::Neutral => AuthResult::Neutral,
        Verdict::None => AuthResult::None,
        Verdict::TempError => AuthResult::TempError,
        // What passes a limit of ours will do so again.
        Verdict::Policy | Verdict::PermError => AuthResult::PermError,
    }
}
