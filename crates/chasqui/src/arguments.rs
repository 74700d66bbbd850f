//! The command line as clap reads it.

mod ask;
mod connector;
mod dkim;
mod domain;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use policy::config::AuthResult;

use self::ask::SETTINGS;
pub(crate) use self::ask::{Ask, ConfigFile, Reach};
pub(crate) use self::connector::{
    Connector, ConnectorAdd, ConnectorExport, ConnectorImport, ConnectorSet, ConnectorTest,
    ConnectorWhich, ExportFormat, TestFirst, Yes,
};
pub(crate) use self::dkim::{Dkim, DkimActivate, DkimAdd, DkimCheck, DkimRetire, DkimWhich};
pub(crate) use self::domain::{Domain, DomainCheck};

/// A mail relay that never loses what it accepted.
#[derive(Debug, Parser)]
#[command(
    name = "chasqui",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 failed, or what was asked about is refused; 2 wrong arguments; 3 no relay answers; 78 wrong settings."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay until SIGTERM or SIGINT
    ///
    /// SIGTERM and SIGINT stop it: new connections are refused, open transactions may end within
    /// `stop.drain_wait_max`; a second one cuts them off. SIGHUP reads the settings, the certificates and the
    /// accounts again; the log says what needs a restart.
    Serve(Serve),
    /// Show how the running relay is
    Status(Ask),
    /// Check or show the settings
    #[command(subcommand)]
    Config(Config),
    /// Say which way a message would go, and why
    ///
    /// Asks the settings, not a running relay. Nothing is sent. Exits with 1 if the message or one of its recipients is
    /// refused.
    Route(Route),
    /// Say which inbound connector would let a client in, by what of it, or which one it just missed
    ///
    /// Asks the settings, not a running relay. Exits with 1 if the client is refused.
    ExplainConnection(ExplainConnection),
    /// Show the way that a message has come, from its Received fields, the first hop first
    TraceHeaders(TraceHeaders),
    /// Look at and change what waits to go out
    #[command(subcommand)]
    Queue(Queue),
    /// Look at and change connectors, of the running relay or in the settings' files
    ///
    /// What would change is shown and asked about first; without a terminal `--yes` is needed. New connectors get a file of
    /// their own in the connectors' folder; others are changed where they stand. A running relay uses them at once.
    #[command(subcommand)]
    Connector(Connector),
    /// Look after the domains that mail is from
    #[command(subcommand)]
    Domain(Domain),
    /// Make the keys that sign mail, and change them
    ///
    /// A key is made (`add`), published, checked, activated, and in time retired for a new one. The settings' files are
    /// changed, and a running relay reads them again.
    #[command(subcommand)]
    Dkim(Dkim),
    /// Make tokens for the control API over TCP
    #[command(subcommand)]
    Token(Token),
    /// Keep accounts, and look after those who fail to log in
    #[command(subcommand)]
    Login(Login),
    /// Send a message by SMTP
    Send(Send),
    /// Take mail by SMTP and print what came, for trials
    Sink(Sink),
    /// Look after a spool while no relay uses it
    #[command(subcommand)]
    Spool(Spool),
    /// Run relay and sink, send a few messages through and show what became of them
    ///
    /// Uses the settings in config/quickstart.toml and the messages in config/samples; stays up until Ctrl-C.
    Quickstart(Quickstart),
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = SETTINGS)]
    pub config: PathBuf,
    /// Write addresses and process id to this file, as JSON, once everything accepts.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check a settings file and name everything that is wrong with it
    Check(ConfigFile),
    /// Show the settings in force: the file with every default filled in
    Show(ConfigFile),
}

