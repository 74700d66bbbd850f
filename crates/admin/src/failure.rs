//! What a request that cannot be served is told.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::view::ErrorBody;

/// Why the relay cannot do what a request asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The request makes no sense as it stands: change it.
    #[error("{error}")]
    Wrong {
        /// What is wrong.
        error: String,
        /// What to do.
        hint: String,
    },
    /// What it names is not there (any more).
    #[error("{error}")]
    Missing {
        /// What is missing.
        error: String,
        /// What to do.
        hint: String,
    },
    /// Nobody knows who asks.
    #[error("this needs a token")]
    Unknown {
        /// What to do.
        hint: String,
    },
    /// The role of who asks does not go so far.
    #[error("the token of {name} may only look")]
    Forbidden {
        /// Whose token it is.
        name: String,
    },
    /// The relay is busy or stopping: try again shortly.
    #[error("{0}")]
    Busy(String),
    /// The relay could not do its own part; its log says more.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    /// Says what is wrong with a request, and what to do.
    pub fn wrong(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Wrong { error: error.into(), hint: hint.into() }
    }

    /// Says what is missing, and what to do.
    pub fn missing(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Missing { error: error.into(), hint: hint.into() }
    }

    const fn code(&self) -> StatusCode {
        match self {
            Self::Wrong { .. } => StatusCode::BAD_REQUEST,
            Self::Missing { .. } => StatusCode::NOT_FOUND,
            Self::Unknown { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What to do.
    pub fn hint(&self) -> &str {
        match self {
            Self::Wrong { hint, .. } | Self::Missing { hint, .. } | Self::Unknown { hint } => hint,
            Self::Forbidden { .. } => "ask with the token of an admin",
            Self::Busy(_) => "try again in a few seconds",
            Self::Broken(_) => "the relay's log says more",
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (error, hint) = (self.to_string(), Some(self.hint().to_owned()));
        (self.code(), Json(ErrorBody { error, hint })).into_response()
    }
}
