//! Milters: filters that are asked over a connection of their own, by the protocol that Sendmail began.

mod body;
mod command;
mod dialogue;
mod macros;
mod negotiation;
mod packet;
mod reply;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::config::Config;
use crate::error::AskError;
use crate::milter::socket::Address;
use crate::question::Question;

pub(crate) use dialogue::Dialogue;

/// One milter.
#[derive(Debug)]
pub(crate) struct Milter {
    address: Address,
    answer_wait_max: Duration,
    places: Arc<Semaphore>,
    places_max: usize,
}

impl Milter {
    /// What is wrong with the settings, in words.
    pub(crate) fn new(config: &Config) -> Result<Self, &'static str> {
        let address = Address::parse(&config.address)
            .ok_or("is neither `inet:host:port` nor `unix:/path/of/socket`")?;
        let places_max = usize::from(config.connections_max.max(1));
        Ok(Self {
            address,
            answer_wait_max: config.answer_wait_max.as_duration(),
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
        })
    }

    /// Asks over the session's connection, or a new one. While nobody waits for the answer the session has no connection, so one
    /// that was left in the middle of something is never used again.
    pub(crate) async fn ask(
        &self,
        kept: &mut Option<Box<Dialogue>>,
        question: &Question<'_>,
    ) -> Result<Answer, AskError> {
        let (dialogue, answer) = match kept.take() {
            None => self.ask_anew(question).await?,
            Some(mut dialogue) => match dialogue.ask(question).await {
                // It went away while it had nothing to do, which is not to the mail's harm.
                Err(AskError::Broken(_) | AskError::Closed) if !question.stage.has_content() => {
                    drop(dialogue);
                    self.ask_anew(question).await?
                }
                answer => (dialogue, answer?),
            },
        };
        let is_over = question.stage.has_content();
        if !is_over || self.has_room() {
            *kept = Some(dialogue);
        }
        Ok(answer)
    }

    async fn ask_anew(&self, question: &Question<'_>) -> Result<(Box<Dialogue>, Answer), AskError> {
        let mut dialogue = Box::new(self.open().await?);
        let answer = dialogue.ask(question).await?;
        Ok((dialogue, answer))
    }

    /// Whether a session between two messages may keep its connection.
    pub(crate) fn has_room(&self) -> bool {
        self.places.available_permits() >= self.places_max / 2
    }

    async fn open(&self) -> Result<Dialogue, AskError> {
        let place = timeout(self.answer_wait_max, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or(AskError::Busy)?;
        let begin = async {
            let socket = self.address.open().await.map_err(AskError::Connect)?;
            Dialogue::begin(socket, self.answer_wait_max, place).await
        };
        timeout(self.answer_wait_max, begin).await.map_err(|_| AskError::Late)?
    }
}
