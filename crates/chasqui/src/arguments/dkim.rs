//! `dkim`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::arguments::ask::ConfigFile;

/// `dkim`.
#[derive(Debug, Subcommand)]
pub enum Dkim {
    /// List the keys of the settings
    List(ConfigFile),
    /// Make keys, put them into the settings as `pending`, and print what to publish
    ///
    /// A key signs nothing until `dkim activate`.
    Add(DkimAdd),
    /// Ask the DNS whether it has exactly these keys; fails if it lacks one that is not retired
    Check(DkimCheck),
    /// Let a key sign, once the DNS has it
    Activate(DkimActivate),
    /// Let a key sign no more
    ///
    /// Its record must stay in the DNS until the mail that it signed has arrived: a week is enough. After that say
    /// `--finally`.
    Retire(DkimRetire),
}

/// `dkim add`.
#[derive(Debug, Args)]
pub struct DkimAdd {
    /// The relay's settings.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The key's name; with both kinds `-rsa` and `-ed25519` are put behind it. Left out, this year and month.
    #[arg(long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only an Ed25519 key, which not everybody can verify.
    #[arg(long, conflicts_with = "rsa")]
    pub ed25519: bool,
    /// Only an RSA key.
    #[arg(long)]
    pub rsa: bool,
    /// A domain of the operator's: the owner publishes a CNAME to a name below it, the operator the key there.
    #[arg(long, value_name = "TARGET")]
    pub cname: Option<String>,
    /// Where the private keys go, in place of `mail_auth.domains.keys_folder`.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// The domain that signs.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
}

/// `dkim check`.
#[derive(Debug, Args)]
pub struct DkimCheck {
    /// The relay's settings.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Only keys of this domain.
    #[arg(value_name = "DOMAIN")]
    pub domain: Option<String>,
}

/// The key that is changed.
#[derive(Debug, Args)]
pub struct DkimWhich {
    /// The relay's settings.
    #[arg(long, value_name = "FILE", default_value = crate::arguments::ask::SETTINGS)]
    pub config: PathBuf,
    /// The domain that signs.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
    /// The key's name.
    #[arg(value_name = "SELECTOR")]
    pub selector: String,
}

/// `dkim activate`.
#[derive(Debug, Args)]
pub struct DkimActivate {
    /// Which.
    #[command(flatten)]
    pub which: DkimWhich,
    /// Sign whatever the DNS has, now and later (`check_dns = false`).
    #[arg(long)]
    pub force: bool,
}

/// `dkim retire`.
#[derive(Debug, Args)]
pub struct DkimRetire {
    /// Which.
    #[command(flatten)]
    pub which: DkimWhich,
    /// Its record may go, too.
    #[arg(long)]
    pub finally: bool,
    /// Even if no other key signs for the domain.
    #[arg(long)]
    pub force: bool,
}
