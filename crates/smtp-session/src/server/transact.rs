//! MAIL, RCPT, DATA and BDAT: how a transaction grows until its content comes.

use mail::{Address, BodyType, Recipient, ReversePath};
use smtp_codec::{Extension, ParamError, Params, RcptParam};

use crate::server::bad_param::BadParam;
use crate::server::held::{Asked, Chunk, Refused};
use crate::server::mail_params::MailParams;
use crate::server::replies::{self, Line, Refusal};
use crate::server::state::{Next, State};
use crate::server::step::{Question, Reason, Step, Transaction};
use crate::server::talk::Talk;

impl State {
    pub(super) fn mail(self, sender: ReversePath, params: Params<'_>, talk: &mut Talk) -> Next {
        let hello = match self {
            Self::Idle(hello) => hello,
            Self::Fresh => return Self::Fresh.answer(replies::HELLO_FIRST, talk),
            Self::Chunks(_) => return self.answer(replies::CHUNKS_OPEN, talk),
            _ => return self.answer(replies::TRANSACTION_OPEN, talk),
        };
        let params = match MailParams::read(params, talk) {
            Ok(params) => params,
            Err(bad) => {
                talk.say_bad_param(bad);
                return (hello.into(), None);
            }
        };
        if !params.needs_smtputf8 && sender.address().is_some_and(|address| !address.is_ascii()) {
            return Self::Idle(hello).answer(replies::NEEDS_SMTPUTF8, talk);
        }
        if params.octets_declared.is_some_and(|octets| octets > talk.settings.message_octets_max) {
            talk.say_refusal(Refusal::TooBig);
            return (hello.into(), None);
        }
        if !talk.begin_transaction() {
            talk.say_farewell(Reason::Transactions);
            return (Self::Closing(Reason::Transactions), None);
        }
        let question =
            Question::Mail { sender: sender.clone(), octets_declared: params.octets_declared };
        let transaction = Box::new(Transaction {
            helo: hello.name,
            is_esmtp: hello.is_esmtp,
            sender,
            recipients: Vec::new(),
            body_type: params.body_type,
            needs_smtputf8: params.needs_smtputf8,
            wishes: params.wishes,
            octets_declared: params.octets_declared,
            octets: 0,
        });
        (Self::Asked(Asked::Mail(transaction)), Some(Step::Ask(question)))
    }

    pub(super) fn rcpt(self, address: Address, params: Params<'_>, talk: &mut Talk) -> Next {
        let transaction = match self {
            Self::Sender(transaction, _) | Self::Recipients(transaction) => transaction,
            Self::Chunks(_) => return self.answer(replies::CHUNKS_OPEN, talk),
            Self::Fresh => return self.answer(replies::HELLO_FIRST, talk),
            _ => return self.answer(replies::MAIL_FIRST, talk),
        };
        let (is_ascii, recipient) = match recipient(address, params, talk) {
            Ok(read) => read,
            Err(error) => {
                talk.say_bad_param(error);
                return (Self::with_recipients(transaction, Refused::Some), None);
            }
        };
        let refusal = if !is_ascii && !transaction.needs_smtputf8 {
            Some(replies::NEEDS_SMTPUTF8)
        } else if transaction.recipients.len() >= talk.settings.recipients_max.max(1) {
            Some(replies::TOO_MANY_RECIPIENTS)
        } else {
            None
        };
        if let Some(line) = refusal {
            return Self::with_recipients(transaction, Refused::Some).answer(line, talk);
        }
        let question = Question::Recipient { address: recipient.address.clone() };
        (Self::Asked(Asked::Recipient(transaction, recipient)), Some(Step::Ask(question)))
    }

    /// Where a transaction stands after a RCPT.
    fn with_recipients(transaction: Box<Transaction>, refused: Refused) -> Self {
        if transaction.recipients.is_empty() {
            Self::Sender(transaction, refused)
        } else {
            Self::Recipients(transaction)
        }
    }

    pub(super) fn data(self, talk: &mut Talk) -> Next {
        if let Self::Recipients(transaction) = self {
            if transaction.body_type == BodyType::BinaryMime {
                return Self::Recipients(transaction).answer(replies::BINARY_BY_BDAT, talk);
            }
            return (Self::Asked(Asked::Data(transaction)), Some(Step::Ask(Question::Content)));
        }
        let line = self.content_refusal();
        self.answer(line, talk)
    }

    pub(super) fn bdat(self, chunk: Chunk, talk: &Talk) -> Next {
        if !talk.offered().has(Extension::Chunking) {
            return self.swallow(chunk.octets, replies::NOT_OFFERED);
        }
        match self {
            Self::Recipients(transaction) => {
                (Self::Asked(Asked::Chunk(transaction, chunk)), Some(Step::Ask(Question::Content)))
            }
            Self::Chunks(intake) => (Self::Chunk(intake, chunk), None),
            _ => {
                let line = self.content_refusal();
                self.swallow(chunk.octets, line)
            }
        }
    }

    /// Why content cannot come here.
    const fn content_refusal(&self) -> Line {
        match self {
            Self::Fresh => replies::HELLO_FIRST,
            Self::Sender(_, Refused::None) => replies::RECIPIENT_FIRST,
            Self::Sender(_, Refused::Some) => replies::NO_RECIPIENTS,
            Self::Chunks(_) => replies::CHUNKS_OPEN,
            _ => replies::MAIL_FIRST,
        }
    }
}

/// What RCPT says, and whether it does so in ASCII.
fn recipient(
    address: Address,
    params: Params<'_>,
    talk: &Talk,
) -> Result<(bool, Recipient), BadParam> {
    let mut is_ascii = address.is_ascii();
    let mut recipient = Recipient::from(address);
    if !params.is_empty() {
        is_ascii &= params.iter().all(|param| param.value.is_none_or(str::is_ascii));
        for param in params.rcpt(talk.offered()) {
            let param = param.map_err(|error| {
                BadParam::before_login(error, || {
                    params.rcpt(talk.announced()).all(|it| it != Err(ParamError::Unknown))
                })
            });
            match param? {
                RcptParam::Notify(notify) => recipient.notify = Some(notify),
                RcptParam::Original(original) => recipient.original = Some(original),
            }
        }
    }
    Ok((is_ascii, recipient))
}
