//! One login, from AUTH to its reply.

use std::fmt;
use std::sync::Arc;

use mail::Reply;
use policy::config::Mechanism;

use crate::account::Account;
use crate::config::Offer;
use crate::metrics::Ending;
use crate::rsasl_sides::{Found, ServerAnswers, ServerSide};
use crate::scram::message::{Flag, is_client_final, unescaped};
use crate::secret::Secret;
use crate::server::authenticator::Authenticator;
use crate::server::facts::{Facts, Identity};
use crate::server::refusal::{self, Refusal};
use crate::server::scram::{self, Challenged};
use crate::server::work::{Verdict, Verified, Work};
use crate::text::{decoded, prepared, prepared_password, shown};

/// A longer line belongs to no mechanism (RFC 4954 §4).
const LINE_OCTETS_MAX: usize = 12_288;

/// What to do next.
#[derive(Debug)]
#[must_use = "the client waits"]
pub enum Step {
    /// Send this `334`, whose text may be empty, and give the line that comes back to [`Exchange::answer`].
    Challenge(Reply),
    /// Await this and give its result to [`Exchange::verified`]; until then the client has nothing to say.
    Verify(Work),
    /// Send the reply: the client is logged in. The exchange is over.
    Done {
        /// Who it is.
        identity: Box<Identity>,
        /// `235`.
        reply: Reply,
    },
    /// Send the refusal's reply, log its reason. The exchange is over.
    Refused(Box<Refusal>),
}

/// A login under way; does no input or output itself.
pub struct Exchange {
    authenticator: Arc<Authenticator>,
    facts: Facts,
    mechanism: Option<Mechanism>,
    is_plus_offered: bool,
    state: State,
}

enum State {
    /// Nothing came with AUTH; the client's first message is awaited.
    First,
    /// LOGIN is in its middle.
    Login(ServerSide),
    /// SCRAM: the client is to prove that it knows the password.
    Scram(ServerSide, Challenged),
    /// The driver awaits the verdict.
    Verifying(Claim),
    /// SCRAM: the client looks at our own proof.
    Proven(Arc<Account>, String),
    /// The client has been told why its token is refused, and acknowledges.
    Told(Refusal),
    Over,
}

/// What a client says, while it is checked.
struct Claim {
    /// Prepared; empty if a token names the account.
    name: String,
    authorization: String,
    /// The message that a refused token is answered to.
    message: Secret,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::First => "first",
            State::Login(_) => "login",
            State::Scram(..) => "scram",
            State::Verifying(_) => "verifying",
            State::Proven(..) => "proven",
            State::Told(_) => "told",
            State::Over => "over",
        };
        write!(out, "Exchange({:?}, {state})", self.mechanism)
    }
}

type Outcome = Result<Step, Refusal>;

impl Exchange {
    /// Begins with what stands behind `AUTH`: a mechanism and perhaps a first response.
    pub fn begin(
        authenticator: &Arc<Authenticator>,
        argument: &str,
        offer: &Offer,
        facts: Facts,
    ) -> (Self, Step) {
        let is_plus_offered = authenticator.offers(Mechanism::ScramSha256Plus, offer, &facts);
        let (authenticator, state) = (Arc::clone(authenticator), State::First);
        let mut exchange = Self { authenticator, facts, mechanism: None, is_plus_offered, state };
        let outcome = exchange.start(argument, offer);
        let step = exchange.step(outcome);
        (exchange, step)
    }

    /// Takes the client's answer to a challenge: a line without its line end.
    pub fn answer(&mut self, line: &[u8]) -> Step {
        let outcome = match line {
            b"*" => Err(Refusal::cancelled()),
            line => message(line).and_then(|message| self.take(&message)),
        };
        self.step(outcome)
    }

    /// Takes the result of the [`Work`] that was given out.
    pub fn verified(&mut self, verified: Verified) -> Step {
        let outcome = match std::mem::replace(&mut self.state, State::Over) {
            State::Verifying(claim) => self.judge(verified.0, &claim),
            _ => Err(Refusal::unavailable("a result came that was not asked for")),
        };
        self.step(outcome)
    }

    /// Counts the end, if it is one.
    fn step(&mut self, outcome: Outcome) -> Step {
        let step = outcome.unwrap_or_else(|refusal| Step::Refused(Box::new(refusal)));
        let ending = match &step {
            Step::Challenge(_) | Step::Verify(_) => return step,
            Step::Done { .. } => Ending::Succeeded,
            Step::Refused(refusal) => refusal.ending,
        };
        self.state = State::Over;
        self.authenticator.metrics.login_ended(self.mechanism, ending);
        step
    }

