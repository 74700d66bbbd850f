//! What the control API says, as values that become JSON.
//!
//! Times are RFC 3339 in UTC. Sizes are in octets. An absent value is `null`.

mod connectors;
mod domains;
mod trial;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::connectors::{
    Action, Change, ChangeKind, Changes, Connector, Connectors, Direction, Edit, ExportFormat,
    FieldChange, Fields, Intake, Reloaded, Run, Trial, Usage,
};
pub use self::domains::{DnsRecord, DomainAdvice, DomainCheck, DomainReport, Grade, Party};
pub use self::trial::{TrialStep, Tried};

/// How the relay is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// The name it gives itself.
    pub hostname: String,
    /// Its process id.
    pub pid: u32,
    /// How long it has been up.
    pub uptime_seconds: u64,
    /// Whether it takes mail.
    pub health: Health,
    /// Where it takes mail.
    pub listeners: Vec<Listener>,
    /// What rests on the device.
    pub spool: Spool,
    /// What waits to go out.
    pub queue: Queue,
    /// The queues between its parts.
    pub channels: Vec<Channel>,
    /// The limits that turned clients away within the last minute.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// What inbound connectors with limits have taken.
    #[serde(default)]
    pub intakes: Vec<NamedIntake>,
}

/// What an inbound connector with limits has taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct NamedIntake {
    /// Its name.
    pub connector: String,
    /// How much.
    #[serde(flatten)]
    pub intake: Intake,
}

/// A limit of a listener that turned clients away of late.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Limit {
    /// The listener.
    pub listener: String,
    /// Its name, as in the metric `chasqui_load_shed_total`.
    pub cause: String,
    /// How often since the start.
    pub count: u64,
    /// How long ago the last time was.
    pub seconds_ago: u64,
}

/// Whether the relay takes mail now, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Health {
    /// Whether it takes mail.
    pub ready: bool,
    /// Why not; empty when ready.
    pub reasons: Vec<String>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Listener {
    /// Its name in the settings.
    pub name: String,
    /// The address it is bound to.
    pub address: SocketAddr,
}

/// The spool in figures.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Spool {
    /// Its folder.
    pub path: PathBuf,
    /// Messages in it.
    pub messages: u64,
    /// Octets of content in it.
    pub octets: u64,
    /// How large bodies are written: `io_uring` or `threads`.
    pub body_io: String,
}

/// The queue in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Queue {
    /// Messages that wait or are on their way.
    pub messages: u64,
    /// Of these, the message-destination pairs that may go now.
    pub ready: u64,
    /// Those that rest until a later try, and those that are held.
    pub resting: u64,
    /// Those being tried now.
    pub in_flight: u64,
    /// Destinations with mail.
    pub destinations: u64,
    /// Age of the oldest message.
    pub oldest_seconds: Option<u64>,
}

/// One of the queues between the relay's parts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Channel {
    /// Its name, as in the metric `chasqui_channel_depth`.
    pub name: String,
    /// Values that wait.
    pub depth: u64,
    /// Values that fit.
    pub capacity: u64,
}

/// A part of the queue, oldest message first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct QueueList {
    /// The messages.
    pub messages: Vec<QueueEntry>,
    /// Whether more fit the filter than were asked for, or may fit it behind what was looked at.
    pub more: bool,
    /// With a sender or a recipient in the filter: how many messages were looked at, the oldest first, if not all were.
    #[serde(default)]
    pub looked_at: Option<u64>,
}

/// One queued message in one line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct QueueEntry {
    /// Its id.
    pub id: String,
    /// `ready`, `resting`, `in_flight`, or `held` if it rests because its sender wants it to go out later.
    pub state: String,
    /// When it came.
    pub received_at: String,
    /// Its size.
    pub octets: Option<u64>,
    /// Its sender; empty for a report.
    pub sender: Option<String>,
    /// How many recipients still wait.
    pub recipients: Option<u64>,
    /// Where it goes: a connector, or a connector and a domain.
    pub destination: String,
    /// Tries so far.
    pub tries: u32,
    /// When the next try is due.
    pub next_try_at: Option<String>,
    /// What was last said of it.
    pub last_reply: Option<String>,
}

