//! An attempt whose next hop is an application.

use mail::{Address, Envelope, Fate, Outcome, Reply, ThreadName};
use spool::ReadError;

use super::{Finished, Sending};
use crate::application::{Answer, Application, Handed, Original, Said, Verdict};
use crate::words::{NO_ROUTE, NOT_NOW, OUR_SIDE, later};

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
            Ok(Some(reply)) if self.is_first() => {
                self.finish(Outcome::Unreachable { reply, peer: None })
            }
            Err(error) if self.is_first() => {
                let outcome = self.unreadable(&error);
                self.finish(outcome)
            }
            // What was answered before counts.
            Ok(Some(reply)) => {
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

    /// Gives back why nobody is there, if so; then the rest of the recipients is left.
    async fn hand_over_to(
        &mut self,
        application: &Application,
    ) -> Result<Option<Reply>, ReadError> {
        self.message.ready_head().await?;
        let beginning = self.message.leaving().beginning().await?;
        let places: Vec<_> = std::mem::take(&mut self.batches).into_iter().flatten().collect();
        self.batches = places.iter().map(|place| vec![*place]).collect();
        for place in places {
            let Said { verdict, peer } = self.ask(application, place, beginning.fields()).await?;
            let (fate, reply, copy) = match verdict {
                Verdict::Unreachable(reply) => return Ok(Some(reply)),
                Verdict::Later(reply) => (Fate::Deferred, reply, None),
                Verdict::Never(reply) => (Fate::Failed, reply, None),
                Verdict::Taken(reply, answer) => {
                    match self.copy(application, (place, beginning.fields()), answer) {
                        Ok(copy) => (Fate::Delivered, reply, copy),
                        Err(reply) => (Fate::Deferred, reply, None),
                    }
                }
            };
            self.batches.pop_front();
            self.note(place, fate, &reply, peer);
            if copy.is_some() {
                self.tell_taken(copy).await;
            }
        }
        Ok(None)
    }

    /// Hands it over for one recipient.
    async fn ask(
        &self,
        application: &Application,
        place: usize,
        header: &[u8],
    ) -> Result<Said, ReadError> {
        let envelope = &*self.message.stored.envelope;
        let thread = self.thread(place);
        let nobody =
            || Said { verdict: Verdict::Later(later(OUR_SIDE, "no recipient")), peer: None };
        let Some(recipient) = envelope.recipients.get(place) else { return Ok(nobody()) };
        let handed = Handed {
            message: self.attempt.id,
            thread: thread.as_ref(),
            sender: &envelope.sender,
            recipient: &recipient.address,
            automatic: policy::automatic(header, &envelope.sender, &application.address),
            tries: self.attempt.tries,
            content: self.message.leaving(),
        };
        application.ask(&handed).await
    }

    /// The thread of a recipient. Whoever wrote to it was let in at RCPT; one that is none of ours any more is as none.
    fn thread(&self, place: usize) -> Option<ThreadName> {
        let recipient = self.message.stored.envelope.recipients.get(place)?;
        self.shared.return_paths.thread(&recipient.address).ok()??.name
    }

    /// The copy for followers, if there is to be one.
    fn copy(
        &self,
        application: &Application,
        (place, header): (usize, &[u8]),
        answer: Answer,
    ) -> Result<Option<Box<Envelope>>, Reply> {
        let Answer { followers, thread } = answer;
        let (envelope, connector) =
            (&*self.message.stored.envelope, self.attempt.destination.connector());
        let is_application = |address: &Address| {
            // One that is forged would come back.
            self.shared.return_paths.thread(address) != Ok(None)
        };
        let followers = policy::followers(header, &envelope.sender, &followers, is_application);
        if followers.is_empty() {
            return Ok(None);
        }
        if let Some(why) = policy::automatic(header, &envelope.sender, &application.address) {
            tracing::info!(message = %self.attempt.id, connector, why, "no copy for followers");
            return Ok(None);
        }
        let name = self.thread(place).or(thread).ok_or_else(nameless)?;
        let thread = self.shared.return_paths.thread_address(connector, &name);
        let thread = thread.ok_or_else(|| unaddressed(&name))?;
        let edits = policy::copy_edits(header, &thread, &application.address);
        Ok(Some(Box::new(Original { envelope, connector }.copy(followers, thread, edits))))
    }
}

fn nameless() -> Reply {
    later(
        NOT_NOW,
        "the application names followers for a message that belongs to no thread; let it name the \"thread\" too",
    )
}

fn unaddressed(name: &ThreadName) -> Reply {
    later(OUR_SIDE, format!("there is no reply address for the thread {name}"))
}
