//! The answers to the session's questions: who may relay, where to, and whether there is room.

use std::sync::Arc;

use filters::SHOWN_OCTETS_MAX;
use mail::{Address, Reply, ReversePath};
use policy::{Answers, Lookup};
use smtp_session::server::{Question, Verdict};

use crate::client::Plain;
use crate::connection::Connection;
use crate::metrics::Limit;
use crate::rates::Kind;
use crate::reply;
use crate::seen::{Kept, Seen};
use crate::trace::{Protocol, Received};
use crate::transaction::Transaction;

impl Connection {
    /// Answers `question`, counting and logging a refusal.
    pub(crate) async fn verdict(&mut self, question: Question) -> Verdict {
        let before = self.transaction.instead().len();
        let mut answer = match &question {
            Question::Mail { sender, octets_declared } => match self.may_come_from(sender) {
                Ok(None) => self.begin_message(*octets_declared),
                Ok(Some(lookup)) => {
                    Box::pin(self.find_out_who((sender, *octets_declared), lookup)).await
                }
                Err(reply) => Err(reply),
            },
            Question::Recipient { address } => self.may_have(address),
            Question::Content => Box::pin(self.begin_content()).await,
            Question::Client(told) => self.stand_in(told),
        };
        if answer.is_ok() && self.filters.is_some() {
            answer = Box::pin(self.ask_filters(&question)).await;
        }
        match answer {
            Ok(()) => Verdict::Accept,
            Err(reply) => {
                if let Some(found) = &mut self.transaction.found {
                    found.instead.truncate(before);
                }
                if matches!(question, Question::Mail { .. }) {
                    self.nothing_taken();
                }
                if reply.is_permanent() {
                    self.misbehaved();
                }
                self.question_refused(&question, &reply);
                Verdict::Refuse(reply)
            }
        }
    }

    /// MAIL: looks whether a connector takes mail of this sender from this client; what has to be looked up for that is
    /// given back. Who is let in by nothing hears so at RCPT.
    fn may_come_from(&mut self, sender: &ReversePath) -> Result<Option<Lookup>, Reply> {
        self.transaction = Transaction::new(self.reception.clock.now());
        self.may_send_as(sender)?;
        self.admitted(sender, Answers::default())
    }

    /// Then looks whether there is room now. The place itself is taken when the content comes, so that a client
    /// that goes no further holds none.
    pub(crate) fn may_begin(&mut self, octets_declared: Option<u64>) -> Result<(), Reply> {
        self.may_have_one(Kind::Octets)?;
        if self.reception.is_queue_nearly_full() {
            self.reception.shed(Limit::Queue);
            return Err(reply::queue_full());
        }
        let place = self.reception.spool.reserve(octets_declared).map_err(|full| {
            self.reception.shed(Limit::Spool);
            full.reply()
        })?;
        drop(place);
        // Last, since it counts: what the relay has no room for is not held against the client.
        self.may_have_one(Kind::Messages)
    }

    /// DATA or the first BDAT: takes the place and writes the trace field.
    async fn begin_content(&mut self) -> Result<(), Reply> {
        let Some(transaction) = self.session.transaction() else {
            return Err(reply::spool_slow());
        };
        let place = self.reception.spool.reserve(transaction.octets_declared).map_err(|full| {
            self.reception.shed(Limit::Spool);
            full.reply()
        })?;
        let writer = self.reception.spool.writer(place);
        let received_at = mail::Timestamp::from_millis(self.reception.clock.unix_millis());
        let recipient = match transaction.recipients.as_slice() {
            [only] => Some(&only.address),
            _ => None,
        };
        let protocol = Protocol::of(
            transaction.is_esmtp,
            transaction.needs_smtputf8,
            self.client.tls.is_some(),
        );
        let has_login = self.client.identity.is_some();
        let protocol = if has_login { protocol.with_login() } else { protocol };
        let trace = Received {
            helo: &transaction.helo,
            client: self.client.address.ip(),
            hostname: &self.reception.settings.hostname,
            protocol,
            tls: self.client.tls.as_deref(),
            connector: self.client.connector.as_deref(),
            id: writer.id(),
            recipient,
            priority: transaction.wishes.priority,
            at: received_at,
        };
        let wait_max = self.reception.config.store_wait_max.as_duration();
        // Before it is looked at: what changes meanwhile is noticed at the end of the content.
        let generation = self.reception.policy.load().generation();
        let shown_max = self.shown_octets_max();
        let wants_header = shown_max.is_some() || self.wants_header();
        let seen = wants_header.then(|| {
            let most = self.reception.config.header_octets_max.as_usize();
            let room = shown_max.map(|most| (most, Arc::clone(&self.reception.shown)));
            Seen::new(most, room)
        });
        let begun = (received_at, generation);
        self.transaction.begin_content(writer, begun, (trace.field(), wait_max), seen).await
    }

