//! Asks filters about a client and its mail; what follows from their answers.

use std::borrow::Cow;

use auth::finding::SpfFinding;
use filters::facts::{Content, Facts, Login};
use filters::verdict::{Action, Change, ContentVerdict, Note};
use mail::header::{Edit, Place, Which, apply};
use mail::{MessageId, Recipient, Reply, ReversePath};
use smtp_session::server::{self, Question};

use crate::client::Plain;
use crate::connection::Connection;
use crate::decided::{Decided, Known};
use crate::filtered::Filtered;
use crate::find_out::FoundOut;
use crate::instead;
use crate::reply;
use crate::seen::{Finished, Kept, Seen};

impl Connection {
    /// The filters that are asked about this client; none if there are none.
    pub(crate) fn filtered(&self) -> Option<Box<Filtered>> {
        if self.reception.filters.is_empty() {
            return None;
        }
        let facts = Facts {
            relay: self.reception.settings.hostname.clone(),
            scope: self.reception.config.name.as_str().into(),
            session: self.client.session.to_string().into(),
            client: Some(self.client.address),
            tls: self.client.tls.clone(),
            ..Facts::default()
        };
        let session = self.reception.filters.session(facts)?;
        Some(Box::new(Filtered { session, helo: None }))
    }

    /// Asks about the client, before it is greeted.
    ///
    /// # Errors
    /// What it is told if it is not wanted.
    pub(crate) async fn ask_about_client(
        &mut self,
        mut filters: Box<Filtered>,
    ) -> Result<(), Reply> {
        let verdict = filters.session.connect().await;
        self.filters = Some(filters);
        self.answered(verdict.action, &verdict.notes)
    }

    /// The greeting is a refusal.
    pub(crate) fn not_greeted(&mut self, reply: &Reply) {
        let reply = reply::greeting(reply);
        if reply.is_permanent() {
            self.misbehaved();
        }
        self.log_not_greeted(&reply);
        self.greet_with(&reply);
    }

    /// Asks about what the relay itself lets through.
    ///
    /// # Errors
    /// What the client is told if a filter does not.
    pub(crate) async fn ask_filters(&mut self, question: &Question) -> Result<(), Reply> {
        match question {
            Question::Client(_) => {
                // What was said of the proxy is not said of the client.
                let filters = self.filtered();
                self.filters = None;
                match filters {
                    Some(filters) => self.ask_about_client(filters).await,
                    None => Ok(()),
                }
            }
            Question::Mail { sender, octets_declared } => {
                self.ask_about_helo().await?;
                let size = octets_declared.map(|octets| format!("SIZE={octets}").into());
                let parameters = size.into_iter().collect();
                let sender: ReversePath = sender.clone();
                let Some(filters) = &mut self.filters else { return Ok(()) };
                let verdict = filters.session.mail(sender, parameters).await;
                self.answered(verdict.action, &verdict.notes)
            }
            Question::Recipient { address } => {
                let recipient = instead::recipient(self.transaction.instead(), address).clone();
                let Some(filters) = &mut self.filters else { return Ok(()) };
                let verdict = filters.session.rcpt(recipient.into()).await;
                self.answered(verdict.action, &verdict.notes)
            }
            Question::Content => {
                if let Some(filters) = &mut self.filters {
                    filters.session.facts_mut().message = self.transaction.id();
                }
                Ok(())
            }
        }
    }

    /// Asks about what the client calls itself, if that is news: at MAIL, since a client that goes no further harms nobody.
    async fn ask_about_helo(&mut self) -> Result<(), Reply> {
        let helo: Box<str> = self.session.helo_at_mail().unwrap_or_default().into();
        let login = self.client.identity.as_ref().map(|identity| Login {
            account: identity.account.clone(),
            mechanism: identity.mechanism.to_string().into(),
        });
        let Some(filters) = &mut self.filters else { return Ok(()) };
        let facts = filters.session.facts_mut();
        facts.tls.clone_from(&self.client.tls);
        facts.login = login;
        facts.message = None;
        let told = Some((helo, self.client.tls.is_some()));
        if filters.helo == told {
            return Ok(());
        }
        let verdict = filters.session.helo(told.as_ref().map_or("", |(helo, _)| helo)).await;
        let is_refused = matches!(verdict.action, Action::Refuse(_));
        // One who is refused is asked about again.
        filters.helo = told.filter(|_| !is_refused);
        self.answered(verdict.action, &verdict.notes)
    }

