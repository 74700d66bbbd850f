//! Hooks: a program of the operator's own, asked by JSON over HTTP.

mod post;
mod reply;

use units::Clock;

use crate::answer::Answer;
use crate::config::{Config, Shown};
use crate::error::AskError;
use crate::http;
use crate::poster::{self, Poster, Target};
use crate::question::Question;

/// One hook.
pub(crate) struct Hook {
    filter: String,
    poster: Poster,
    shown: Shown,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Hook({})", self.filter)
    }
}

impl Hook {
    /// What is wrong with the settings: the key, and words. Blocks on files.
    pub(crate) fn new(config: &Config, clock: Clock) -> Result<Self, (&'static str, String)> {
        let target = Target {
            url: &config.address,
            token_file: config.token_file.as_deref(),
            signature_key_file: config.signature_key_file.as_deref(),
            idle_max: usize::from(config.connections_max),
        };
        let poster = Poster::open(&target, clock).map_err(|error| match error.key {
            "url" => ("address", error.words),
            key => (key, error.words),
        })?;
        Ok(Self { filter: config.name.clone(), poster, shown: config.shown })
    }

    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, AskError> {
        let body = post::body(&self.filter, question, self.shown)?;
        let mut request = self.poster.request().header("content-type", "application/json");
        if let Some(mut signature) = self.poster.signature() {
            signature.update(&body);
            request = request.header(poster::SIGNATURE, signature.finish());
        }
        let answer = reply::read(&http::answer(request.body(body)).await?)?;
        let is_early = !question.stage.has_content();
        if is_early
            && (!answer.changes.is_empty() || answer.hold.is_some() || answer.class.is_some())
        {
            return Err(AskError::protocol(
                "it holds, classes or changes a message before its content is there",
            ));
        }
        Ok(answer)
    }
}