/// One message in full.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its sender; empty for a report.
    pub sender: String,
    /// When it came.
    pub received_at: String,
    /// Its size.
    pub octets: u64,
    /// `7BIT` or `8BITMIME`.
    pub body_type: String,
    /// Whether its next hop must know SMTPUTF8.
    pub needs_smtputf8: bool,
    /// When it may go out, if its sender said so.
    #[serde(default)]
    pub hold_until: Option<String>,
    /// When it shall have been delivered, if its sender said so.
    #[serde(default)]
    pub deliver_by: Option<DeliverBy>,
    /// What was decided about it when it came in; none if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    /// Where it came in.
    pub origin: Origin,
    /// Its recipients, in the order given.
    pub recipients: Vec<Recipient>,
}

/// What rules, filters and connectors made of a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Decided {
    /// Its class, if it has one.
    pub class: Option<String>,
    /// Why it is held until an operator releases it, if it is.
    pub held: Option<String>,
    /// Whether it is certified.
    pub certified: bool,
    /// The rules that acted on it, in their order.
    pub rules: Vec<String>,
    /// Who stands in MAIL when it leaves, if that is not its sender.
    pub leaves_from: Option<String>,
    /// What of its header changes when it leaves, in order.
    pub header: Vec<String>,
}

/// A time that a sender set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DeliverBy {
    /// The time.
    pub at: String,
    /// What follows if it is missed: `return` or `notify`.
    pub mode: String,
}

/// Where a message came in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Origin {
    /// The client's address; none for the relay's own reports.
    pub client: Option<String>,
    /// What it called itself.
    pub helo: String,
    /// The listener it came through.
    pub listener: String,
    /// The inbound connector that admitted it.
    pub connector: String,
    /// Version and cipher suite, if it came by TLS.
    pub tls: Option<String>,
    /// The account that the client had logged in to.
    #[serde(default)]
    pub login: Option<String>,
}

/// One recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// `waiting`, `ready`, `resting`, `held`, `in_flight`, `delivered` or `failed`.
    pub state: String,
    /// Where it goes, if a connector covers it.
    pub destination: Option<String>,
    /// Why no connector takes it, if none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_route: Option<String>,
    /// Tries so far.
    pub tries: Option<u32>,
    /// When the next try is due.
    pub next_try_at: Option<String>,
    /// The last reply.
    pub reply: Option<String>,
}

/// Which messages a request means: all conditions given must hold; none given means none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Every message.
    pub all: bool,
    /// These messages.
    pub ids: Vec<String>,
    /// Messages for this destination, as `queue list` prints it.
    pub destination: Option<String>,
}

/// Which messages to list: all conditions given must hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Only for this destination.
    pub destination: Option<String>,
    /// Only from whoever has this in the address, is of this domain (`@` and a domain), or the null sender (`<>`).
    pub sender: Option<String>,
    /// Only where somebody waits who has this in the address or is of this domain (`@` and a domain).
    pub recipient: Option<String>,
    /// At most so many, the oldest first.
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self { destination: None, sender: None, recipient: None, limit: 100 }
    }
}

/// How many messages a request changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Changed {
    /// Messages changed.
    pub messages: u64,
    /// Held messages that stay as they are, since the request did not name them.
    #[serde(default)]
    pub held: u64,
}

/// An account or a client that may not log in for a while.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Ban {
    /// `account` or `client`.
    pub of: String,
    /// The account's name, or the client's address or network.
    pub name: String,
    /// How much longer it lasts.
    pub ends_in_seconds: u64,
}

/// The bans that hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Bans {
    /// Accounts, then clients, by name.
    pub bans: Vec<Ban>,
}

/// Whose bans are lifted: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unban {
    /// Everybody's.
    pub all: bool,
    /// That of an account, and that of a client's address or network if the text is one.
    pub whom: Option<String>,
}

/// How many bans a request lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Lifted {
    /// Bans lifted.
    pub bans: u64,
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ErrorBody {
    /// What was wrong.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}