    /// Tells what was said; of a message that is to be forgotten nothing is heard before its end.
    fn answered(&self, action: Action, notes: &[Note]) -> Result<(), Reply> {
        // Once for a transaction, as all refusals are told.
        let is_told = self.transaction.is_refusal_told && matches!(action, Action::Refuse(_));
        for note in notes.iter().filter(|_| !is_told) {
            tracing::info!(
                session = %self.client.session,
                listener = %self.reception.config.name,
                client = %self.client.address,
                message = self.transaction.id().map(tracing::field::display),
                filter = %note.filter,
                stage = note.stage.name(),
                words = %Plain(&note.words),
                "filter answered"
            );
        }
        match action {
            Action::Refuse(reply) => Err(reply),
            Action::Continue | Action::Discard => Ok(()),
        }
    }

    /// Decides about a message whose content is there by the settings of now, which may change while others are asked; none if
    /// it is to be forgotten.
    ///
    /// # Errors
    /// What the client is told if the message is not taken.
    pub(crate) async fn decide_now(
        &mut self,
        received: &mut server::Transaction,
        (seen, spf): (Option<Box<Seen>>, Option<SpfFinding>),
        generation: Option<u64>,
    ) -> Result<Option<Decided>, Reply> {
        let kept = Kept::of(seen.as_deref());
        self.may_be_decided(generation, kept)?;
        if seen.is_none() && self.filters.is_none() {
            return Ok(Some(Decided::plain(received)));
        }
        let decided = self.ask_all(received, (seen, spf)).await?;
        if decided.is_some() {
            self.may_be_decided(generation, kept)?;
        }
        Ok(decided)
    }

    /// Asks mail authentication, filters, then policy, about a message whose content is there; none if it is to be forgotten.
    ///
    /// # Errors
    /// What the client is told if the message is not taken.
    async fn ask_all(
        &mut self,
        received: &mut server::Transaction,
        (seen, spf): (Option<Box<Seen>>, Option<SpfFinding>),
    ) -> Result<Option<Decided>, Reply> {
        let mut content = match self.looked_at(received, seen) {
            Ok(content) => content,
            Err(reply) => {
                if let Some(filters) = &mut self.filters {
                    filters.session.abort();
                }
                return Err(reply);
            }
        };
        // Each sees the header as those before it left it.
        let found = match &mut content {
            Some(content) => self.find_out(received, (content, spf)).await?,
            None => FoundOut::default(),
        };
        let octets = received.octets;
        let Some(said) = self.ask_about_content(octets, content.as_mut()).await? else {
            return Ok(None);
        };
        let left_out = self.change_envelope(received, &said.changes);
        if received.recipients.is_empty() {
            // To forget it is for a filter to say; one that names others wants the mail to arrive.
            return if left_out { Err(reply::no_way_for_filter()) } else { Ok(None) };
        }
        let edits = said.edits();
        let mut decided = match &content {
            Some(content) => {
                let header = match edits.as_slice() {
                    [] => Cow::Borrowed(content.header.as_slice()),
                    edits => apply(&content.header, edits).into(),
                };
                let (octets, class) = (content.octets, said.class.as_deref());
                let known = Known { header: &header, octets, class, auth: found.results };
                self.decide(received, &known).await?
            }
            None => Decided::plain(received),
        };
        let edits: Vec<_> =
            found.edits.into_iter().chain(edits.into_iter().map(behind_trace)).collect();
        if !edits.is_empty() || said.class.is_some() || said.hold.is_some() {
            let directions = decided.directions.get_or_insert_default();
            let later = std::mem::take(&mut directions.edits);
            directions.edits = edits.into_iter().chain(later).collect();
            directions.class = directions.class.take().or(said.class.map(Into::into));
            directions.held = directions.held.take().or(said.hold.map(Into::into));
        }
        Ok(Some(decided))
    }

