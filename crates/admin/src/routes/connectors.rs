//! Connectors over HTTP: shown, changed, carried from and to other programs.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use crate::access::Of;
use crate::failure::Failure;
use crate::parts::Parts;
use crate::relay::Relay;
use crate::view::{
    Action, Change, Changes, Connector, Direction, Edit, ExportFormat, Fields, Run, Trial,
};

/// No line of the record says more of a change.
const RECORD_CHARS_MAX: usize = 1000;

type Shared<R> = State<Arc<Parts<R>>>;
type Named = Path<(Direction, String)>;

/// The routes under `/v1/connectors`, and the reload.
pub(crate) fn routes<R: Relay>() -> Router<Arc<Parts<R>>> {
    let one = get(show::<R>).put(put::<R>).patch(set::<R>).delete(remove::<R>);
    Router::new()
        .route("/v1/reload", post(reload::<R>))
        .route("/v1/connectors", get(list::<R>).post(edit::<R>))
        .route("/v1/connectors/export", get(export::<R>))
        .route("/v1/connectors/import", post(import::<R>))
        .route("/v1/connectors/{direction}/{name}", one)
        .route("/v1/connectors/{direction}/{name}/enable", post(enable::<R>))
        .route("/v1/connectors/{direction}/{name}/disable", post(disable::<R>))
        .route("/v1/connectors/{direction}/{name}/test", post(test::<R>))
}

/// How a change is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct How {
    /// Say what would change, and change nothing.
    dry_run: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Format {
    format: ExportFormat,
}

type Asked<T> = Result<Query<T>, QueryRejection>;

fn how(asked: Asked<How>) -> Result<Run, Failure> {
    let asked = asked
        .map_err(|wrong| Failure::wrong(wrong.body_text(), "the query takes `dry_run=true`"))?;
    Ok(if asked.0.dry_run { Run::Dry } else { Run::Real })
}

async fn reload<R: Relay>(State(parts): Shared<R>) -> Result<Response, Failure> {
    Ok(Json(parts.relay.reload().await?).into_response())
}

async fn list<R: Relay>(State(parts): Shared<R>) -> Result<Response, Failure> {
    Ok(Json(parts.relay.connectors().await?).into_response())
}

async fn show<R: Relay>(
    State(parts): Shared<R>,
    Path((direction, name)): Named,
) -> Result<Response, Failure> {
    let all = parts.relay.connectors().await?.connectors;
    let is_it = |one: &Connector| one.direction == direction && one.name == name;
    let found = all.into_iter().find(is_it).ok_or_else(|| {
        let words = format!("there is no {direction} connector `{name}`");
        Failure::missing(words, "`chasqui connector list` names them")
    })?;
    Ok(Json(found).into_response())
}

/// Several edits, all or none.
async fn edit<R: Relay>(
    State(parts): Shared<R>,
    asked: Asked<How>,
    body: Result<Json<Vec<Edit>>, JsonRejection>,
) -> Result<Response, Failure> {
    const HINT: &str = "send a list of {\"direction\": \"inbound\", \"name\": \"...\", \"action\": {\"set\": {...}}}";
    let Json(edits) = body.map_err(|wrong| Failure::wrong(wrong.body_text(), HINT))?;
    edited(&parts, edits, asked).await
}

/// The answer to edits; the record names the connectors and the fields that change.
async fn edited<R: Relay>(
    parts: &Parts<R>,
    edits: Vec<Edit>,
    asked: Asked<How>,
) -> Result<Response, Failure> {
    let run = how(asked)?;
    let wished = joined(edits.iter().map(Edit::outline));
    let (of, mut response) = match parts.relay.edit(edits, run).await {
        Ok(changes) => (outline(&changes).unwrap_or(wished), Json(changes).into_response()),
        Err(failure) => (wished, failure.into_response()),
    };
    response.extensions_mut().insert(Of(of));
    Ok(response)
}

/// What changes, for the record; none if nothing does.
fn outline(changes: &Changes) -> Option<String> {
    let changes = &changes.changes;
    (!changes.is_empty()).then(|| joined(changes.iter().map(Change::outline)))
}

fn joined(all: impl Iterator<Item = String>) -> String {
    telemetry::shown(&all.collect::<Vec<_>>().join("; "), RECORD_CHARS_MAX)
}

fn fields(body: Result<Json<Fields>, JsonRejection>) -> Result<Fields, Failure> {
    const HINT: &str = "send an object of fields, named as in the settings";
    body.map(|Json(fields)| fields).map_err(|wrong| Failure::wrong(wrong.body_text(), HINT))
}

async fn one<R: Relay>(
    parts: &Parts<R>,
    (direction, name): (Direction, String),
    action: Action,
    asked: Asked<How>,
) -> Result<Response, Failure> {
    edited(parts, vec![Edit { direction, name, action }], asked).await
}

async fn put<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
    body: Result<Json<Fields>, JsonRejection>,
) -> Result<Response, Failure> {
    let action = Action::Put(fields(body)?);
    one(&parts, which, action, asked).await
}

async fn set<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
    body: Result<Json<Fields>, JsonRejection>,
) -> Result<Response, Failure> {
    let action = Action::Set(fields(body)?);
    one(&parts, which, action, asked).await
}

async fn remove<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
) -> Result<Response, Failure> {
    one(&parts, which, Action::Remove, asked).await
}

async fn test<R: Relay>(
    State(parts): Shared<R>,
    Path((direction, name)): Named,
    body: Result<Json<Trial>, JsonRejection>,
) -> Result<Response, Failure> {
    const HINT: &str = "send {\"from\": \"...\", \"to\": \"...\"}";
    if direction == Direction::Inbound {
        return Err(Failure::wrong(
            format!("`{name}` is an inbound connector, and no mail leaves by it"),
            "name an outbound one",
        ));
    }
    let Json(trial) = body.map_err(|wrong| Failure::wrong(wrong.body_text(), HINT))?;
    Ok(Json(parts.relay.test(name, trial).await?).into_response())
}

async fn enable<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
) -> Result<Response, Failure> {
    one(&parts, which, enabled(true.into()), asked).await
}

async fn disable<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
) -> Result<Response, Failure> {
    one(&parts, which, enabled(false.into()), asked).await
}

fn enabled(value: Value) -> Action {
    Action::Set(std::iter::once(("enabled".to_owned(), value)).collect())
}

async fn export<R: Relay>(
    State(parts): Shared<R>,
    asked: Asked<Format>,
) -> Result<Response, Failure> {
    const HINT: &str = "the query takes `format=powershell` or `format=json`";
    let Query(asked) = asked.map_err(|wrong| Failure::wrong(wrong.body_text(), HINT))?;
    let kind = match asked.format {
        ExportFormat::Powershell => "text/plain; charset=utf-8",
        ExportFormat::Json => "application/json",
    };
    let text = parts.relay.export(asked.format).await?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn import<R: Relay>(
    State(parts): Shared<R>,
    asked: Asked<How>,
    text: String,
) -> Result<Response, Failure> {
    let changes = parts.relay.import(text, how(asked)?).await?;
    let of = outline(&changes).map(Of);
    let mut response = Json(changes).into_response();
    of.and_then(|of| response.extensions_mut().insert(of));
    Ok(response)
}