    fn start(&mut self, argument: &str, offer: &Offer) -> Outcome {
        if argument.len() > LINE_OCTETS_MAX {
            return Err(Refusal::too_long());
        }
        let mut words = argument.split(' ').filter(|word| !word.is_empty());
        let (Some(name), response, None) = (words.next(), words.next(), words.next()) else {
            return Err(Refusal::arguments());
        };
        let mechanism = self.chosen(name, offer)?;
        if let Some(ban) = self.authenticator.client_ban(self.facts.client) {
            return Err(Refusal::banned(format!("{} is banned", ban.banned)));
        }
        match response {
            Some("=") => self.take(b""),
            Some(response) => self.take(&message(response.as_bytes())?),
            None if mechanism == Mechanism::Login => {
                Ok(Step::Challenge(refusal::challenge(USER_PROMPT)))
            }
            None => Ok(Step::Challenge(refusal::challenge(b""))),
        }
    }

    /// The mechanism, if the client may use it.
    fn chosen(&mut self, name: &str, offer: &Offer) -> Result<Mechanism, Refusal> {
        let Some(mechanism) = Mechanism::called(name) else {
            return Err(Refusal::not_offered(format!("mechanism `{}` is not known", shown(name))));
        };
        self.mechanism = Some(mechanism);
        if self.authenticator.offers(mechanism, offer, &self.facts) {
            return Ok(mechanism);
        }
        let reason = format!("mechanism {mechanism} is not offered");
        let others = self.authenticator.offered(offer, &self.facts);
        let is_listed = offer.mechanisms.contains(&mechanism);
        Err(match (mechanism.is_plain_text(), self.facts.is_tls || offer.login_without_tls) {
            (true, false) if is_listed => {
                Refusal::needs_tls(format!("mechanism {mechanism} needs TLS"))
            }
            _ if !is_listed && others.iter().any(|other| *other < mechanism) => {
                Refusal::too_weak(reason)
            }
            _ => Refusal::not_offered(reason),
        })
    }

    /// Takes a message of the client.
    fn take(&mut self, message: &[u8]) -> Outcome {
        let lost = || Refusal::unavailable("a message came to a login that is over");
        let mechanism = self.mechanism.ok_or_else(lost)?;
        match (std::mem::replace(&mut self.state, State::Over), mechanism) {
            (State::First, Mechanism::Plain) => self.plain(message),
            (State::First, Mechanism::Login) => self.login_name(message),
            (State::First, Mechanism::External) => self.external(message),
            (State::First, Mechanism::OAuthBearer | Mechanism::XOAuth2) => {
                self.token(mechanism, message)
            }
            (State::First, scram) => self.scram_first(scram, message),
            (State::Login(side), _) => self.login_password(side, message),
            (State::Scram(side, challenged), _) => self.scram_final(side, challenged, message),
            (State::Proven(account, authorization), _) if message.is_empty() => {
                self.admit(&account, &authorization)
            }
            (State::Proven(..), _) => {
                Err(Refusal::malformed("an empty line was awaited at the end of a SCRAM"))
            }
            (State::Told(refusal), _) => Err(refusal),
            (State::Verifying(_) | State::Over, _) => Err(lost()),
        }
    }

    fn plain(&mut self, message: &[u8]) -> Outcome {
        let parts: Vec<_> = message.split(|octet| *octet == 0).collect();
        let is_plain = matches!(parts.as_slice(), [act_for, name, password]
            if std::str::from_utf8(act_for).is_ok() && std::str::from_utf8(name).is_ok() && !name.is_empty() && !password.is_empty());
        if !is_plain {
            return Err(Refusal::malformed(
                "the message of PLAIN is not three parts with NUL between",
            ));
        }
        let turn = self.side(Mechanism::Plain, ServerAnswers::default())?.step(Some(message));
        // What is left can only be a name or a password that no program prepares (RFC 4013), so nobody's.
        let Some(found) = turn.ok().and_then(|turn| turn.found) else {
            return Err(self.wrong(None, "the name or the password holds characters that none has"));
        };
        self.password(found)
    }

    /// LOGIN's first answer. Many clients send it with AUTH, which rsasl does not know, and rsasl's prompts are others
    /// than those that clients look for; so it is told that the prompt has been sent, and its own are dropped.
    fn login_name(&mut self, message: &[u8]) -> Outcome {
        let mut side = self.side(Mechanism::Login, ServerAnswers::default())?;
        let turn = side.step(None).and_then(|_| side.step(Some(message)));
        turn.map_err(|_| Refusal::malformed("the name is not UTF-8"))?;
        self.state = State::Login(side);
        Ok(Step::Challenge(refusal::challenge(PASSWORD_PROMPT)))
    }

