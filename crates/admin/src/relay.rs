//! What the API asks of the relay.

use std::future::Future;

use crate::failure::Failure;
use crate::view::{
    Bans, Changed, Changes, Connectors, DomainReport, Edit, ExportFormat, Filter, Health, Lifted,
    Message, QueueList, Reloaded, Run, Selection, Status, Trial, Tried, Unban,
};

/// The relay as operators see it; the binary implements it over the handles of its services.
pub trait Relay: Send + Sync + 'static {
    /// How it is.
    fn status(&self) -> impl Future<Output = Result<Status, Failure>> + Send;

    /// Whether it takes mail now. Must answer at once: probes wait for it.
    fn health(&self) -> Health;

    /// Queued messages, oldest first.
    fn list(&self, filter: Filter) -> impl Future<Output = Result<QueueList, Failure>> + Send;

    /// One message in full.
    fn show(&self, id: String) -> impl Future<Output = Result<Message, Failure>> + Send;

    /// Tries messages now, whatever their rest.
    fn retry(&self, selection: Selection) -> impl Future<Output = Result<Changed, Failure>> + Send;

    /// Takes messages out of the queue for good; nobody is told.
    fn cancel(&self, selection: Selection)
    -> impl Future<Output = Result<Changed, Failure>> + Send;

    /// The bans that hold after failed logins.
    fn bans(&self) -> Bans;

    /// Lifts bans.
    fn unban(&self, unban: Unban) -> Result<Lifted, Failure>;

    /// All connectors.
    fn connectors(&self) -> impl Future<Output = Result<Connectors, Failure>> + Send;

    /// Changes connectors, all edits or none; only says what would change if it is a dry run.
    fn edit(
        &self,
        edits: Vec<Edit>,
        run: Run,
    ) -> impl Future<Output = Result<Changes, Failure>> + Send;

    /// Tries an outbound connector as mail would use it, step by step.
    fn test(
        &self,
        name: String,
        trial: Trial,
    ) -> impl Future<Output = Result<Tried, Failure>> + Send;

    /// The connectors in the words of another program.
    fn export(&self, format: ExportFormat) -> impl Future<Output = Result<String, Failure>> + Send;

    /// Takes connectors over from another program's words.
    fn import(
        &self,
        text: String,
        run: Run,
    ) -> impl Future<Output = Result<Changes, Failure>> + Send;

    /// Looks at all that concerns mail of a domain in the DNS.
    fn examine(&self, domain: String)
    -> impl Future<Output = Result<DomainReport, Failure>> + Send;

    /// Reads the settings, certificates and accounts again.
    fn reload(&self) -> impl Future<Output = Result<Reloaded, Failure>> + Send;
}
