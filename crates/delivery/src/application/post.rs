//! A message handed to an application by HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filters::poster::{Poster, SIGNATURE};
use http_body_util::channel::{Channel, Sender};
use mail::{EnhancedStatus, Peer};
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use spool::ReadError;
use telemetry::Causes;

use super::answer::OCTETS_MAX;
use super::handed::{Handed, Said, Seen, Verdict};
use super::line::first_line;
use crate::leaving::Pieces;
use crate::words::{OUR_SIDE, later, never};

/// Statuses that say something of the message, not of the application: it will not be wanted later either.
const FINAL: [u16; 4] = [406, 413, 415, 422];
/// REQUIRETLS cannot be kept (RFC 8689 §5).
const NEEDS_TLS: EnhancedStatus = EnhancedStatus::new(5, 7, 30);
/// Stands for an answer of which the end is missing.
const TOO_LONG: &[u8] = b"(an answer larger than 1 MiB)";
/// Pieces of content on their way at once.
const PIECES_MAX: usize = 2;

/// Posts it.
///
/// # Errors
/// When the content cannot be read.
pub(super) async fn post(
    poster: &Poster,
    handed: &Handed<'_>,
    followers_max: u32,
) -> Result<Said, ReadError> {
    if handed.requires_tls && !poster.is_private() {
        let words = "it must not go in clear text (REQUIRETLS), and the application's address begins with http://";
        let verdict = Verdict::Never(never(550, NEEDS_TLS, words));
        return Ok(Said { verdict, peer: None });
    }
    let octets = handed.content.octets();
    let mut request = poster.request().header(CONTENT_TYPE, "message/rfc822");
    request = request.header(CONTENT_LENGTH, octets);
    for (name, value) in handed.facts() {
        // Addresses may hold more than ASCII; none holds a control character.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            request = request.header(format!("x-chasqui-{name}"), value);
        }
    }
    if let Some(mut signature) = poster.signature() {
        for (_, value) in handed.facts() {
            signature.update(value.as_bytes());
            signature.update(b"\n");
        }
        let mut pieces = handed.content.pieces();
        while let Some(piece) = pieces.next().await? {
            signature.update(&piece);
        }
        request = request.header(SIGNATURE, signature.finish());
    }
    let (sender, body) = Channel::<Bytes, ReadError>::new(PIECES_MAX);
    let sending = request.body(reqwest::Body::wrap(body)).send();
    let (fed, response) = tokio::join!(feed(handed.content.pieces(), sender), sending);
    fed?;
    Ok(match response {
        Ok(response) => said(poster, response, followers_max).await,
        Err(error) => {
            let (is_connect, words) =
                (error.is_connect(), Causes(&error.without_url()).to_string());
            let words = format!("the application at {} gave no answer: {words}", poster.host());
            let reply = later(OUR_SIDE, words);
            let verdict =
                if is_connect { Verdict::Unreachable(reply) } else { Verdict::Later(reply) };
            Said { verdict, peer: None }
        }
    })
}

/// Looks whether anybody is there.
pub(super) async fn look(poster: &Poster, wait: Duration) -> Seen {
    let response = match poster.look().timeout(wait).send().await {
        Ok(response) => response,
        Err(error) => return Seen::Unable(Causes(&error.without_url()).to_string()),
    };
    let status = response.status().as_u16();
    match status {
        401 | 403 => Seen::Unable(format!("answers HTTP {status}: it does not take the token")),
        // It may well be that there is nothing but posting.
        404 | 500 | 502.. => Seen::Odd(format!("answers HTTP {status} to HEAD")),
        _ => Seen::Ready(format!("answers HTTP {status} to HEAD")),
    }
}

/// Sends the content; whoever wants no more of it has answered already.
async fn feed(mut pieces: Pieces, mut sender: Sender<Bytes, ReadError>) -> Result<(), ReadError> {
    loop {
        match pieces.next().await {
            Ok(Some(piece)) => {
                if sender.send_data(piece).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                // What was sent is cut off, so that nobody takes it for the whole.
                sender.abort(error.clone());
                return Err(error);
            }
        }
    }
}

async fn said(poster: &Poster, mut response: Response, followers_max: u32) -> Said {
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let peer = Arc::new(Peer {
        host: poster.host().into(),
        address: response.remote_addr().unwrap_or(nowhere),
        tls: None,
        offers_dsn: false,
        is_final: true,
        offers_deliver_by: false,
    });
    let status = response.status();
    let how = format!("HTTP {}", status.as_u16());
    let kind = response.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    let is_json = kind.starts_with("application/json");
    let is_text = kind.starts_with("text/plain");
    let mut content = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if content.len() + piece.len() <= OCTETS_MAX => {
                content.extend_from_slice(&piece);
            }
            Ok(Some(_)) => {
                // Its status counts; what is cut off is no answer.
                content.clear();
                content.extend_from_slice(TOO_LONG);
                break;
            }
            Ok(None) => break,
            Err(_) if status.is_success() => {
                content.clear();
                break;
            }
            Err(error) => {
                let words = Causes(&error.without_url()).to_string();
                return Said { verdict: Verdict::later(&how, &words), peer: None };
            }
        }
    }
    let words = if is_text { first_line(&content) } else { String::new() };
    if status.is_success() {
        // Many answer with a word for people.
        let answer = if is_json { content.as_slice() } else { &[] };
        Said { verdict: Verdict::taken(&how, answer, followers_max), peer: Some(peer) }
    } else if FINAL.contains(&status.as_u16()) {
        // Which machine it is on is nobody's business elsewhere.
        Said { verdict: Verdict::never(&how, &words), peer: None }
    } else {
        // As from nobody: what is wrong with the application is the operator's business.
        Said { verdict: Verdict::later(&how, &words), peer: None }
    }
}
