//! The TLS handshake of a connection.

use std::io;

use smtp_session::server::Reason;
use tls::server::PeerCertificate;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::client::Client;
use crate::end::End;
use crate::metrics::{Handshake, Limit};
use crate::reception::Reception;
use crate::stream::{NoTls, Stream};

/// Does the TLS handshake: waits for its turn, within the time limit for both. A stop ends it at once, since nothing
/// is under way before it.
pub(crate) async fn handshake(
    reception: &Reception,
    (client, stream): (&Client, &mut Stream),
    stop: &mut oneshot::Receiver<()>,
) -> Result<(Box<str>, Option<PeerCertificate>), End> {
    // Whoever was held back before may have used it up, and then it must not be awaited.
    if stop.is_terminated() {
        return Err(End::Closed(Reason::ShutDown));
    }
    let Some(acceptor) = &reception.acceptor else {
        return Err(End::HandshakeFailed(io::ErrorKind::Unsupported.into()));
    };
    let metrics = &reception.metrics;
    let mut has_waited = false;
    let under_way = async {
        let mut turn = reception.handshakes.try_acquire().ok();
        if turn.is_none() {
            has_waited = true;
            // Never closed.
            turn = reception.handshakes.acquire().await.ok();
        }
        let done = stream.start_tls(acceptor).await;
        drop(turn);
        done
    };
    let wait_max = reception.config.handshake_wait_max.as_duration();
    let done = tokio::select! {
        biased;
        done = timeout(wait_max, under_way) => done,
        _ = stop => return Err(End::Closed(Reason::ShutDown)),
    };
    let (end, count) = match done {
        Ok(Ok(facts)) => {
            metrics.handshake(Handshake::Done);
            return Ok(facts);
        }
        Ok(Err(NoTls { error, too_old })) => {
            if let Some(offered) = too_old {
                metrics.too_old(offered);
            }
            (End::HandshakeFailed(error), Some(Handshake::Failed))
        }
        Err(_) if has_waited => (End::NoTurn, None),
        Err(_) => (End::HandshakeTimedOut, Some(Handshake::TimedOut)),
    };
    match count {
        Some(count) => metrics.handshake(count),
        None => reception.shed(Limit::Handshakes),
    }
    tell(reception, client, &end);
    Err(end)
}

/// Logs why there is no TLS; of a flood the first, and how many there were.
fn tell(reception: &Reception, client: &Client, end: &End) {
    let others = reception.gate.lock().open(reception.clock.now());
    if let Some(others) = others {
        tracing::info!(
            session = %client.session,
            listener = %reception.config.name,
            client = %client.address,
            error = %end,
            others,
            "no tls with a client"
        );
    }
}
