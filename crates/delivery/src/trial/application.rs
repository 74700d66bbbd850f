//! An application is tried: whether anybody is there. It is handed nothing, since it would keep it.

use super::{Walk, words};
use crate::application::Seen;
use crate::trail::{Step, Verdict};

impl Walk<'_> {
    /// Looks at the connector's application.
    pub(super) async fn application(&self) {
        let Some(application) = self.applications.of(&self.connector.name) else {
            return self.fail(Step::APPLICATION, "it is not there", words::APPLICATION);
        };
        self.trail.at(application.to_string());
        if self.trial.probe {
            let words = "nothing is handed to an application, which would keep it";
            self.trail.note("probe", Verdict::Skipped, words);
        }
        match application.look(self.connector.timeouts.connect.as_duration()).await {
            Seen::Ready(words) => self.trail.note(Step::APPLICATION, Verdict::Pass, &words),
            Seen::Odd(words) => {
                let advice = Some(words::APPLICATION);
                self.trail.advise(Step::APPLICATION, Verdict::Warn, (&words, advice));
            }
            Seen::Unable(words) => self.fail(Step::APPLICATION, &words, words::APPLICATION),
        }
    }
}