    fn login_password(&mut self, mut side: ServerSide, message: &[u8]) -> Outcome {
        let found = side.step(Some(message)).ok().and_then(|turn| turn.found);
        self.password(found.ok_or_else(|| Refusal::malformed("LOGIN ended without a password"))?)
    }

    fn password(&mut self, found: Found) -> Outcome {
        let name = prepared(&found.name).map_err(|error| {
            self.wrong(None, &format!("the name `{}` {error}", shown(&found.name)))
        })?;
        self.not_banned(&name)?;
        let password = Secret::new(prepared_password(found.proof.as_bytes()));
        let authenticator = Arc::clone(&self.authenticator);
        let work = Work::password(authenticator, name.clone(), password);
        self.state = State::Verifying(Claim {
            name,
            authorization: found.authorization,
            message: Secret::default(),
        });
        Ok(Step::Verify(work))
    }

    fn token(&mut self, mechanism: Mechanism, message: &[u8]) -> Outcome {
        let turn = self.side(mechanism, ServerAnswers::default())?.step(Some(message));
        let Some(found) = turn.ok().and_then(|turn| turn.found) else {
            return Err(Refusal::malformed(format!("the message is not one of {mechanism}")));
        };
        // XOAUTH2 calls the name what OAUTHBEARER calls the authorization; RFC 7628 takes `Bearer` in any case.
        let who = match mechanism {
            Mechanism::XOAuth2 => found.name,
            _ => unescaped(&found.authorization).unwrap_or(found.authorization),
        };
        let token = found.proof.as_str();
        let is_bearer = |head: &str| head.eq_ignore_ascii_case("Bearer");
        let bare = token
            .split_once(' ')
            .filter(|(head, _)| is_bearer(head))
            .map_or(token, |(_, rest)| rest.trim());
        let claim = Claim {
            name: prepared(&who).unwrap_or_default(),
            authorization: who,
            message: Secret::new(message),
        };
        self.not_banned(&claim.name)?;
        let work = Work::token(Arc::clone(&self.authenticator), Secret::new(bare));
        self.state = State::Verifying(claim);
        Ok(Step::Verify(work))
    }

    fn external(&mut self, message: &[u8]) -> Outcome {
        let turn = self.side(Mechanism::External, ServerAnswers::default())?.step(Some(message));
        let found = turn.ok().and_then(|turn| turn.found);
        let who = found.ok_or_else(|| Refusal::malformed("the name is not UTF-8"))?.authorization;
        let names = &self.facts.certificate_names;
        let mut accounts = self.authenticator.accounts.book().of_certificate(names);
        accounts.retain(|account| account.acts_for(&who));
        let names = shown(&names.join(", "));
        match accounts.as_slice() {
            [account] => self.admit(account, &who),
            [] => Err(self.wrong(
                None,
                &format!(
                    "no account is for the certificate of {names} acting for `{}`",
                    shown(&who)
                ),
            )),
            _ => Err(self.wrong(
                None,
                &format!(
                    "several accounts are for the certificate of {names}; the client must name one"
                ),
            )),
        }
    }

    fn scram_first(&mut self, mechanism: Mechanism, message: &[u8]) -> Outcome {
        let first = scram::first(mechanism, message)?;
        if first.flag == Flag::Unused && self.is_plus_offered && mechanism == Mechanism::ScramSha256
        {
            let reason = "the client would have bound the login to TLS, but did not see that it can: somebody may be in between";
            return Err(Refusal::wrong(reason));
        }
        let name = prepared(&first.name).map_err(|error| {
            self.wrong(None, &format!("the name `{}` {error}", shown(&first.name)))
        })?;
        self.not_banned(&name)?;
        let (keys, account) = scram::keys(&self.authenticator.accounts.book(), mechanism, &name);
        let mut side =
            self.side(mechanism, ServerAnswers { scram: keys, ..ServerAnswers::default() })?;
        let words = side.step(Some(message)).ok().and_then(|turn| turn.message);
        let unknown =
            || Refusal::wrong("the client bound the login to TLS in a way that is not known here");
        let words = words.ok_or_else(unknown)?;
        self.state =
            State::Scram(side, Challenged { name, authorization: first.authorization, account });
        Ok(Step::Challenge(refusal::challenge(&words)))
    }

