//! What MAIL asks for besides the sender.

use std::time::Duration;

use mail::{BodyType, ByMode, Timestamp, Wishes};
use smtp_codec::{By, Extension, Hold, MailParam, ParamError, Params};

use crate::server::bad_param::BadParam;
use crate::server::settings::Offers;
use crate::server::talk::Talk;

/// The parameters of MAIL, as the relay keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MailParams {
    pub(super) octets_declared: Option<u64>,
    pub(super) body_type: BodyType,
    pub(super) needs_smtputf8: bool,
    pub(super) wishes: Wishes,
}

impl MailParams {
    /// Reads the parameters of what is offered now; each may stand once.
    pub(super) fn read(params: Params<'_>, talk: &Talk) -> Result<Self, BadParam> {
        let mut found = Self::default();
        if params.is_empty() {
            return Ok(found);
        }
        let (offered, now) = (talk.offered(), talk.wall_clock());
        for param in params.mail(offered) {
            let param = param.map_err(|error| {
                BadParam::before_login(error, || {
                    params.mail(talk.announced()).all(|it| it != Err(ParamError::Unknown))
                })
            });
            match param? {
                MailParam::Size(octets) => found.octets_declared = Some(octets),
                MailParam::Body(BodyType::BinaryMime) if !offered.has(Extension::BinaryMime) => {
                    return Err(BadParam::BinaryMime);
                }
                MailParam::Body(body_type) => found.body_type = body_type,
                MailParam::SmtpUtf8 => found.needs_smtputf8 = true,
                param => found.wishes.take(param, now)?,
            }
        }
        found.wishes.check(&talk.settings.offers, now)?;
        Ok(found)
    }
}

/// What a session does with wishes.
trait Wish {
    fn take(&mut self, param: MailParam, now: Timestamp) -> Result<(), BadParam>;
    fn check(&self, offers: &Offers, now: Timestamp) -> Result<(), BadParam>;
}

impl Wish for Wishes {
    fn take(&mut self, param: MailParam, now: Timestamp) -> Result<(), BadParam> {
        match param {
            MailParam::Ret(ret) => self.ret = Some(ret),
            MailParam::EnvelopeId(id) => self.envelope_id = Some(id),
            MailParam::Submitter(submitter) => self.submitter = Some(submitter),
            MailParam::RequireTls => self.requires_tls = true,
            MailParam::Priority(priority) => self.priority = Some(priority),
            MailParam::DeliverBy(by) => self.deliver_by = Some(By::from_now(by, now)),
            MailParam::Hold(hold) => {
                let until = match hold {
                    Hold::For(seconds) => now.plus(Duration::from_secs(seconds.into())),
                    Hold::Until(at) => at,
                };
                if self.hold_until.replace(until).is_some() {
                    return Err(BadParam::HoldTwice);
                }
            }
            // These are no wishes.
            MailParam::Size(_) | MailParam::Body(_) | MailParam::SmtpUtf8 => {}
        }
        Ok(())
    }

    fn check(&self, offers: &Offers, now: Timestamp) -> Result<(), BadParam> {
        if self.hold_until.is_some_and(|until| until.since(now) > offers.hold_max) {
            return Err(BadParam::HoldTooLong);
        }
        let starts = self.hold_until.unwrap_or(now).max(now);
        match self.deliver_by {
            Some(by) if by.mode == ByMode::Return => {
                let is_enough = by.at > starts && by.at.since(now) >= offers.deliver_by_min;
                if is_enough { Ok(()) } else { Err(BadParam::ByTooSoon) }
            }
            _ => Ok(()),
        }
    }
}
