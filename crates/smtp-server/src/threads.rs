//! Mail of applications: what makes replies to it find their thread.

use mail::header::Edit;
use mail::{EnhancedStatus, Reply};

use crate::connection::Connection;

/// The settings are not as they should be (RFC 3463 §3.4).
const MISCONFIGURED: EnhancedStatus = EnhancedStatus::new(4, 3, 5);

impl Connection {
    /// The changes to the header of a message whose connector's mail belongs to threads of `application`.
    ///
    /// # Errors
    /// What the client is told when the message names a thread that there cannot be.
    pub(crate) fn thread_edits(
        &self,
        application: &str,
        header: &[u8],
    ) -> Result<Vec<Edit>, Reply> {
        let Some(thread) = policy::named_thread(header)? else { return Ok(Vec::new()) };
        let reply_to = self.reception.return_paths.thread_address(application, &thread);
        let reply_to = reply_to.ok_or_else(|| {
            let words = format!("there is no reply address for threads of {application} now");
            Reply::new(451, Some(MISCONFIGURED), words)
        })?;
        Ok(policy::thread_edits(&reply_to))
    }
}
