//! One login at a server, from AUTH to its reply.

use std::fmt;
use std::sync::Arc;

use mail::Reply;
use parking_lot::Mutex;
use policy::config::Mechanism;
use zeroize::Zeroizing;

use crate::client::error::ClientError;
use crate::client::login::{Facts, Login, Proof, Rounds};
use crate::rsasl_sides::{ClientAnswers, ClientSide, Learnt};
use crate::scram::ScramHash;
use crate::scram::message::{is_server_final, server_first};
use crate::secret::Secret;
use crate::text::{decoded, encoded, shown};

/// The line that ends a login that cannot go on.
pub const CANCEL: &str = "*";
/// Longest command without its CRLF (RFC 5321 §4.5.3.1.4); what does not fit goes in a line of its own (RFC 4954 §4).
const COMMAND_OCTETS_MAX: usize = 510;
/// So many letters of what was sent, in a reply, are no accident.
const ECHO_OCTETS: usize = 8;
/// Fewer rounds would help a server that is after the password, more would keep us busy.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;
/// What a server says of a wrong password or token (RFC 4954 §6); other refusals say nothing of it.
const WRONG_PROOF: u16 = 535;
/// How a client of OAUTHBEARER acknowledges a refusal (RFC 7628 §3.2.3); rsasl sends nothing.
const ACKNOWLEDGED: &[u8] = &[1];

/// A login under way; does no input or output of its own but for a token's sake.
pub struct Exchange {
    login: Arc<Login>,
    mechanism: Mechanism,
    /// None once it has refused a message: rsasl then takes no other.
    side: Option<ClientSide>,
    learnt: Arc<Mutex<Learnt>>,
    /// The first message, if it did not go with AUTH.
    held: Option<Zeroizing<Vec<u8>>>,
    sent: Vec<Zeroizing<String>>,
    /// The secret as it is, which some servers repeat too.
    proof: Secret,
    turns: u8,
    is_server_proven: bool,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Exchange({})", self.mechanism)
    }
}

impl Exchange {
    /// Chooses a mechanism and gets the token, if there is one to get. `offered` is what stands behind AUTH in EHLO.
    pub async fn begin(
        login: &Arc<Login>,
        offered: &str,
        facts: Facts,
    ) -> Result<Self, ClientError> {
        let mechanism = login.choose(offered, &facts)?;
        let proof = match &login.proof {
            Proof::Password(password) => password.clone(),
            Proof::Token(source) => source.token().await.map_err(ClientError::Token)?,
            Proof::Certificate => Secret::default(),
        };
        let learnt = Arc::<Mutex<Learnt>>::default();
        let names = |name: Mechanism| {
            offered.split_ascii_whitespace().any(|it| name.name().eq_ignore_ascii_case(it))
        };
        let is_plus = mechanism == Mechanism::ScramSha256Plus;
        // OAUTHBEARER and EXTERNAL have no other place for the user.
        let user = Some(login.user.clone()).filter(|user| !user.is_empty());
        let authorization = match mechanism {
            Mechanism::OAuthBearer | Mechanism::External => login.act_for.clone().or(user),
            _ => login.act_for.clone(),
        };
        let escaped = |name: String| name.replace('=', "=3D").replace(',', "=2C");
        let answers = ClientAnswers {
            name: login.user.clone(),
            authorization: authorization
                .map(|it| if mechanism == Mechanism::OAuthBearer { escaped(it) } else { it }),
            proof: proof.clone(),
            binding: facts.bindings.preferred().filter(|_| is_plus),
            would_bind: mechanism == Mechanism::ScramSha256
                && facts.bindings.is_some()
                && !names(Mechanism::ScramSha256Plus),
            learnt: Arc::clone(&learnt),
        };
        let side = ClientSide::start(mechanism, answers, facts.bindings);
        let side = Some(side.map_err(|_| ClientError::Internal)?);
        let login = Arc::clone(login);
        let (held, sent) = (None, Vec::new());
        Ok(Self {
            login,
            mechanism,
            side,
            learnt,
            held,
            sent,
            proof,
            turns: 0,
            is_server_proven: false,
        })
    }

    /// The one that was chosen.
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The command to send first, without its line end.
    pub fn command(&mut self) -> Result<Zeroizing<String>, ClientError> {
        let bare = Zeroizing::new(format!("AUTH {}", self.mechanism));
        if self.mechanism == Mechanism::Login {
            return Ok(bare);
        }
        let message = Zeroizing::new(self.step(None)?);
        let response = if message.is_empty() {
            Zeroizing::new("=".to_owned())
        } else {
            Zeroizing::new(encoded(&message))
        };
        if bare.len() + 1 + response.len() > COMMAND_OCTETS_MAX {
            self.held = Some(message);
            return Ok(bare);
        }
        self.sent.push(response.clone());
        Ok(Zeroizing::new(format!("{} {}", *bare, *response)))
    }