/// Who a client is.
#[derive(Debug, Args)]
pub struct Client {
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<IpAddr>,
    /// A name in the client's certificate, which a trusted authority has issued; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub cert: Vec<String>,
    /// Who issued the certificate: a distinguished name such as `CN=Example CA, O=Example`.
    #[arg(long, value_name = "NAME", requires = "cert")]
    pub cert_issuer: Option<String>,
    /// The account that the client has logged in to.
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// The listener that it has come to.
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// What the SPF record of the sender's domain says of it: `pass`, `fail`, `softfail`, `neutral`, `none`, `temperror` or
    /// `permerror`.
    #[arg(long, value_name = "RESULT", value_parser = spf)]
    pub spf: Option<AuthResult>,
    /// It speaks TLS; so does who has a certificate.
    #[arg(long)]
    pub tls: bool,
}

fn spf(text: &str) -> Result<AuthResult, String> {
    let result = serde_json::from_value(text.into());
    result.map_err(|_| "is no result of SPF; write one such as pass".to_owned())
}

/// `route`.
#[derive(Debug, Args)]
pub struct Route {
    /// The settings file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The sender of the envelope, and the From unless `--header` gives one; empty for none.
    #[arg(long, value_name = "ADDRESS")]
    pub from: String,
    /// A recipient; may be given several times.
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub to: Vec<String>,
    /// Who the client is; left out, whoever may relay.
    #[command(flatten)]
    pub client: Client,
    /// A field of the header, such as `X-Class: bulk`; may be given several times.
    #[arg(long, value_name = "FIELD")]
    pub header: Vec<String>,
    /// The subject.
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// The DMARC policy of the domain in From, where `foreign_from` asks for it.
    #[arg(long, value_name = "POLICY", value_enum)]
    pub dmarc: Option<Dmarc>,
}

/// A DMARC policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dmarc {
    /// Or no record.
    None,
    /// Mail of others is put aside.
    Quarantine,
    /// Mail of others is refused.
    Reject,
}

/// `explain-connection`.
#[derive(Debug, Args)]
#[group(id = "known", required = true, multiple = true, args = ["ip", "cert", "account"])]
pub struct ExplainConnection {
    /// The settings file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Who the client is.
    #[command(flatten)]
    pub client: Client,
    /// The sender of its message, of whom connectors may ask more; empty for the null sender.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
}

/// `trace-headers`.
#[derive(Debug, Args)]
pub struct TraceHeaders {
    /// The message, or its header; `-` reads standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `queue`.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List queued messages, oldest first
    List(QueueList),
    /// Show one message with its recipients
    Show(QueueShow),
    /// Try messages now, whatever their rest; held ones only if their ids are named
    Retry(QueueSelect),
    /// Take messages out of the queue for good; nobody is told
    Cancel(QueueSelect),
}

/// `queue list`.
#[derive(Debug, Args)]
pub struct QueueList {
    /// How the relay is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// Only messages for this destination, as the list names it.
    #[arg(long, value_name = "CONNECTOR[/DOMAIN]")]
    pub destination: Option<String>,
    /// Only messages from a sender with this in the address, of this domain (`@example.com`), or the null sender (`<>`).
    #[arg(long, value_name = "TEXT|@DOMAIN")]
    pub sender: Option<String>,
    /// Only messages for which a recipient waits with this in the address, or of this domain.
    #[arg(long, value_name = "TEXT|@DOMAIN")]
    pub recipient: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
}

/// `queue show`.
#[derive(Debug, Args)]
pub struct QueueShow {
    /// How the relay is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// The message's id.
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `queue retry` and `queue cancel`.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["ids", "destination", "all"])]
pub struct QueueSelect {
    /// How the relay is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// The messages' ids.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Messages for this destination, as `queue list` names it.
    #[arg(long, value_name = "CONNECTOR[/DOMAIN]")]
    pub destination: Option<String>,
    /// Every message.
    #[arg(long, conflicts_with_all = ["ids", "destination"])]
    pub all: bool,
}

/// `login`.
#[derive(Debug, Subcommand)]
pub enum Login {
    /// List the accounts and clients that are banned after failed logins
    Bans(Ask),
    /// Lift bans
    Unban(LoginUnban),
    /// Ask for a password (or read it from a pipe) and print what stands for it in the accounts' file
    Hash(LoginHash),
}

