//! `chasqui dkim`.

mod add;
mod in_force;
mod key;

use admin::view::Fields;
use anyhow::anyhow;
use auth::config::{Key, KeyState};
use auth::{Published, SigningKey};
use settings::{KeyEdit, Settings};

use self::in_force::in_force;
use self::key::{Shown, is_of, read, state_word};
use crate::arguments::{ConfigFile, Dkim, DkimActivate, DkimCheck, DkimRetire, DkimWhich};
use crate::failure::{Code, Failure, Result};
use crate::{domains, look, output};

/// Does it.
pub(crate) async fn run(dkim: &Dkim) -> Result {
    match dkim {
        Dkim::List(file) => list(file),
        Dkim::Add(add) => add::run(add).await,
        Dkim::Check(check) => self::check(check).await,
        Dkim::Activate(activate) => self::activate(activate).await,
        Dkim::Retire(retire) => self::retire(retire).await,
    }
}

fn list(file: &ConfigFile) -> Result {
    let settings = settings::load(&file.config)?;
    let all: Vec<_> = settings.dkim.iter().map(Shown::new).collect();
    if file.json {
        return output::json(&all);
    }
    if all.is_empty() {
        return output::line("there are no keys; `chasqui dkim add DOMAIN` makes some");
    }
    let mut table = output::table(["domain", "selector", "kind", "state", "file"]);
    for key in all {
        let kind = key.kind.unwrap_or("cannot be read");
        let file = key.key_file.display().to_string();
        table.add_row([&key.domain, &key.selector, kind, key.state, &file]);
    }
    output::line(table.to_string())
}

async fn check(check: &DkimCheck) -> Result {
    let settings = settings::load(&check.file.config)?;
    let wanted = |key: &&Key| check.domain.as_ref().is_none_or(|domain| is_of(key, domain));
    let keys: Vec<&Key> = settings.dkim.iter().filter(wanted).collect();
    if keys.is_empty() {
        return Err(Failure {
            error: anyhow!("there is no key to check"),
            hint: Some("`chasqui dkim list` names them, `chasqui dkim add` makes one".to_owned()),
            code: Code::Failed,
        });
    }
    let dns = domains::dns(&settings)?;
    let (mut all, mut missing) = (Vec::with_capacity(keys.len()), 0_usize);
    for key in keys {
        let published = read(key)?.published(&dns).await;
        missing += usize::from(published != Published::Yes && key.state != KeyState::Retired);
        all.push(Shown { published: Some(words(&published)), ..Shown::new(key) });
    }
    if check.file.json {
        output::json(&all)?;
    } else {
        output::line(all.iter().map(Shown::checked).collect::<Vec<_>>().join("\n"))?;
    }
    if missing == 0 {
        return Ok(());
    }
    let error = anyhow!("the DNS lacks {missing} of these keys");
    Err(Failure { error, hint: None, code: Code::Failed })
}

fn words(published: &Published) -> String {
    match published {
        Published::Yes => "published".to_owned(),
        Published::Missing => "not published".to_owned(),
        Published::Differs { found } => format!("another key is published: `{found}`"),
        Published::Unknown(error) => format!("not known: {error}"),
    }
}

async fn activate(activate: &DkimActivate) -> Result {
    let which = &activate.which;
    let settings = settings::load(&which.config)?;
    let key = read(found(&settings, which)?)?;
    let published = key.published(&domains::dns(&settings)?).await;
    if published != Published::Yes && !activate.force {
        return Err(not_published(&key, &published));
    }
    let mut fields: Fields = [("state".to_owned(), "active".into())].into_iter().collect();
    if activate.force && published != Published::Yes {
        fields.insert("check_dns".to_owned(), false.into());
    }
    changed(which, fields)?;
    in_force(&which.config, &format!("{} of {} signs", which.selector, which.domain)).await
}

fn not_published(key: &SigningKey, published: &Published) -> Failure {
    let record = key.record();
    let hint = format!("publish it, wait for the DNS, and try again; or say --force\n    {record}");
    let error = anyhow!("{}: {}", record.name, words(published));
    Failure { error, hint: Some(hint), code: Code::Failed }
}

async fn retire(retire: &DkimRetire) -> Result {
    let which = &retire.which;
    let settings = settings::load(&which.config)?;
    let key = found(&settings, which)?;
    let is_active = |key: &&Key| is_of(key, &which.domain) && key.state == KeyState::Active;
    let active = settings.dkim.iter().filter(is_active).count();
    if key.state == KeyState::Active && active == 1 && !retire.force {
        return Err(Failure {
            error: anyhow!(
                "no other key signs for {}, so its mail would leave unsigned",
                which.domain
            ),
            hint: Some("activate another one first, or say --force".to_owned()),
            code: Code::Failed,
        });
    }
    let name = read(key).ok().map(|key| key.record().name);
    let name = name.unwrap_or_else(|| format!("{}._domainkey.{}", which.selector, which.domain));
    let (state, next) = if retire.finally {
        (
            KeyState::Retired,
            format!("{name} may be taken out of the DNS, and its table and file away"),
        )
    } else {
        (
            KeyState::Retiring,
            format!(
                "{name} must stay in the DNS until the mail that the key signed has arrived; in a week say --finally"
            ),
        )
    };
    changed(which, [("state".to_owned(), state_word(state).into())].into_iter().collect())?;
    let done = format!("{} of {} signs no more; {next}", which.selector, which.domain);
    in_force(&which.config, &done).await
}

fn found<'a>(settings: &'a Settings, which: &DkimWhich) -> Result<&'a Key> {
    let is_it = |key: &&Key| {
        is_of(key, &which.domain) && key.selector.eq_ignore_ascii_case(&which.selector)
    };
    settings.dkim.iter().find(is_it).ok_or_else(|| {
        let (domain, selector) = (which.domain.clone(), which.selector.clone());
        settings::EditError::KeyMissing { domain, selector }.into()
    })
}

fn changed(which: &DkimWhich, fields: Fields) -> Result {
    let (domain, selector) = (which.domain.clone(), which.selector.clone());
    let edit = KeyEdit::Set { domain, selector, fields };
    settings::edit_keys(&which.config, &[edit], look::all)?;
    Ok(())
}
