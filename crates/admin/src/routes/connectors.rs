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

use crate::failure::Failure;
use crate::parts::Parts;
use crate::relay::Relay;
use crate::view::{Action, Changes, Connector, Direction, Edit, ExportFormat, Fields, Run, Trial};

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
    Ok(Json(parts.relay.edit(edits, how(asked)?).await?).into_response())
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
) -> Result<Changes, Failure> {
    parts.relay.edit(vec![Edit { direction, name, action }], how(asked)?).await
}

async fn put<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
    body: Result<Json<Fields>, JsonRejection>,
) -> Result<Response, Failure> {
    let action = Action::Put(fields(body)?);
    Ok(Json(one(&parts, which, action, asked).await?).into_response())
}

async fn set<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
    body: Result<Json<Fields>, JsonRejection>,
) -> Result<Response, Failure> {
    let action = Action::Set(fields(body)?);
    Ok(Json(one(&parts, which, action, asked).await?).into_response())
}

async fn remove<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
) -> Result<Response, Failure> {
    Ok(Json(one(&parts, which, Action::Remove, asked).await?).into_response())
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
    Ok(Json(one(&parts, which, enabled(true.into()), asked).await?).into_response())
}

async fn disable<R: Relay>(
    State(parts): Shared<R>,
    Path(which): Named,
    asked: Asked<How>,
) -> Result<Response, Failure> {
    Ok(Json(one(&parts, which, enabled(false.into()), asked).await?).into_response())
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
    Ok(Json(parts.relay.import(text, how(asked)?).await?).into_response())
}
