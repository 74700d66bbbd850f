//! Settings that were changed in their files take effect.

use std::path::Path;

use admin::ClientError;

use crate::arguments::Reach;
use crate::failure::Result;
use crate::output;
use crate::reach::client;

/// Lets a running relay read the settings again, and says what was done.
pub(super) async fn in_force(config: &Path, done: &str) -> Result {
    let reach = Reach { config: config.to_owned(), socket: None };
    match client(&reach)?.reload().await {
        Ok(_) => output::line(format!("{done}; in effect")),
        Err(ClientError::NotRunning(_)) => {
            output::line(format!("{done}; in effect at the next start, since no relay runs"))
        }
        Err(error) => {
            output::line(format!("{done}, once the relay has read its settings again"))?;
            Err(error.into())
        }
    }
}