    /// The end of content: whether it can be decided about by the settings of now, though they may have changed since it
    /// began.
    ///
    /// # Errors
    /// What the client is told if its connector is gone, or what is asked now was not kept.
    pub(crate) fn may_be_decided(
        &mut self,
        generation: Option<u64>,
        kept: Kept,
    ) -> Result<(), Reply> {
        let policy = self.reception.policy.load();
        if generation == Some(policy.generation()) {
            return Ok(());
        }
        let connector = self.client.connector.as_deref();
        let is_gone = connector.filter(|name| !policy.admission.has(name));
        let is_unseen = || match kept {
            Kept::Nothing => self.wants_header() || self.shown_octets_max().is_some(),
            Kept::Header => self.shown_octets_max().is_some(),
            Kept::All => false,
        };
        let why = match is_gone {
            Some(name) => format!("connector {name} is gone since the content began"),
            None if is_unseen() => "more of the content is asked for than when it began".to_owned(),
            None => return Ok(()),
        };
        self.transaction.found_mut().reason = Some(why.into());
        if let Some(filters) = &mut self.filters {
            filters.session.abort();
        }
        Err(reply::settings_changed())
    }

    /// The largest content that somebody wants to see; none if nobody does.
    fn shown_octets_max(&self) -> Option<u64> {
        let by_filters = self.filters.as_ref().and_then(|it| it.session.content_octets_max());
        let connector = self.client.connector.as_deref().unwrap_or_default();
        let authenticator = self.reception.authenticator.as_ref();
        let checks = || self.reception.policy.load().admission.checks_mail_auth(connector);
        let checked =
            authenticator.filter(|_| checks()).map(auth::Authenticator::content_octets_max);
        // There is memory for no more, now or later.
        by_filters.max(checked).map(|most| most.min(SHOWN_OCTETS_MAX))
    }

    /// Whether somebody wants to know the header.
    fn wants_header(&self) -> bool {
        let policy = self.reception.policy.load();
        let connector = self.client.connector.as_deref().unwrap_or_default();
        let admission = &policy.admission;
        policy.wants_header()
            || admission.strips_internal_fields(connector)
            || admission.names_connector(connector)
            || admission.threads(connector).is_some()
            || admission.header_from(connector).is_some()
    }

    fn question_refused(&mut self, question: &Question, reply: &Reply) {
        match question {
            Question::Mail { sender, .. } => self.tell_refusal(Some(sender), None, reply),
            Question::Recipient { address } => {
                let sender = self.session.transaction().map(|it| it.sender.clone());
                self.tell_refusal(sender.as_ref(), Some(address), reply);
            }
            Question::Content | Question::Client(_) => self.refused(reply),
        }
    }

    /// Counts and logs that the transaction is refused with `reply`.
    pub(crate) fn refused(&mut self, reply: &Reply) {
        let sender = self.session.transaction().map(|it| it.sender.clone());
        self.tell_refusal(sender.as_ref(), None, reply);
    }

    /// Counts and logs a refusal, once for a transaction: a client that tries a thousand recipients is told a
    /// thousand times, the operator once.
    fn tell_refusal(
        &mut self,
        sender: Option<&ReversePath>,
        recipient: Option<&Address>,
        reply: &Reply,
    ) {
        if std::mem::replace(&mut self.transaction.is_refusal_told, true) {
            return;
        }
        self.reception.metrics.refused(reply);
        let transaction = self.session.transaction();
        let is_denied = recipient.is_some() && self.client.connector.is_none();
        let found = self.transaction.found.as_ref();
        let reason = found.and_then(|it| it.reason.as_deref()).map(str::to_owned);
        let reason = reason.or_else(|| is_denied.then(|| self.why_denied()));
        tracing::info!(
            session = %self.client.session,
            listener = %self.reception.config.name,
            connector = self.client.connector.as_deref(),
            client = %self.client.address,
            login = self.client.login(),
            helo = transaction.map(|it| tracing::field::display(Plain(&it.helo))),
            sender = sender.map(tracing::field::display),
            recipient = recipient.map(tracing::field::display),
            recipients = transaction.map(|it| it.recipients.len()),
            octets = transaction.map(|it| it.octets),
            tls = self.client.tls.as_deref(),
            certificate = self.client.subject(),
            status = reply.code(),
            reply = %reply,
            reason,
            "transaction refused"
        );
    }

    /// Drops the content that came so far, if any: the session refuses it, or the client said RSET or went.
    pub(crate) fn abandon(&mut self) {
        self.nothing_taken();
        let Some(message) = self.transaction.abandon() else { return };
        if let Some(refusal) = self.session.refusal() {
            return self.refused(&refusal);
        }
        if std::mem::replace(&mut self.transaction.is_refusal_told, true) {
            return;
        }
        self.reception.metrics.abandoned();
        tracing::info!(
            session = %self.client.session,
            message = %message,
            listener = %self.reception.config.name,
            client = %self.client.address,
            tls = self.client.tls.as_deref(),
            "message abandoned"
        );
    }
}