/// `login unban`.
#[derive(Debug, Args)]
#[group(id = "whose", required = true, args = ["whom", "all"])]
pub struct LoginUnban {
    /// How the relay is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// A client's address or network, or an account's name, as `login bans` shows it.
    #[arg(value_name = "ADDRESS|ACCOUNT")]
    pub whom: Option<String>,
    /// Everybody's.
    #[arg(long)]
    pub all: bool,
}

/// `login hash`.
#[derive(Debug, Args)]
pub struct LoginHash {
    /// Print a whole `[[account]]` of this name.
    #[arg(value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// From whom the account may send: an address, a domain, `*.` and a domain, `<>` or `*`; may be given several times.
    /// Left out, the account's own name.
    #[arg(long, value_name = "PATTERN", requires = "account")]
    pub sender: Vec<String>,
}

/// `send`.
#[derive(Debug, Args)]
pub struct Send {
    /// The server.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:25")]
    pub server: String,
    /// The sender of the envelope; empty for none.
    #[arg(long, value_name = "ADDRESS")]
    pub from: String,
    /// A recipient of the envelope; may be given several times.
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub to: Vec<String>,
    /// How the connection is encrypted.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = SendTls::None)]
    pub tls: SendTls,
    /// Accept only a certificate that names the host and that a trusted authority issued.
    #[arg(long)]
    pub verify: bool,
    /// The name to log in with.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,
    /// The file that holds the password, so that no process list shows it.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// What to call this host.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub helo: String,
    /// The message; its line ends become CRLF; `-` reads standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How `send` encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SendTls {
    /// Not at all.
    None,
    /// By STARTTLS; a server that does not offer it gets no message.
    Starttls,
    /// From the first octet, as on port 465.
    Implicit,
}

/// `sink`.
#[derive(Debug, Args)]
pub struct Sink {
    /// Where to listen; port 0 takes any free port.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2526")]
    pub listen: SocketAddr,
    /// Write addresses and process id to this file, as JSON, once it accepts.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Keep each message, octet for octet, as DIR/N.eml.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Print one JSON object per message.
    #[arg(long)]
    pub json: bool,
}

/// `spool`.
#[derive(Debug, Subcommand)]
pub enum Spool {
    /// Read everything in a spool and name what is corrupt; changes nothing
    Check(SpoolCheck),
}

/// `spool check`.
#[derive(Debug, Args)]
pub struct SpoolCheck {
    /// The settings file, which names the spool.
    #[arg(long, value_name = "FILE", default_value = SETTINGS, conflicts_with = "path")]
    pub config: PathBuf,
    /// The spool's folder.
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `quickstart`.
#[derive(Debug, Args)]
pub struct Quickstart {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "config/quickstart.toml")]
    pub config: PathBuf,
    /// The folder of messages to send.
    #[arg(long, value_name = "DIR", default_value = "config/samples")]
    pub samples: PathBuf,
    /// Where the sink listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2526")]
    pub sink: SocketAddr,
    /// End after the table instead of staying up.
    #[arg(long)]
    pub once: bool,
}

/// `token`.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token, print it, and write its hash to a file
    New(TokenNew),
}

/// `token new`.
#[derive(Debug, Args)]
pub struct TokenNew {
    /// Who will hold it.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it may do.
    #[arg(long, value_name = "ROLE", value_enum, default_value_t = Role::Viewer)]
    pub role: Role,
    /// Where its hash is written; must be new.
    #[arg(long, value_name = "FILE")]
    pub hash_file: PathBuf,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and change.
    Admin,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_selection_must_name_something() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).is_ok();
        assert!(parse("chasqui queue cancel 06fz"));
        assert!(parse("chasqui queue retry --destination internet/a.example"));
        assert!(parse("chasqui queue retry --all --socket /x"));
        assert!(!parse("chasqui queue cancel"));
        assert!(!parse("chasqui queue cancel --all 06fz"));
        assert!(!parse("chasqui status --config a --socket b"));
    }
}