    fn scram_final(
        &mut self,
        mut side: ServerSide,
        challenged: Challenged,
        message: &[u8],
    ) -> Outcome {
        let malformed = || Refusal::malformed("the message is not the last one of a SCRAM");
        let turn = if is_client_final(message) { side.step(Some(message)).ok() } else { None };
        let turn = turn.ok_or_else(malformed)?;
        let said = turn.message.unwrap_or_default();
        let account = match (&challenged.account, turn.found) {
            (Ok(account), Some(_)) => Arc::clone(account),
            _ => return Err(self.wrong(Some(&challenged.name), &scram::fault(&challenged, &said))),
        };
        if !account.acts_for(&challenged.authorization) {
            return Err(
                self.wrong(Some(&account.name), &may_not(&account, &challenged.authorization))
            );
        }
        self.state = State::Proven(account, challenged.authorization);
        Ok(Step::Challenge(refusal::challenge(&said)))
    }

    fn judge(&mut self, verdict: Verdict, claim: &Claim) -> Outcome {
        let account = match verdict {
            Verdict::Right(account) => account,
            Verdict::Busy(reason) => return Err(Refusal::busy(reason)),
            Verdict::Unavailable(reason) => return Err(Refusal::unavailable(reason)),
            Verdict::Wrong(reason) => {
                let name = Some(claim.name.as_str()).filter(|name| !name.is_empty());
                let refusal = self.wrong(name, &reason);
                return self.tell(refusal, claim);
            }
        };
        if account.acts_for(&claim.authorization) {
            return self.admit(&account, &claim.authorization);
        }
        let refusal = self.wrong(Some(&account.name), &may_not(&account, &claim.authorization));
        self.tell(refusal, claim)
    }

    /// Refuses; with a token, the client is first told what is wrong with it and acknowledges (RFC 7628 §3.2.3). rsasl
    /// wants to know that while it reads the message, so it reads it once more.
    fn tell(&mut self, refusal: Refusal, claim: &Claim) -> Outcome {
        let Some(mechanism) = self.mechanism.filter(|mechanism| mechanism.takes_token()) else {
            return Err(refusal);
        };
        let scope = self.authenticator.tokens.as_ref().map_or("", |tokens| tokens.scope());
        let answers =
            ServerAnswers { refused_scope: Some(scope.to_owned()), ..ServerAnswers::default() };
        let turn = self.side(mechanism, answers)?.step(Some(claim.message.as_bytes()));
        let Some(words) = turn.ok().and_then(|turn| turn.message) else { return Err(refusal) };
        self.state = State::Told(refusal);
        Ok(Step::Challenge(refusal::challenge(&words)))
    }

    /// Lets the client in.
    fn admit(&self, account: &Account, authorization: &str) -> Outcome {
        let (authenticator, name) = (&self.authenticator, &account.name);
        let mechanism =
            self.mechanism.ok_or_else(|| Refusal::unavailable("a login without a mechanism"))?;
        authenticator.attempts.succeeded(name, self.facts.client, authenticator.clock.now());
        let authorization =
            prepared(authorization).map_or_else(|_| name.clone(), String::into_boxed_str);
        let identity = Identity {
            account: name.clone(),
            authorization,
            mechanism,
            senders: account.senders.clone(),
        };
        Ok(Step::Done { identity: Box::new(identity), reply: refusal::welcome() })
    }

    /// A refusal that counts against the client, and against the account if one was named.
    fn wrong(&self, name: Option<&str>, reason: &str) -> Refusal {
        self.authenticator.failed(name, self.facts.client);
        Refusal::wrong(reason)
    }

    fn not_banned(&self, name: &str) -> Result<(), Refusal> {
        let now = self.authenticator.clock.now();
        match self.authenticator.attempts.ban(name, self.facts.client, now) {
            Some(ban) => Err(Refusal::banned(format!("{} is banned", ban.banned))),
            None => Ok(()),
        }
    }

    fn side(&self, mechanism: Mechanism, answers: ServerAnswers) -> Result<ServerSide, Refusal> {
        let bindings = self.facts.bindings.clone();
        ServerSide::start(mechanism, answers, bindings).map_err(|_| {
            Refusal::unavailable(format!("mechanism {mechanism} could not be started"))
        })
    }
}

/// What clients of LOGIN look for; rsasl's own prompts are less known.
const USER_PROMPT: &[u8] = b"Username:";
const PASSWORD_PROMPT: &[u8] = b"Password:";

fn may_not(account: &Account, who: &str) -> String {
    format!("account `{}` may not act for `{}`", account.name, shown(who))
}

/// The message in a line of base64.
fn message(line: &[u8]) -> Result<Vec<u8>, Refusal> {
    if line.len() > LINE_OCTETS_MAX {
        return Err(Refusal::too_long());
    }
    decoded(line).ok_or_else(Refusal::not_base64)
}
