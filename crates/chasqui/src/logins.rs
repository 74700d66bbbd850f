//! Who may log in: the look at the accounts before anything else begins, their reload, and bans as operators see them.

use std::net::IpAddr;
use std::sync::Arc;

use admin::view::{Ban, Bans, Lifted, Unban};
use anyhow::{Context, Result};
use sasl::server::OpenError;
use sasl::{Accounts, AccountsError, Authenticator, Banned, Whom};
use settings::{Finding, Settings};
use telemetry::{Causes, Registry};
use units::Clock;

/// Reads the accounts and the keys for tokens.
pub(crate) async fn open(
    settings: &Settings,
    clock: &Clock,
    registry: &Arc<Registry>,
) -> Result<Arc<Authenticator>> {
    let (config, clock, registry) = (settings.logins.clone(), clock.clone(), Arc::clone(registry));
    let open = move || Authenticator::open(&config, clock, &registry);
    let opened = tokio::task::spawn_blocking(open).await.context("the accounts' start broke")?;
    opened.context("logins")
}

/// Tries the files of `[logins]`, and looks whether the accounts that connectors name are there.
pub(crate) fn findings(settings: &Settings) -> Vec<Finding> {
    let opened = Authenticator::open(&settings.logins, Clock::system(), &Registry::new());
    let error = match opened {
        Ok(logins) => return unknown(settings, logins.accounts()),
        Err(error) => error,
    };
    let finding = |key, words: &str| Finding::in_section("logins", key, words);
    match &error {
        OpenError::Accounts(AccountsError::Wrong { .. }) => {
            let words = error.to_string();
            let lines = words.lines();
            lines.map(|line| finding("file", line).hint("mend the accounts' file")).collect()
        }
        OpenError::Tokens(_) => vec![finding("tokens.keys_file", &Causes(&error).to_string())],
        _ => vec![finding("file", &Causes(&error).to_string()).hint("look at the accounts' file")],
    }
}

/// The accounts that connectors name and that are not there: a slip of the pen would let nobody in.
fn unknown(settings: &Settings, accounts: &Accounts) -> Vec<Finding> {
    if settings.logins.file.is_none() {
        return Vec::new();
    }
    let named = settings
        .inbound
        .iter()
        .enumerate()
        .flat_map(|(number, inbound)| inbound.logins.iter().map(move |login| (number, login)));
    let is_missing = |login: &str| !login.starts_with('*') && !accounts.has(login);
    named
        .filter(|(_, login)| is_missing(login))
        .map(|(number, login)| {
            let words = format!("the accounts' file has no `{login}`");
            Finding::in_item("inbound", number, "logins", words).hint(format!(
                "mend the name, or add what `chasqui login hash {login}` prints to the accounts' file"
            ))
        })
        .collect()
}

/// Reads the files again and says so in the log; false if one of them cannot be used, and what it held stays.
pub(crate) async fn reload(logins: &Arc<Authenticator>) -> bool {
    let reloading = Arc::clone(logins);
    match tokio::task::spawn_blocking(move || reloading.reload()).await {
        Ok(failed) => {
            if !failed.iter().any(|error| matches!(error, OpenError::Accounts(_))) {
                tracing::info!(accounts = logins.accounts().count(), "accounts reloaded");
            }
            for error in &failed {
                let error_words = Causes(error);
                if matches!(error, OpenError::Tokens(_)) {
                    tracing::error!(error = %error_words, "keys for tokens not reloaded, old ones stay");
                } else {
                    tracing::error!(error = %error_words, "accounts not reloaded, old ones stay");
                }
            }
            failed.is_empty()
        }
        Err(error) => {
            tracing::error!(%error, "accounts not reloaded, old ones stay");
            false
        }
    }
}

