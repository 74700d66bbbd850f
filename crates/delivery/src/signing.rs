//! Signatures on what leaves (RFC 6376).

use std::sync::Arc;
use std::thread::available_parallelism;

use arc_swap::ArcSwap;
use auth::{Dns, Signer, SigningKey};
use bytes::Bytes;
use mail::header::Beginning;
use mail::{MessageId, Timestamp};
use policy::first_mailbox;
use spool::ReadError;
use tokio::sync::{Semaphore, mpsc};

use crate::body::Body;

/// Content with a larger header is not signed; reception takes none of this size by default.
const HEADER_OCTETS_MAX: usize = 4 << 20;
/// Pieces read before they are hashed.
const PIECES_MAX: usize = 2;

/// Who signs, and where it is seen which keys are published. Clones share the keys.
#[derive(Clone, Debug)]
pub struct Signing {
    signer: Arc<ArcSwap<Signer>>,
    dns: Dns,
}

impl Signing {
    /// Signs by `signer`; `dns` says which of its keys are published.
    pub fn new(signer: Signer, dns: Dns) -> Self {
        Self { signer: Arc::new(ArcSwap::from_pointee(signer)), dns }
    }

    /// Who signs now.
    pub fn signer(&self) -> Signer {
        Signer::clone(&self.signer.load())
    }

    /// Lets `signer` sign from now on, for all clones; what is being signed goes on with what it began with.
    pub fn replace(&self, signer: Signer) {
        self.signer.store(Arc::new(signer));
    }
}

/// Signs what leaves; as many at a time as there are processors, others wait.
#[derive(Debug)]
pub(crate) struct Desk {
    signing: Option<Signing>,
    room: Semaphore,
}

impl Desk {
    pub(crate) fn new(signing: Option<Signing>) -> Self {
        let places = available_parallelism().map_or(1, usize::from);
        Self { signing, room: Semaphore::new(places) }
    }

    /// Whether anything is signed here at present.
    pub(crate) fn is_open(&self) -> bool {
        self.signing.as_ref().is_some_and(|signing| signing.signer.load().has_active())
    }

    /// The fields that belong on top of `body`; empty if nobody signs for whom its header is from.
    ///
    /// Reads it to its end, piece by piece.
    pub(crate) async fn signatures(
        &self,
        id: MessageId,
        mut body: Body,
        now: Timestamp,
    ) -> Result<Bytes, ReadError> {
        let Some(signing) = &self.signing else { return Ok(Bytes::new()) };
        let Some((header, first)) = split(&mut body).await? else {
            tracing::warn!(message = %id, "not signed: the header is too large");
            return Ok(Bytes::new());
        };
        let signer = signing.signer();
        let keys = signing.keys(&signer, id, &header).await;
        if keys.is_empty() {
            return Ok(Bytes::new());
        }
        // Nobody closes it.
        let Ok(_place) = self.room.acquire().await else { return Ok(Bytes::new()) };
        let (pieces, mut hashed) = mpsc::channel::<Bytes>(PIECES_MAX);
        let making = tokio::task::spawn_blocking(move || {
            let rest = std::iter::from_fn(|| hashed.blocking_recv());
            signer.sign(&keys, &header, std::iter::once(first).chain(rest), now)
        });
        while let Some(piece) = body.next().await? {
            // It ends early if there is nothing to sign; then it says so below.
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
        drop(pieces);
        match making.await {
            Ok(Ok(fields)) => Ok(fields.concat().into()),
            Ok(Err(error)) => {
                tracing::warn!(message = %id, %error, "not signed");
                Ok(Bytes::new())
            }
            // The relay stops, or the library met a bug; mail does not wait for either.
            Err(error) => {
                tracing::error!(message = %id, %error, "not signed");
                Ok(Bytes::new())
            }
        }
    }
}

impl Signing {
    /// The keys that sign a message with this header.
    async fn keys(&self, signer: &Signer, id: MessageId, header: &[u8]) -> Vec<Arc<SigningKey>> {
        let from = first_mailbox(&mail::header::Header::read(header).fields);
        let Some(domain) = from.as_ref().and_then(mail::Address::domain) else { return Vec::new() };
        if !signer.signs_for(domain.as_str()) {
            return Vec::new();
        }
        let choice = signer.choose(&self.dns, domain.as_str()).await;
        for left_out in &choice.left_out {
            tracing::warn!(message = %id, reason = %left_out, "key not used");
        }
        choice.keys
    }
}

/// The header with its empty line, and what was read behind it; none if it is too large.
async fn split(body: &mut Body) -> Result<Option<(Vec<u8>, Bytes)>, ReadError> {
    let mut beginning = Beginning::default();
    while let Some(piece) = body.next().await? {
        beginning.push(&piece);
        if beginning.body_at().is_some() {
            break;
        }
        if beginning.octets().len() > HEADER_OCTETS_MAX {
            return Ok(None);
        }
    }
    let at = beginning.body_at();
    let mut header = beginning.into_octets();
    let behind = header.split_off(at.unwrap_or(header.len()));
    Ok(Some((header, behind.into())))
}
