//! `domain`.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use crate::arguments::ask::ConfigFile;

/// `domain`.
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Look in the DNS whether mail of a domain through this relay is trusted, and say which records to publish
    ///
    /// Looks at MX, the names of the relay's addresses, SPF, DKIM, DMARC, MTA-STS, TLS reports and BIMI. Fails if a check
    /// fails; warnings are none.
    Check(DomainCheck),
}

/// `domain check`.
#[derive(Debug, Args)]
pub struct DomainCheck {
    /// The relay's settings.
    #[command(flatten)]
    pub file: ConfigFile,
    /// An address that mail leaves from, in place of those that the settings name; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Vec<IpAddr>,
    /// The name that the relay gives in EHLO, in place of its `hostname`.
    #[arg(long, value_name = "NAME")]
    pub helo: Option<String>,
    /// The domain that mail is from.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
}
