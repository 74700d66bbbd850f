//! Applications: who may write to their addresses, and what makes replies to their mail find its thread.

use auth::{ReturnPaths, Thread};
use mail::header::Edit;
use mail::{Address, EnhancedStatus, Reply};
use policy::Router;

use crate::connection::Connection;

/// The settings are not as they should be (RFC 3463 §3.4).
const MISCONFIGURED: EnhancedStatus = EnhancedStatus::new(4, 3, 5);

/// There is no such mailbox (RFC 3463 §3.2).
const NO_MAILBOX: EnhancedStatus = EnhancedStatus::new(5, 1, 1);
/// A part of the relay takes nothing now (RFC 3463 §3.4).
const NOT_ACCEPTING: EnhancedStatus = EnhancedStatus::new(4, 3, 2);

/// Who may write to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Those who may relay.
    Relaying,
    /// Everybody: it is one of an application that takes their mail.
    Everybody,
}

impl Writers {
    /// Who may write to `address`, as far as applications are concerned.
    ///
    /// # Errors
    /// What every client is told: the address looks like that of a thread and is none, or the application takes no mail
    /// now.
    pub fn of(address: &Address, paths: &ReturnPaths, router: &Router) -> Result<Self, Reply> {
        let thread = paths
            .thread(address)
            .map_err(|error| Reply::new(550, Some(NO_MAILBOX), error.to_string()))?;
        let Some(Thread { application, name }) = thread else { return Ok(Self::Relaying) };
        let connector = router.connector(&application).filter(|it| it.carries_mail());
        let Some(application) = connector.and_then(|it| it.application.as_ref()) else {
            // Another connector would lead it to its MX, which is here.
            let words =
                "the application that this address is of takes no mail now; try again later";
            return Err(Reply::new(451, Some(NOT_ACCEPTING), words));
        };
        let is_open = name.is_some() || application.takes_new_threads;
        Ok(if is_open { Self::Everybody } else { Self::Relaying })
    }
}

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
