//! Paths and what answers them.

mod connectors;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::access::{authorized, recorded};
use crate::failure::Failure;
use crate::parts::Parts;
use crate::relay::Relay;
use crate::view::{Filter, Selection, Unban};

/// No request is larger: thirty thousand ids fit.
const BODY_OCTETS_MAX: usize = 1 << 20;
/// No list is longer, so that one request cannot hold the queue up.
const LIST_MAX: usize = 10_000;

type Shared<R> = State<Arc<Parts<R>>>;

/// The routes for TCP: what only reads, and the control API for those who hold a token.
pub(crate) fn public<R: Relay>(parts: &Arc<Parts<R>>) -> Router {
    if parts.tokens.is_empty() {
        return finished(
            probes::<R>(),
            parts,
            "only /metrics, /health/live and /health/ready are served here; control needs the Unix socket, or an [[admin.token]]",
        );
    }
    let guarded = control::<R>().layer(from_fn_with_state(Arc::clone(parts), authorized::<R>));
    finished(probes::<R>().merge(guarded), parts, API)
}

/// The routes for the private Unix socket.
pub(crate) fn private<R: Relay>(parts: &Arc<Parts<R>>) -> Router {
    finished(probes::<R>().merge(control::<R>().layer(from_fn(recorded))), parts, API)
}

const API: &str = "the control API is under /v1";

fn control<R: Relay>() -> Router<Arc<Parts<R>>> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/queue", get(list))
        .route("/v1/queue/retry", post(retry))
        .route("/v1/queue/cancel", post(cancel))
        .route("/v1/messages/{id}", get(show))
        .route("/v1/logins/bans", get(bans))
        .route("/v1/logins/unban", post(unban))
        .route("/v1/domains/{domain}", get(examine))
        .merge(connectors::routes())
}

fn probes<R: Relay>() -> Router<Arc<Parts<R>>> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| async { (plain(), "live\n") }))
        .route("/health/ready", get(ready))
}

fn finished<R: Relay>(
    routes: Router<Arc<Parts<R>>>,
    parts: &Arc<Parts<R>>,
    hint: &'static str,
) -> Router {
    routes
        .fallback(move || async move { Failure::missing("no such path", hint) })
        .method_not_allowed_fallback(|| async {
            let refused = Failure::wrong(
                "this path does not know that method",
                "GET reads; see docs/operations.md for what changes",
            );
            (StatusCode::METHOD_NOT_ALLOWED, refused.into_response().into_body())
        })
        .layer(DefaultBodyLimit::max(BODY_OCTETS_MAX))
        .layer(from_fn_with_state(Arc::clone(parts), counted))
        .with_state(Arc::clone(parts))
}

async fn counted<R: Relay>(State(parts): Shared<R>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    parts.metrics.answered(response.status().as_u16());
    response
}

const fn plain() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "text/plain; charset=utf-8")]
}

async fn metrics<R: Relay>(State(parts): Shared<R>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, parts.registry.render())
}

async fn ready<R: Relay>(State(parts): Shared<R>) -> impl IntoResponse {
    let health = parts.relay.health();
    if health.ready {
        return (StatusCode::OK, plain(), "ready\n".to_owned());
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        plain(),
        format!("not ready: {}\n", health.reasons.join("; ")),
    )
}

async fn status<R: Relay>(State(parts): Shared<R>) -> Result<Response, Failure> {
    Ok(Json(parts.relay.status().await?).into_response())
}

async fn examine<R: Relay>(
    State(parts): Shared<R>,
    Path(domain): Path<String>,
) -> Result<Response, Failure> {
    Ok(Json(parts.relay.examine(domain).await?).into_response())
}

async fn list<R: Relay>(
    State(parts): Shared<R>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(mut filter) = filter.map_err(|wrong| {
        Failure::wrong(
            wrong.body_text(),
            "the query takes `destination`, `sender`, `recipient` and `limit`",
        )
    })?;
    filter.limit = filter.limit.min(LIST_MAX);
    Ok(Json(parts.relay.list(filter).await?).into_response())
}

async fn show<R: Relay>(
    State(parts): Shared<R>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    Ok(Json(parts.relay.show(id).await?).into_response())
}

async fn retry<R: Relay>(
    State(parts): Shared<R>,
    body: Result<Json<Selection>, JsonRejection>,
) -> Result<Response, Failure> {
    Ok(Json(parts.relay.retry(selection(body)?).await?).into_response())
}

async fn cancel<R: Relay>(
    State(parts): Shared<R>,
    body: Result<Json<Selection>, JsonRejection>,
) -> Result<Response, Failure> {
    Ok(Json(parts.relay.cancel(selection(body)?).await?).into_response())
}

async fn bans<R: Relay>(State(parts): Shared<R>) -> Response {
    Json(parts.relay.bans()).into_response()
}

async fn unban<R: Relay>(
    State(parts): Shared<R>,
    body: Result<Json<Unban>, JsonRejection>,
) -> Result<Response, Failure> {
    const HINT: &str = "send {\"whom\": \"...\"} or {\"all\": true}";
    let Json(unban) = body.map_err(|wrong| Failure::wrong(wrong.body_text(), HINT))?;
    if unban.all == unban.whom.is_some() {
        return Err(Failure::wrong("whose bans are lifted must be said once", HINT));
    }
    Ok(Json(parts.relay.unban(unban)?).into_response())
}

/// An empty selection is refused, so that a slip never means every message.
fn selection(body: Result<Json<Selection>, JsonRejection>) -> Result<Selection, Failure> {
    const HINT: &str = "send {\"ids\": [...]}, {\"destination\": \"...\"} or {\"all\": true}";
    let Json(selection) = body.map_err(|wrong| Failure::wrong(wrong.body_text(), HINT))?;
    if selection == Selection::default() {
        return Err(Failure::wrong("the selection names no message", HINT));
    }
    if selection.all && (!selection.ids.is_empty() || selection.destination.is_some()) {
        return Err(Failure::wrong("the selection says all and names some", HINT));
    }
    Ok(selection)
}
