//! One session as its filters see it.

use std::sync::Arc;

use mail::ReversePath;
use mail::header::{Edit, apply};

use crate::answer::{Answer, Decision};
use crate::config::Stage;
use crate::facts::{Content, Facts, Recipient};
use crate::filter::{Filter, Health};
use crate::milter::Dialogue;
use crate::question::{Question, Transaction};
use crate::verdict::{Action, Change, ContentVerdict, Note, Verdict};

/// The filters of one session, each with what it has been told.
///
/// Every question may be dropped before it is answered: whatever was under way is forgotten, and nothing of it reaches a later
/// one. Ask after the relay's own checks, so that filters do not hear of what is refused anyway.
#[derive(Debug)]
pub struct Session {
    facts: Facts,
    transaction: Option<Transaction>,
    /// Whether the message of the transaction is to be forgotten.
    is_discarded: bool,
    seats: Vec<Seat>,
}

/// One filter in a session.
#[derive(Debug)]
struct Seat {
    filter: Arc<Filter>,
    dialogue: Option<Box<Dialogue>>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Asked,
    /// It has seen enough of the transaction, or failed in it.
    PassesTransaction,
    /// It has seen enough of the session.
    PassesSession,
}

impl Session {
    pub(crate) fn new(filters: Vec<Arc<Filter>>, facts: Facts) -> Self {
        let seat = |filter| Seat { filter, dialogue: None, standing: Standing::Asked };
        Self {
            facts,
            transaction: None,
            is_discarded: false,
            seats: filters.into_iter().map(seat).collect(),
        }
    }

    /// What filters are told of the session, to fill in what has been learnt since: TLS, a login, the message's id.
    pub const fn facts_mut(&mut self) -> &mut Facts {
        &mut self.facts
    }

    /// Asks about the client.
    pub async fn connect(&mut self) -> Verdict {
        self.ask(Stage::Connect, None).await
    }

    /// Asks about what the client calls itself; ends a transaction, as EHLO does (RFC 5321 §4.1.4).
    pub async fn helo(&mut self, name: &str) -> Verdict {
        self.abort();
        self.facts.helo = name.into();
        self.ask(Stage::Helo, None).await
    }

    /// Asks about a sender, with MAIL's parameters such as `SIZE=1000`, and begins a transaction.
    pub async fn mail(&mut self, sender: ReversePath, parameters: Box<[Box<str>]>) -> Verdict {
        self.abort();
        self.transaction = Some(Transaction { sender, parameters, recipients: Vec::new() });
        let verdict = self.ask(Stage::Mail, None).await;
        if matches!(verdict.action, Action::Refuse(_)) {
            self.abort();
        }
        verdict
    }

    /// Asks about a recipient; one that is not refused belongs to the transaction.
    pub async fn rcpt(&mut self, recipient: Recipient) -> Verdict {
        let verdict = self.ask(Stage::Rcpt, Some(&recipient)).await;
        if let Some(transaction) = &mut self.transaction
            && !matches!(verdict.action, Action::Refuse(_))
        {
            transaction.recipients.push(recipient);
        }
        verdict
    }

    /// The largest content that a filter wants to see; none if none is asked. Larger ones may be handed over as
    /// [`Content::unseen`].
    pub fn content_octets_max(&self) -> Option<u64> {
        let asked = self.seats.iter().filter(|seat| seat.is_asked(Stage::Data));
        asked.map(|seat| seat.filter.config.content_octets_max.as_octets()).max()
    }

    /// Asks about the message, and ends the transaction.
    pub async fn content(&mut self, content: Content) -> ContentVerdict {
        let verdict = self.ask_content(Stage::Data, content).await;
        self.abort();
        verdict
    }

    /// Ends the transaction without a message: RSET, a message that was refused by others, a content that broke off.
    pub fn abort(&mut self) {
        self.transaction = None;
        self.is_discarded = false;
        for seat in &mut self.seats {
            seat.end_transaction();
        }
    }

    /// Asks about a message that goes out.
    pub(crate) async fn delivery(
        mut self,
        sender: ReversePath,
        recipients: Vec<Recipient>,
        content: Content,
    ) -> ContentVerdict {
        self.transaction = Some(Transaction { sender, parameters: Box::default(), recipients });
        self.ask_content(Stage::Delivery, content).await
    }

