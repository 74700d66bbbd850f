//! XCLIENT, by which a proxy says whose session it passes on.

use smtp_codec::Xclient;

use crate::server::held::Asked;
use crate::server::replies;
use crate::server::state::{Next, State};
use crate::server::step::{Question, Step};
use crate::server::talk::Talk;

impl State {
    /// A proxy says whose session it is (Postfix's `XCLIENT_README`).
    pub(super) fn xclient(self, attributes: &str, talk: &mut Talk) -> Next {
        if !talk.offers_xclient() {
            return self.answer(replies::XCLIENT_DENIED, talk);
        }
        let hello = match self {
            Self::Fresh => None,
            Self::Idle(hello) => Some(hello),
            _ => return self.answer(replies::TRANSACTION_OPEN, talk),
        };
        let Some(client) = Xclient::parse(attributes) else {
            let back = hello.map_or(Self::Fresh, Self::Idle);
            return back.answer(replies::XCLIENT_MALFORMED, talk);
        };
        let asked = Asked::Client(hello, client.helo.clone());
        (Self::Asked(asked), Some(Step::Ask(Question::Client(Box::new(client)))))
    }
}
