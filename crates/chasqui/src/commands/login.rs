//! `chasqui login`.

use admin::view::{Bans, Unban};
use anyhow::anyhow;
use sasl::{Cost, Entry, hash_password};

use crate::arguments::{Ask, Login, LoginHash, LoginUnban};
use crate::failure::{Failure, Result};
use crate::output;
use crate::password;
use crate::reach::{client, wait_for};

/// Does it.
pub(crate) fn run(login: &Login) -> Result {
    match login {
        Login::Bans(ask) => wait_for(bans(ask)),
        Login::Unban(unban) => wait_for(self::unban(unban)),
        Login::Hash(hash) => self::hash(hash),
    }
}

async fn bans(ask: &Ask) -> Result {
    let bans = client(&ask.reach)?.bans().await?;
    if ask.json {
        return output::json(&bans);
    }
    output::line(bans_text(&bans))
}

fn bans_text(bans: &Bans) -> String {
    if bans.bans.is_empty() {
        return "nobody is banned".to_owned();
    }
    let mut table = output::table(["banned", "name", "for another"]);
    for ban in &bans.bans {
        let ends = output::span(ban.ends_in_seconds);
        table.add_row([ban.of.clone(), output::printable(&ban.name), ends]);
    }
    table.to_string()
}

async fn unban(unban: &LoginUnban) -> Result {
    let whom = Unban { all: unban.all, whom: unban.whom.clone() };
    let lifted = client(&unban.ask.reach)?.unban(&whom).await?;
    if unban.ask.json {
        output::json(&lifted)?;
    }
    if let (0, Some(whom)) = (lifted.bans, &unban.whom) {
        return Err(Failure {
            hint: Some("`chasqui login bans` names who is banned".to_owned()),
            ..Failure::from(anyhow!("nobody called {} is banned", output::printable(whom)))
        });
    }
    if unban.ask.json {
        return Ok(());
    }
    let noun = if lifted.bans == 1 { "ban" } else { "bans" };
    output::line(format!("{} {noun} lifted", lifted.bans))
}

fn hash(hash: &LoginHash) -> Result {
    // Before anybody types a password for nothing.
    let entry = hash.account.as_ref().map(|account| Entry::new(account, &hash.sender));
    let entry = entry.transpose().map_err(|error| anyhow!(error))?;
    let password = password::read()?;
    let hashed = hash_password(&password, &Cost::default()).map_err(|error| Failure {
        hint: Some("give one password, in one line of standard input".to_owned()),
        ..Failure::from(anyhow!(error))
    })?;
    let text = match entry {
        Some(entry) => entry.with(&hashed),
        None => format!(
            "password = \"{}\"\nscram_sha_256 = \"{}\"\nscram_sha_1 = \"{}\"\n",
            hashed.password, hashed.scram_sha_256, hashed.scram_sha_1
        ),
    };
    output::line(text.trim_end())
}