    /// What was kept of the content, if its From may stand there: who writes what it may not is not worth a question to
    /// anybody else.
    fn looked_at(
        &mut self,
        received: &server::Transaction,
        seen: Option<Box<Seen>>,
    ) -> Result<Option<Finished>, Reply> {
        let content = seen.map(|seen| seen.finish()).transpose();
        let Some(content) = content.map_err(|_| reply::memory_full())? else { return Ok(None) };
        let policy = self.reception.policy.load();
        let connector = self.client.connector.as_deref().unwrap_or_default();
        let looked = policy.admission.may_be_from(connector, &received.sender, &content.header);
        drop(policy);
        match looked {
            Ok(()) => Ok(Some(content)),
            Err(denied) => {
                self.transaction.found_mut().reason = Some(denied.reason().into());
                Err(denied.reply().clone())
            }
        }
    }

    /// What filters say of the content; none if the message is to be forgotten.
    async fn ask_about_content(
        &mut self,
        octets: u64,
        content: Option<&mut Finished>,
    ) -> Result<Option<ContentVerdict>, Reply> {
        let Some(filters) = &mut self.filters else { return Ok(Some(ContentVerdict::default())) };
        let content = match content {
            Some(content) if content.octets_unseen == 0 => {
                let header = [&content.header, &b"\r\n"[..]].concat();
                let body = std::mem::take(&mut content.body);
                Content::new(std::iter::once(header.into()).chain(body).collect())
            }
            _ => Content::unseen(octets),
        };
        let mut verdict = filters.session.content(content).await;
        let action = std::mem::take(&mut verdict.action);
        let is_discarded = action == Action::Discard;
        self.answered(action, &verdict.notes)?;
        Ok((!is_discarded).then_some(verdict))
    }

    /// Changes sender and recipients as filters want it. A new recipient that no connector leads to is left out; says
    /// whether one was.
    fn change_envelope(&self, received: &mut server::Transaction, changes: &[Change]) -> bool {
        let (policy, mut left_out) = (self.reception.policy.load(), false);
        for change in changes {
            match change {
                Change::Header(_) => {}
                Change::Sender(sender) => received.sender = sender.clone(),
                Change::RemoveRecipient(address) => {
                    received.recipients.retain(|it| it.address != *address);
                }
                Change::AddRecipient(address) if policy.router.may_route(address).is_err() => {
                    left_out = true;
                    tracing::warn!(
                        session = %self.client.session,
                        recipient = %address,
                        "recipient of a filter left out: no connector leads there"
                    );
                }
                Change::AddRecipient(address) => {
                    if received.recipients.iter().all(|it| it.address != *address) {
                        received.recipients.push(Recipient::from(address.clone()));
                    }
                }
            }
        }
        left_out
    }

    /// Answers as if the message were taken, and forgets it.
    pub(crate) fn discard(&mut self, id: Option<MessageId>, received: &server::Transaction) {
        let now = self.reception.clock.now();
        let Some(id) = id else { return self.session.not_stored(reply::spool_slow(), now) };
        self.reception.metrics.discarded();
        tracing::info!(
            session = %self.client.session,
            message = %id,
            listener = %self.reception.config.name,
            client = %self.client.address,
            sender = %received.sender,
            recipients = received.recipients.len(),
            octets = received.octets,
            "message discarded"
        );
        self.session.discarded(id, now);
    }
}

/// A change that counts fields as filters see them, for the header with the relay's own trace field.
fn behind_trace(edit: Edit) -> Edit {
    let is_trace = |name: &mail::header::FieldName| name.as_str().eq_ignore_ascii_case("received");
    let one_more = |which| match which {
        Which::FromTop(number) if number > 0 => Which::FromTop(number.saturating_add(1)),
        which => which,
    };
    match edit {
        Edit::Add { name, value, at: Place::Behind(fields) } => {
            Edit::Add { name, value, at: Place::Behind(fields.saturating_add(1)) }
        }
        Edit::Set { name, which, value } if is_trace(&name) => {
            Edit::Set { name, which: one_more(which), value }
        }
        Edit::Remove { name, which } if is_trace(&name) => {
            Edit::Remove { name, which: one_more(which) }
        }
        edit => edit,
    }
}
