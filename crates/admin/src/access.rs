//! Who may do what, and the record of what was done.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::Role;
use crate::failure::Failure;
use crate::parts::Parts;
use crate::peer::Peer;
use crate::relay::Relay;
use crate::tokens::Holder;

/// What the log's lines about it are found by.
const AUDIT: &str = "audit";

/// Lets whoever is at the private socket do everything, and records it.
pub(crate) async fn recorded(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let wish = Wish::of(&request);
    let response = next.run(request).await;
    wish.record(&peer.to_string(), &response);
    response
}

/// Lets in over TCP who holds a token, as far as its role goes, and records it (RFC 6750 §2.1, §3).
pub(crate) async fn authorized<R: Relay>(
    State(parts): State<Arc<Parts<R>>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let wish = Wish::of(&request);
    let holder = match bearer(request.headers()) {
        Some(token) => parts.tokens.holder(token).await,
        None => None,
    };
    let Some(Holder { name, role }) = holder else {
        const HINT: &str = "send `Authorization: Bearer` and a token that `[[admin.token]]` knows";
        let mut refused = Failure::Unknown { hint: HINT.to_owned() }.into_response();
        let scheme = HeaderValue::from_static("Bearer");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        tracing::warn!(target: AUDIT, who = %peer, what = %wish.what, result = "refused: unknown", "admin access");
        return refused;
    };
    let who = format!("{name} ({peer})");
    if role == Role::Viewer && wish.changes {
        let refused = Failure::Forbidden { name }.into_response();
        wish.record(&who, &refused);
        return refused;
    }
    let response = next.run(request).await;
    wish.record(&who, &response);
    response
}

fn bearer(headers: &HeaderMap<HeaderValue>) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What the record says besides of the request that a response answers: whose change it is, and of what.
#[derive(Clone, Debug)]
pub(crate) struct Of(pub(crate) String);

/// What a request asks for.
struct Wish {
    what: String,
    changes: bool,
}

impl Wish {
    fn of(request: &Request) -> Self {
        let (method, uri) = (request.method(), request.uri());
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let changes = !matches!(*method, Method::GET | Method::HEAD);
        Self { what: format!("{method} {path}"), changes }
    }

    /// Only changes are recorded, done or refused.
    fn record(&self, who: &str, response: &Response) {
        if !self.changes {
            return;
        }
        let (what, code) = (&self.what, response.status().as_u16());
        let of = response.extensions().get::<Of>().map(|Of(words)| words);
        if response.status().is_success() {
            tracing::info!(target: AUDIT, %who, %what, of, code, result = "done", "admin access");
        } else {
            tracing::warn!(target: AUDIT, %who, %what, of, code, result = "refused", "admin access");
        }
    }
}