/// The bans that hold.
pub(crate) fn bans(logins: &Authenticator, clock: &Clock) -> Bans {
    let now = clock.now();
    let bans = logins.bans().into_iter().map(|ban| {
        let (of, name) = match ban.banned {
            Banned::Account(name) => ("account", String::from(name)),
            Banned::Client(network) if network.prefix_len() == network.max_prefix_len() => {
                ("client", network.addr().to_string())
            }
            Banned::Client(network) => ("client", network.to_string()),
        };
        let ends_in_seconds = ban.until.saturating_duration_since(now).as_secs();
        Ban { of: of.to_owned(), name, ends_in_seconds }
    });
    Bans { bans: bans.collect() }
}

/// Lifts bans: an address or network is that of a client, and may be an account's name too.
pub(crate) fn unban(logins: &Authenticator, unban: &Unban) -> Lifted {
    let lifted = match &unban.whom {
        None if unban.all => logins.unban(Whom::All),
        None => 0,
        Some(whom) => {
            let client = address(whom).map_or(0, |client| logins.unban(Whom::Client(client)));
            client + logins.unban(Whom::Account(whom))
        }
    };
    tracing::info!(
        whom = unban.whom.as_deref().unwrap_or("everybody"),
        bans = lifted,
        "bans lifted"
    );
    Lifted { bans: u64::try_from(lifted).unwrap_or(u64::MAX) }
}

/// An address, or that of a network as the list of bans shows it.
fn address(text: &str) -> Option<IpAddr> {
    text.split_once('/').map_or(text, |(address, _)| address).parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::look::looked;

    #[test]
    fn every_fault_of_the_accounts_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (file, accounts) = (folder.path().join("x.toml"), folder.path().join("accounts.toml"));
        let text = format!(
            "hostname = \"relay.test\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n\
             [[outbound]]\nname = \"out\"\n[logins]\nfile = \"{}\"\n",
            accounts.display()
        );
        std::fs::write(&file, &text).unwrap();
        let said = || looked(&file, findings).unwrap_err();
        assert!(said().contains("x.toml:8:1: logins.file: "), "{}", said());
        std::fs::write(&accounts, "[[account]]\nname = \"a\"\n[[account]]\nnaem = 1\n").unwrap();
        assert!(said().contains("accounts.toml is open to everybody"), "{}", said());
        std::fs::set_permissions(&accounts, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(said().contains("accounts.toml:4:1: account.naem"), "{}", said());
        std::fs::write(&accounts, "[[account]]\nname = \"a\"\n").unwrap();
        assert_eq!(said().lines().count(), 2, "{}", said());
        std::fs::write(&accounts, "").unwrap();
        assert!(looked(&file, findings).is_ok());
        let logins = "[[inbound]]\nname = \"people\"\nlogins = [\"ana@b.example\", \"*@b.example\", \"an@b.example\"]\n";
        let text = text.replace(":0\"\n", ":0\"\nauth = {}\n");
        std::fs::write(&file, format!("{text}{logins}")).unwrap();
        std::fs::write(&accounts, "[[account]]\nname = \"ana@b.example\"\ntokens = [\"x\"]\n")
            .unwrap();
        let lines = said();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(
            lines.contains(
                "x.toml:12:1: inbound.logins: the accounts' file has no `an@b.example`; mend"
            ),
            "{lines}"
        );
    }

    #[test]
    fn bans_are_lifted_as_they_are_shown() {
        let settings = settings::parse(crate::least::SETTINGS, Path::new("least")).unwrap();
        let clock = Clock::manual(0);
        let logins =
            Authenticator::open(&settings.logins, clock.clone(), &Registry::new()).unwrap();
        assert_eq!(bans(&logins, &clock), Bans::default());
        for (whom, want) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:db8::/64", Some("2001:db8::")),
            ("alice", None),
            ("a/b", None),
        ] {
            assert_eq!(address(whom), want.map(|it| it.parse().unwrap()), "{whom}");
            assert_eq!(unban(&logins, &Unban { all: false, whom: Some(whom.to_owned()) }).bans, 0);
        }
    }
}
