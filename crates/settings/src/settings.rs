//! All settings together.

use std::path::PathBuf;

use policy::config::{Expect, Group, InboundConnector, OutboundConnector, Plan, Rewrite, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smtp_server::config::Listener;

use crate::sections::{ConnectorsFolder, Log, Runtime, Stop};

/// The settings of a relay: one TOML file, and those of its connectors' folder. Every key has a default but `hostname`, one `[[listener]]` and one
/// `[[outbound]]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The name that other hosts know this relay by: in greetings, EHLO, trace headers and reports. It should
    /// resolve to this machine, and the machine's address back to it (RFC 5321 §4.1.4). Has no default.
    pub hostname: String,
    /// A folder with further files, `*.toml`, that may hold `[[inbound]]`, `[[outbound]]`, `[[rule]]`, `[[group]]`, `[[expect]]`, `[[domain]]`, `[[plan]]` and `[[dkim]]` and nothing else; read in
    /// the order of their names, after this file. Taken from this file's folder on; need not be there. `chasqui
    /// connector add` writes its connectors there.
    #[schemars(with = "PathBuf")]
    pub connectors_folder: ConnectorsFolder,
    /// What the relay writes on its standard error.
    pub log: Log,
    /// How the relay uses the machine.
    pub runtime: Runtime,
    /// How the relay ends.
    pub stop: Stop,
    /// Where operators and monitoring reach the relay.
    pub admin: admin::Config,
    /// Where accepted mail rests, and how much of it.
    pub spool: spool::Config,
    /// When mail is tried again, and when it is given up.
    pub queue: queue::Config,
    /// How mail is handed on, over all outbound connectors.
    pub delivery: delivery::Config,
    /// How names are looked up.
    pub resolver: resolver::Config,
    /// Whom to trust when a next hop is verified.
    pub tls: tls::client::Config,
    /// How SPF, DKIM, DMARC and ARC of what comes in are checked, and how mail is signed when it leaves.
    pub mail_auth: auth::Config,
    /// For listeners with `auth`.
    pub logins: sasl::config::Config,
    /// Where the relay takes mail: one `[[listener]]` per address.
    pub listener: Vec<Listener>,
    /// Who may relay: one `[[inbound]]` per group of clients. Without any, every recipient is refused.
    pub inbound: Vec<InboundConnector>,
    /// What customers may use: one `[[plan]]` each, which inbound connectors name.
    pub plan: Vec<Plan>,
    /// The domains of the organisation: one `[[domain]]` each.
    pub domain: Vec<policy::config::Domain>,
    /// Where mail goes: one `[[outbound]]` per way out. One without `smart_hosts` and with the recipient domain `*`
    /// goes by MX to the whole Internet.
    pub outbound: Vec<OutboundConnector>,
    /// Keys that mail is signed with when it leaves: one `[[dkim]]` per domain and selector.
    pub dkim: Vec<auth::config::Key>,
    /// What is done with some messages, in this order: one `[[rule]]` each.
    pub rule: Vec<Rule>,
    /// Lists of addresses that rules ask for by name: one `[[group]]` each.
    pub group: Vec<Group>,
    /// Programs that are asked about clients and mail, in this order: one `[[filter]]` each.
    pub filter: Vec<filters::config::Config>,
    /// Under whose name mail leaves that would find no way out.
    pub rewrite: Rewrite,
    /// What must come of these settings: one `[[expect]]` for each message whose way matters.
    pub expect: Vec<Expect>,
}
