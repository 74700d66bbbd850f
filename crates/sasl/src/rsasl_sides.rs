//! rsasl's sessions: one mechanism, one exchange, on either side.
//!
//! rsasl asks for what it needs through callbacks that cannot wait. So on the server's side it only takes messages
//! apart: what it finds is handed out as [`Found`] and checked outside.

use std::sync::Arc;

use parking_lot::Mutex;
use policy::config::Mechanism;
use rsasl::callback::{CallbackError, Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechanisms::oauthbearer::properties::{
    OAuthBearerError, OAuthBearerErrored, OAuthBearerValidate,
};
use rsasl::mechanisms::scram::properties::{SaltedPassword, ScramStoredPassword};
use rsasl::mechanisms::xoauth2::properties::{XOAuth2Error, XOAuth2Validate};
use rsasl::mechanisms::{external, login, oauthbearer, plain, scram, xoauth2};
use rsasl::mechname::Mechname;
use rsasl::prelude::{
    Mechanism as Described, Registry, SASLClient, SASLServer, Session, SessionError,
};
use rsasl::property::{AuthId, AuthzId, OAuthBearerToken, OverrideCBType, Password};
use rsasl::validate::{NoValidation, Validate, Validation, ValidationError};

use crate::binding::ChannelBindings;
use crate::scram::ScramKeys;
use crate::secret::Secret;

/// rsasl alone by one mechanism, so that it never falls back to another.
fn registry(mechanism: Mechanism) -> Registry {
    static PLUS: [Described; 1] = [scram::SCRAM_SHA256_PLUS];
    static SHA_256: [Described; 1] = [scram::SCRAM_SHA256];
    static SHA_1: [Described; 1] = [scram::SCRAM_SHA1];
    static EXTERNAL: [Described; 1] = [external::EXTERNAL];
    static BEARER: [Described; 1] = [oauthbearer::OAUTHBEARER];
    static XOAUTH2: [Described; 1] = [xoauth2::XOAUTH2];
    static PLAIN: [Described; 1] = [plain::PLAIN];
    static LOGIN: [Described; 1] = [login::LOGIN];
    Registry::with_mechanisms(match mechanism {
        Mechanism::ScramSha256Plus => &PLUS,
        Mechanism::ScramSha256 => &SHA_256,
        Mechanism::ScramSha1 => &SHA_1,
        Mechanism::External => &EXTERNAL,
        Mechanism::OAuthBearer => &BEARER,
        Mechanism::XOAuth2 => &XOAUTH2,
        Mechanism::Plain => &PLAIN,
        Mechanism::Login => &LOGIN,
    })
}

/// rsasl refused a message, or could not be started. Its own words may repeat parts of secrets and are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// What a server's step led to.
#[derive(Debug)]
pub(crate) struct Turn {
    /// To be sent, if not none.
    pub(crate) message: Option<Vec<u8>>,
    /// What was found, at the end of an exchange.
    pub(crate) found: Option<Found>,
}

/// What a client says of itself.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) authorization: String,
    /// A password or a token.
    pub(crate) proof: Secret,
}

/// Hands out [`Found`].
struct Finding;

impl Validation for Finding {
    type Value = Found;
}

/// What a server's session answers to rsasl.
#[derive(Debug, Default)]
pub(crate) struct ServerAnswers {
    /// The keys of the account that a SCRAM names.
    pub(crate) scram: Option<ScramKeys>,
    /// Set to refuse a token, with the scope to ask for instead.
    pub(crate) refused_scope: Option<String>,
}

impl ServerAnswers {
    /// What XOAUTH2 says to a client whose token is refused, as Google does.
    fn xoauth2_words(scope: &str) -> String {
        serde_json::json!({ "status": "401", "schemes": "bearer", "scope": scope }).to_string()
    }
}

impl SessionCallback for ServerAnswers {
    fn callback(
        &self,
        _: &SessionData,
        _: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if let Some(keys) = &self.scram {
            let kept =
                ScramStoredPassword::new(keys.iterations, &keys.salt, &keys.stored, &keys.server);
            request.satisfy::<ScramStoredPassword<'_>>(&kept)?;
        }
        match &self.refused_scope {
            None => request
                .satisfy::<XOAuth2Validate>(&Ok(()))?
                .satisfy::<OAuthBearerValidate>(&Ok(()))?,
            Some(scope) => {
                let named = Some(scope.as_str()).filter(|scope| !scope.is_empty());
                request
                    .satisfy::<XOAuth2Validate>(&Err(&Self::xoauth2_words(scope)))?
                    .satisfy::<OAuthBearerValidate>(&Err(OAuthBearerError::new(
                    "invalid_token",
                    named,
                    None,
                )))?
            }
        };
        Ok(())
    }

