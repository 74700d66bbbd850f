//! What the connections of a sink share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use smtp_session::server::Settings;
use units::Clock;

use crate::content::Keep;

/// What the connections of a sink share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) keep: Keep,
    pub(crate) clock: Clock,
    pub(crate) number_last: AtomicU64,
}