    /// The line that answers a challenge: the text of a `334`. Neither has a line end.
    ///
    /// # Errors
    /// When the login cannot go on: send [`CANCEL`], await the reply, and give up.
    pub async fn answer(&mut self, challenge: &str) -> Result<Zeroizing<String>, ClientError> {
        let malformed = ClientError::Malformed { mechanism: self.mechanism };
        let challenge = decoded(challenge.trim_ascii().as_bytes()).ok_or(malformed)?;
        let message = match self.held.take() {
            Some(held) => held,
            None => Zeroizing::new(self.respond(&challenge).await?),
        };
        let line = Zeroizing::new(encoded(&message));
        self.sent.push(line.clone());
        Ok(line)
    }

    /// Looks at the reply that ends the login: whether we are logged in, and at the right server.
    pub fn finish(self, reply: Reply) -> Result<(), ClientError> {
        if reply.is_success() {
            let is_proven = ScramHash::of(self.mechanism).is_none() || self.is_server_proven;
            return if is_proven {
                Ok(())
            } else {
                Err(ClientError::Impostor { mechanism: self.mechanism })
            };
        }
        if let Proof::Token(source) = &self.login.proof
            && reply.code() == WRONG_PROOF
        {
            source.forget(&self.proof);
        }
        let words = self.learnt.lock().refusal.take().map(|words| shown(&words));
        let (mechanism, reply) = (self.mechanism, self.without_secrets(reply));
        Err(ClientError::Refused { mechanism, reply, words })
    }

    /// The reply; without its words if they repeat what was sent, as some servers do with a line that they do not
    /// understand.
    pub fn without_secrets(&self, reply: Reply) -> Reply {
        let text = reply.text().as_bytes();
        let holds =
            |part: &[u8]| !part.is_empty() && text.windows(part.len()).any(|piece| piece == part);
        let is_echoed = |line: &Zeroizing<String>| {
            line.as_bytes().windows(ECHO_OCTETS.min(line.len().max(1))).any(holds)
        };
        if holds(self.proof.as_bytes()) || self.sent.iter().any(is_echoed) {
            return Reply::new(reply.code(), reply.status(), "(words that repeat the login)");
        }
        reply
    }

    async fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        let mechanism = self.mechanism;
        let malformed = ClientError::Malformed { mechanism };
        self.turns = self.turns.saturating_add(1);
        match (ScramHash::of(mechanism), self.turns) {
            (Some(hash), 1) => {
                self.learn_salted(hash, challenge).await?;
                self.step(Some(challenge))
            }
            (Some(_), 2) if is_server_final(challenge) => {
                let impostor = |_| ClientError::Impostor { mechanism };
                self.step(Some(challenge)).map_err(impostor)?;
                self.is_server_proven = true;
                Ok(Vec::new())
            }
            (None, 1 | 2) if mechanism == Mechanism::Login => self.step(Some(challenge)),
            (None, 1) if mechanism.takes_token() => {
                let mut acknowledged = self.step(Some(challenge))?;
                if acknowledged.is_empty() && mechanism == Mechanism::OAuthBearer {
                    acknowledged.extend_from_slice(ACKNOWLEDGED);
                }
                Ok(acknowledged)
            }
            _ => Err(malformed),
        }
    }

    async fn learn_salted(&self, hash: ScramHash, challenge: &[u8]) -> Result<(), ClientError> {
        let mechanism = self.mechanism;
        let first = server_first(challenge).ok_or(ClientError::Malformed { mechanism })?;
        if !ITERATIONS.contains(&first.iterations.get()) {
            return Err(ClientError::Iterations { mechanism, iterations: first.iterations.get() });
        }
        let is_sha_256 = hash == ScramHash::Sha256;
        let salted = self
            .login
            .salted(Rounds { is_sha_256, salt: first.salt, iterations: first.iterations })
            .await?;
        self.learnt.lock().salted = Some(salted);
        Ok(())
    }

    fn step(&mut self, message: Option<&[u8]>) -> Result<Vec<u8>, ClientError> {
        let malformed = ClientError::Malformed { mechanism: self.mechanism };
        let mut side = self.side.take().ok_or_else(|| malformed.clone())?;
        let turn = side.step(message).map_err(|_| malformed)?;
        self.side = Some(side);
        Ok(turn)
    }
}