    fn validate(
        &self,
        _: &SessionData,
        found: &Context<'_>,
        out: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let token = || found.get_ref::<OAuthBearerToken>().map(str::as_bytes);
        out.with::<Finding, _>(|| {
            Ok(Found {
                name: text(found.get_ref::<AuthId>()),
                authorization: text(found.get_ref::<AuthzId>()),
                proof: Secret::new(found.get_ref::<Password>().or_else(token).unwrap_or_default()),
            })
        })?;
        Ok(())
    }
}

/// A server's exchange.
pub(crate) struct ServerSide(Session<Finding, ChannelBindings>);

impl ServerSide {
    pub(crate) fn start(
        mechanism: Mechanism,
        answers: ServerAnswers,
        bindings: ChannelBindings,
    ) -> Result<Self, Refused> {
        let config =
            SASLConfig::builder().with_registry(registry(mechanism)).with_callback(answers);
        let server = SASLServer::<Finding, _>::with_cb(config.map_err(|_| Refused)?, bindings);
        let name = Mechname::parse(mechanism.name().as_bytes()).map_err(|_| Refused)?;
        server.start_suggested(name).map(Self).map_err(|_| Refused)
    }

    /// Takes a client's message; none where the server begins. After an error or the end there is no further step.
    pub(crate) fn step(&mut self, message: Option<&[u8]>) -> Result<Turn, Refused> {
        let mut out = Vec::new();
        let state = self.0.step(message, &mut out).map_err(|_| Refused)?;
        let found = if state.is_finished() { self.0.validation() } else { None };
        Ok(Turn { message: state.has_sent_message().then_some(out), found })
    }
}

/// What a client's session answers to rsasl.
#[derive(Debug)]
pub(crate) struct ClientAnswers {
    pub(crate) name: String,
    pub(crate) authorization: Option<String>,
    /// A password or a token.
    pub(crate) proof: Secret,
    /// The binding that SCRAM-…-PLUS uses.
    pub(crate) binding: Option<&'static str>,
    /// Whether a SCRAM without -PLUS says that it would have bound, so that the server sees if somebody took that out.
    pub(crate) would_bind: bool,
    pub(crate) learnt: Arc<Mutex<Learnt>>,
}

/// What is learnt while a client's session goes on.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// The password after the rounds that the server asked for; rsasl would work through them on the spot.
    pub(crate) salted: Option<Secret>,
    /// What the server says of a token that it refuses.
    pub(crate) refusal: Option<String>,
}

impl SessionCallback for ClientAnswers {
    fn callback(
        &self,
        _: &SessionData,
        _: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        request.satisfy::<AuthId>(&self.name)?;
        if let Some(authorization) = &self.authorization {
            request.satisfy::<AuthzId>(authorization)?;
        }
        if let Some(binding) = self.binding {
            request.satisfy::<OverrideCBType>(binding)?;
        }
        if request.is::<SaltedPassword>() {
            let salted = self.learnt.lock().salted.clone().ok_or(CallbackError::NoValue)?;
            request.satisfy::<SaltedPassword>(salted.as_bytes())?;
        }
        if let Some(words) = request.get_action::<XOAuth2Error>() {
            self.learnt.lock().refusal = Some(words.to_owned());
        }
        if let Some(error) = request.get_action::<OAuthBearerErrored>() {
            self.learnt.lock().refusal = Some(error.status.to_owned());
        }
        request
            .satisfy::<Password>(self.proof.as_bytes())?
            .satisfy::<OAuthBearerToken>(self.proof.as_str())?;
        Ok(())
    }

    fn enable_channel_binding(&self) -> bool {
        self.binding.is_some() || self.would_bind
    }
}

/// A client's exchange.
pub(crate) struct ClientSide(Session<NoValidation, ChannelBindings>);

impl ClientSide {
    pub(crate) fn start(
        mechanism: Mechanism,
        answers: ClientAnswers,
        bindings: ChannelBindings,
    ) -> Result<Self, Refused> {
        let config =
            SASLConfig::builder().with_registry(registry(mechanism)).with_callback(answers);
        let client = SASLClient::with_cb(config.map_err(|_| Refused)?, bindings);
        let name = Mechname::parse(mechanism.name().as_bytes()).map_err(|_| Refused)?;
        client.start_suggested_iter([name]).map(Self).map_err(|_| Refused)
    }

    /// Takes a server's message, none where the client begins; gives what is to be sent, which may be empty. After an
    /// error or the end there is no further step.
    pub(crate) fn step(&mut self, message: Option<&[u8]>) -> Result<Vec<u8>, Refused> {
        let mut out = Vec::new();
        let state = self.0.step(message, &mut out).map_err(|_| Refused)?;
        Ok(if state.has_sent_message() { out } else { Vec::new() })
    }
}