    async fn ask(&mut self, stage: Stage, recipient: Option<&Recipient>) -> Verdict {
        let mut verdict = Verdict::default();
        if self.is_discarded {
            verdict.action = Action::Discard;
            return verdict;
        }
        let (facts, transaction) = (&self.facts, self.transaction.as_ref());
        for seat in self.seats.iter_mut().filter(|seat| seat.is_asked(stage)) {
            let question = Question { stage, facts, transaction, recipient, content: None };
            let answer = seat.ask(&question).await;
            verdict.notes.extend(seat.note(stage, &answer));
            verdict.action = action(answer.decision);
            if verdict.action != Action::Continue {
                break;
            }
        }
        self.is_discarded = verdict.action == Action::Discard;
        verdict
    }

    async fn ask_content(&mut self, stage: Stage, mut content: Content) -> ContentVerdict {
        let mut verdict = ContentVerdict::default();
        if self.is_discarded {
            verdict.action = Action::Discard;
            return verdict;
        }
        let (facts, transaction) = (&self.facts, self.transaction.as_ref());
        for seat in self.seats.iter_mut().filter(|seat| seat.is_asked(stage)) {
            let shown = Some(&content);
            let question = Question { stage, facts, transaction, recipient: None, content: shown };
            let answer = seat.ask(&question).await;
            verdict.notes.extend(seat.note(stage, &answer));
            verdict.action = action(answer.decision);
            if verdict.action != Action::Continue {
                break;
            }
            edit(&mut content, &answer.changes);
            verdict.changes.extend(answer.changes);
            verdict.class = answer.class.or(verdict.class);
            verdict.hold = verdict
                .hold
                .or_else(|| answer.hold.map(|reason| format!("{}: {reason}", seat.filter.name)));
        }
        verdict
    }
}

/// Shows the next filter the header as this one wants it.
fn edit(content: &mut Content, changes: &[Change]) {
    let edits: Vec<Edit> = changes.iter().filter_map(Change::edit).cloned().collect();
    let header = content.header().filter(|_| !edits.is_empty());
    if let Some(changed) = header.map(|header| apply(header, &edits)) {
        content.set_header(changed);
    }
}

fn action(decision: Decision) -> Action {
    match decision {
        Decision::Continue | Decision::Accept => Action::Continue,
        Decision::Refuse(reply) => Action::Refuse(reply),
        Decision::Discard => Action::Discard,
    }
}

impl Seat {
    fn is_asked(&self, stage: Stage) -> bool {
        self.standing == Standing::Asked && self.filter.asks(stage)
    }

    async fn ask(&mut self, question: &Question<'_>) -> Answer {
        let outcome = self.filter.ask(&mut self.dialogue, question).await;
        let is_in_transaction = question.transaction.is_some();
        self.standing = match (&outcome.answer.decision, outcome.health) {
            (Decision::Accept, _) if !is_in_transaction => Standing::PassesSession,
            (Decision::Accept, _) => Standing::PassesTransaction,
            (Decision::Continue, Health::Silent) if is_in_transaction => {
                Standing::PassesTransaction
            }
            _ => Standing::Asked,
        };
        if self.standing == Standing::PassesSession {
            self.dialogue = None;
        }
        outcome.answer
    }

    fn end_transaction(&mut self) {
        if self.standing == Standing::PassesTransaction {
            self.standing = Standing::Asked;
        }
        match &mut self.dialogue {
            Some(dialogue) if self.filter.has_room() => dialogue.abort(),
            Some(dialogue) if dialogue.is_idle() => {}
            dialogue => *dialogue = None,
        }
    }

    /// What it said, unless that is nothing.
    fn note(&self, stage: Stage, answer: &Answer) -> Option<Note> {
        let decided = match &answer.decision {
            Decision::Continue if answer.hold.is_some() => "held".to_owned(),
            Decision::Continue => String::new(),
            Decision::Accept => "accepted".to_owned(),
            Decision::Refuse(reply) => format!("refused with {reply}"),
            Decision::Discard => "discarded".to_owned(),
        };
        let made = match answer.changes.len() {
            0 => String::new(),
            1 => "1 change".to_owned(),
            many => format!("{many} changes"),
        };
        let parts = [decided.as_str(), made.as_str(), answer.words.as_str()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let note = |words| Note { filter: Arc::clone(&self.filter.name), stage, words };
        (!parts.is_empty()).then(|| note(parts.join("; ")))
    }
}
