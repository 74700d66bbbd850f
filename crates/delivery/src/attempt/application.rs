//! An attempt whose next hop is an application.

use std::collections::HashMap;
use std::sync::Arc;

use mail::{Address, EnhancedStatus, Envelope, Fate, Outcome, Peer, Reply, ThreadName};
use spool::ReadError;

use super::{Finished, Sending};
use crate::application::{self, Answer, Application, Handed, Said, Verdict};
use crate::dial::stopping;
use crate::words::{NO_ROUTE, OUR_SIDE, later, never};

/// There is no such mailbox (RFC 3463 §3.2).
const NO_MAILBOX: EnhancedStatus = EnhancedStatus::new(5, 1, 1);

impl Sending<'_> {
    /// Hands the message to the connector's application, once for each of its recipients there, since each may belong to
    /// a thread of its own.
    pub(super) async fn hand_over(&mut self) -> Finished {
        let Some(application) = self.shared.applications.of(&self.connector.name) else {
            let reply = later(NO_ROUTE, "the application is not there; reload the settings");
            return self.finish(Outcome::Unreachable { reply, peer: None });
        };
        let start = self.shared.clock.now();
        let handed = self.hand_over_to(&application).await;
        self.transmit_wait += self.since(start);
        match handed {
            Ok(None) => self.finish_answered(),
            Ok(Some(Left::Unreachable(reply))) if self.is_first() => {
                self.finish(Outcome::Unreachable { reply, peer: None })
            }
            Ok(Some(Left::Stopping)) if self.is_first() => Finished { end: None, connection: None },
            Err(error) if self.is_first() => {
                let outcome = self.unreadable(&error);
                self.finish(outcome)
            }
            // What was answered before counts.
            Ok(Some(left)) => {
                let reply = match left {
                    Left::Unreachable(reply) => reply,
                    Left::Stopping => stopping(),
                };
                self.answer_rest(Fate::Deferred, &reply, None);
                self.finish_answered()
            }
            Err(error) => {
                self.answer_rest(Fate::Deferred, &later(OUR_SIDE, error.to_string()), None);
                self.finish_answered()
            }
        }
    }

    /// Whether nobody has had an answer yet.
    fn is_first(&self) -> bool {
        self.outcomes.is_empty() && !self.is_further
    }

    /// Hands it over once for each thread; gives back why the rest of the recipients is left, if it is.
    async fn hand_over_to(&mut self, application: &Application) -> Result<Option<Left>, ReadError> {
        self.message.ready_head().await?;
        let beginning = self.message.leaving().beginning().await?;
        let places: Vec<_> = std::mem::take(&mut self.batches).into_iter().flatten().collect();
        self.batches = places.iter().map(|place| vec![*place]).collect();
        let mut known: HashMap<String, (Fate, Reply, Option<Arc<Peer>>)> = HashMap::new();
        // Who has the message, or gets a copy of it.
        let recipients = self.message.stored.envelope.recipients.iter();
        let mut have: Vec<_> = recipients.map(|recipient| recipient.address.clone()).collect();
        for place in places {
            if self.shared.is_stopping() {
                return Ok(Some(Left::Stopping));
            }
            let Some(to) = self.recipient(place) else { continue };
            let thread = match self.shared.return_paths.thread(&to) {
                Ok(thread) => thread.and_then(|thread| thread.name),
                // It was one of ours when the message was taken: its secret is gone.
                Err(error) => {
                    let reply = never(550, NO_MAILBOX, error.to_string());
                    self.batches.pop_front();
                    self.note(place, Fate::Failed, &reply, None);
                    continue;
                }
            };
            // Hosts may change the case: who writes to one thread by two spellings means it once.
            let key =
                thread.as_ref().map_or_else(|| to.as_str().to_lowercase(), ThreadName::to_string);
            let mut copy = None;
            if !known.contains_key(&key) {
                let header = beginning.fields();
                let Said { verdict, peer } =
                    self.ask(application, (&to, thread.as_ref()), header).await?;
                let (fate, reply) = match verdict {
                    Verdict::Unreachable(reply) => return Ok(Some(Left::Unreachable(reply))),
                    Verdict::Later(reply) => (Fate::Deferred, reply),
                    Verdict::Never(reply) => (Fate::Failed, reply),
                    Verdict::Taken(reply, answer) => {
                        copy = answer
                            .and_then(|answer| {
                                self.copy(application, (thread, header), (answer, &have))
                            })
                            .unwrap_or_else(|words| self.not_understood(&words));
                        (Fate::Delivered, reply)
                    }
                };
                known.insert(key.clone(), (fate, reply, peer));
            }
            let Some((fate, reply, peer)) = known.get(&key).cloned() else { continue };
            self.batches.pop_front();
            self.note(place, fate, &reply, peer);
            if let Some(copy) = copy {
                have.extend(copy.recipients.iter().map(|recipient| recipient.address.clone()));
                self.tell_taken(Some(copy)).await;
            }
        }
        Ok(None)
    }

    fn recipient(&self, place: usize) -> Option<Address> {
        self.message.stored.envelope.recipients.get(place).map(|it| it.address.clone())
    }

    /// Hands it over for one recipient.
    async fn ask(
        &self,
        application: &Application,
        (recipient, thread): (&Address, Option<&ThreadName>),
        header: &[u8],
    ) -> Result<Said, ReadError> {
        let envelope = &*self.message.stored.envelope;
        let handed = Handed {
            message: self.attempt.id,
            thread,
            sender: &envelope.sender,
            recipient,
            automatic: self.automatic(application, header),
            requires_tls: envelope.wishes.requires_tls,
            tries: self.attempt.tries,
            content: self.message.leaving(),
        };
        application.ask(&handed).await
    }

    /// Why it goes to no follower, if a program wrote it.
    fn automatic(&self, application: &Application, header: &[u8]) -> Option<&'static str> {
        let sender = &self.message.stored.envelope.sender;
        policy::automatic(header, sender, &application.address, |it| self.is_application(it))
    }

    /// Whether an address is one of an application of ours, or pretends to be.
    fn is_application(&self, address: &Address) -> bool {
        self.shared.return_paths.thread(address) != Ok(None)
    }

    /// The copy for followers, if there is to be one.
    ///
    /// # Errors
    /// What is wrong with the answer.
    fn copy(
        &self,
        application: &Application,
        (thread, header): (Option<ThreadName>, &[u8]),
        (answer, have): (Answer, &[Address]),
    ) -> Result<Option<Box<Envelope>>, String> {
        let envelope = &*self.message.stored.envelope;
        let is_application = |address: &Address| self.is_application(address);
        let (named, has) = (&answer.followers, have.iter());
        let followers = policy::followers(header, &envelope.sender, named, has, is_application);
        if followers.is_empty() {
            return Ok(None);
        }
        let connector = self.attempt.destination.connector();
        if let Some(why) = self.automatic(application, header) {
            tracing::info!(message = %self.attempt.id, connector, why, "no copy for followers");
            return Ok(None);
        }
        let name = thread.or(answer.thread).ok_or(
            "it names followers for a message that belongs to no thread, and no \"thread\" that this begins",
        )?;
        let thread = self.shared.return_paths.thread_address(connector, &name);
        let thread =
            thread.ok_or_else(|| format!("there is no reply address for the thread {name}"))?;
        let edits = policy::copy_edits(header, &thread, &application.address);
        Ok(Some(Box::new(application::copy(envelope, followers, thread, edits))))
    }

    /// The message was taken all the same.
    fn not_understood(&self, words: &str) -> Option<Box<Envelope>> {
        let connector = self.attempt.destination.connector();
        tracing::warn!(message = %self.attempt.id, connector, words, "answer of the application passed over");
        None
    }
}

/// Why recipients are left.
enum Left {
    /// Nobody is there.
    Unreachable(Reply),
    /// The relay stops.
    Stopping,
}
