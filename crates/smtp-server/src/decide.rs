//! What policy decides about a message whose content has come, before it is put on the device.

use mail::Reply;
use policy::{Decision, Ending, Facts, Verdict};
use smtp_session::server;

use crate::client::Plain;
use crate::connection::Connection;
use crate::decided::{Decided, Known};

impl Connection {
    /// Asks policy about a message.
    ///
    /// # Errors
    /// What the client is told if the message is not taken.
    pub(crate) async fn decide(
        &mut self,
        received: &server::Transaction,
        known: &Known<'_>,
    ) -> Result<Decided, Reply> {
        let policy = self.reception.policy.hold();
        let certificate = self.client.certificate.as_deref();
        let facts = Facts {
            client: Some(self.client.address.ip().to_canonical()),
            helo: &received.helo,
            listener: &self.reception.config.name,
            connector: self.client.connector.as_deref().unwrap_or_default(),
            account: self.client.login(),
            is_tls: self.client.tls.is_some(),
            certificate_names: certificate.map_or(&[], |it| it.trusted_names()),
            sender: &received.sender,
            recipients: &received.recipients,
            header: known.header,
            octets: known.octets,
            class: known.class,
            now: self.reception.today(),
            auth: known.auth,
            from_domain: None,
        };
        let mut decision = policy.decide(&facts);
        if let Some(domain) = decision.needs.take() {
            let protection = self.protection(&domain).await;
            decision = policy.decide(&Facts { from_domain: Some((&domain, protection)), ..facts });
        }
        let Decision { refusal, reason, recipients, directions, verdicts, .. } = decision;
        for verdict in &verdicts {
            self.log_rule(verdict, received);
        }
        match refusal {
            Some((reply, _)) => {
                if reason.is_some() {
                    self.transaction.found_mut().reason = reason;
                }
                Err(reply)
            }
            None => Ok(Decided { recipients, directions }),
        }
    }

    /// One event for each rule that applied or failed.
    fn log_rule(&self, verdict: &Verdict, received: &server::Transaction) {
        let Verdict { rule, ending, why, mode, severity, actions } = verdict;
        self.reception.metrics.rule(*ending);
        tracing::info!(
            session = %self.client.session,
            rule = %rule,
            mode = mode.as_str(),
            severity = severity.as_str(),
            sender = %received.sender,
            connector = self.client.connector.as_deref(),
            actions = %actions,
            why = (!why.is_empty()).then(|| tracing::field::display(Plain(why))),
            "{}",
            match ending {
                Ending::Applied => "rule applied",
                Ending::Passed => "rule passed",
                Ending::Failed => "rule failed",
            }
        );
    }
}
