//! The accounts' file.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::account::Account;
use crate::config;
use crate::password::PasswordHash;
use crate::scram::{ScramHash, ScramKeys};
use crate::senders::Senders;
use crate::text::{prepared, shown};

/// No file is told more than this at once.
const PROBLEMS_MAX: usize = 50;

/// One thing that is wrong with the accounts' file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, counted from 1; the column in characters.
    pub position: Option<(usize, usize)>,
    /// The key it is about, such as `account.senders`.
    pub key: Option<String>,
    /// What is wrong. Names accounts, shows no secret.
    pub words: String,
}

impl fmt::Display for Problem {
    /// `12:5: account.senders: names no sender …`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(out, "{line}:{column}: ")?;
        }
        if let Some(key) = &self.key {
            write!(out, "{key}: ")?;
        }
        out.write_str(&self.words)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<config::Account>,
}

/// Reads the accounts in `text`, or says all that is wrong with them.
pub(crate) fn parse(text: &str) -> Result<Vec<Account>, Vec<Problem>> {
    let tree = DeTable::parse(text).map_err(|error| {
        let words = format!("this is not TOML: {}", error.message());
        vec![Problem {
            position: error.span().map(|span| position(text, span.start)),
            key: None,
            words,
        }]
    })?;
    let document = Spanned::new(tree.span(), DeValue::Table(tree.get_ref().clone()));
    let places = Places { text, tree: tree.get_ref() };
    let file = File::deserialize(ValueDeserializer::from(document)).map_err(|error| {
        let key = error.span().and_then(|span| places.key(&span));
        let words = without_value(error.message().trim_end());
        vec![Problem { position: error.span().map(|span| position(text, span.start)), key, words }]
    })?;
    let mut reader =
        Reader { places, problems: Vec::new(), names: HashMap::new(), tokens: HashMap::new() };
    let accounts = file
        .account
        .into_iter()
        .enumerate()
        .filter_map(|(number, entry)| reader.account(number, &entry));
    let accounts: Vec<_> = accounts.collect();
    reader.problems.truncate(PROBLEMS_MAX);
    if reader.problems.is_empty() { Ok(accounts) } else { Err(reader.problems) }
}

/// Serde repeats a text that stands where something else belongs, and that text may be a secret.
fn without_value(message: &str) -> String {
    match (message.find(": string \""), message.rfind("\", expected")) {
        (Some(from), Some(to)) if from < to => {
            let (head, tail) = (message.get(..from), message.get(to + 1..));
            format!("{}: a text{}", head.unwrap_or_default(), tail.unwrap_or_default())
        }
        _ => message.to_owned(),
    }
}

struct Reader<'a> {
    places: Places<'a>,
    problems: Vec<Problem>,
    names: HashMap<Box<str>, usize>,
    tokens: HashMap<Box<str>, usize>,
}

impl Reader<'_> {
    fn account(&mut self, number: usize, entry: &config::Account) -> Option<Account> {
        let before = self.problems.len();
        let name = self.name(number, entry);
        if !entry.name.is_empty() && !has_way_in(entry) {
            let words = format!(
                "`{}` has neither a password nor tokens nor certificates",
                shown(&entry.name)
            );
            self.wrong(number, "name", None, words);
        }
        let password =
            self.kept(number, "password", entry.password.as_deref(), PasswordHash::parse);
        let mut scram = |key, text: Option<&str>, hash| {
            self.kept(number, key, text, |text| ScramKeys::parse(hash, text))
        };
        let scram_sha_256 =
            scram("scram_sha_256", entry.scram_sha_256.as_deref(), ScramHash::Sha256);
        let scram_sha_1 = scram("scram_sha_1", entry.scram_sha_1.as_deref(), ScramHash::Sha1);
        let senders = self.senders(number, entry);
        let tokens = self.tokens(number, entry);
        let certificates = self.certificates(number, entry);
        if self.problems.len() > before {
            return None;
        }
        let (name, senders, is_enabled) = (name?, senders?, !entry.disabled);
        Some(Account {
            name,
            is_enabled,
            password,
            scram_sha_256,
            scram_sha_1,
            senders,
            tokens,
            certificates,
        })
    }

    fn name(&mut self, number: usize, entry: &config::Account) -> Option<Box<str>> {
        let name = match prepared(&entry.name) {
            Ok(name) => name.into_boxed_str(),
            Err(error) => {
                self.wrong(number, "name", None, error.to_string());
                return None;
            }
        };
        if let Some(other) = self.names.insert(name.clone(), number) {
            self.wrong(
                number,
                "name",
                None,
                format!("`{name}` is the name of account {} too", other + 1),
            );
        }
        Some(name)
    }

    fn kept<T, E: fmt::Display>(
        &mut self,
        number: usize,
        key: &'static str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let wrong = |error: E| self.wrong(number, key, None, error.to_string());
        parse(text?).map_err(wrong).ok()
    }

    fn senders(&mut self, number: usize, entry: &config::Account) -> Option<Senders> {
        let own = [entry.name.clone()];
        let Some(texts) = &entry.senders else {
            let own = own.iter().map(String::as_str).filter(|name| name.contains('@'));
            let senders =
                Senders::parse(own).ok().filter(|senders| !senders.to_string().is_empty());
            if senders.is_none() {
                let words =
                    "is missing: the name is no address, so say from whom the account may send";
                self.wrong(number, "senders", None, words.to_owned());
            }
            return senders;
        };
        let wrong = |error: crate::senders::SendersError| {
            let text = texts.get(error.number).map_or("", String::as_str);
            self.wrong(number, "senders", Some(error.number), format!("`{}` {error}", shown(text)));
        };
        Senders::parse(texts.iter().map(String::as_str)).map_err(wrong).ok()
    }

    fn tokens(&mut self, number: usize, entry: &config::Account) -> Vec<Box<str>> {
        let tokens: Vec<Box<str>> =
            entry.tokens.iter().map(|token| token.as_str().into()).collect();
        for (item, token) in tokens.iter().enumerate() {
            if token.is_empty() {
                self.wrong(number, "tokens", Some(item), "is empty".to_owned());
            }
            if let Some(other) = self.tokens.insert(token.clone(), number) {
                let words = format!("`{}` stands for account {} too", shown(token), other + 1);
                self.wrong(number, "tokens", Some(item), words);
            }
        }
        tokens
    }

    fn certificates(&mut self, number: usize, entry: &config::Account) -> Vec<Box<str>> {
        let empty = entry.certificates.iter().position(String::is_empty);
        if empty.is_some() {
            self.wrong(number, "certificates", empty, "is empty".to_owned());
        }
        entry.certificates.iter().map(|name| name.to_lowercase().into_boxed_str()).collect()
    }

    fn wrong(&mut self, number: usize, key: &'static str, item: Option<usize>, words: String) {
        let position = self.places.position(number, key, item);
        self.problems.push(Problem { position, key: Some(format!("account.{key}")), words });
    }
}

fn has_way_in(entry: &config::Account) -> bool {
    let has_password =
        entry.password.is_some() || entry.scram_sha_256.is_some() || entry.scram_sha_1.is_some();
    has_password || !entry.tokens.is_empty() || !entry.certificates.is_empty()
}

/// Where things stand in the text.
struct Places<'a> {
    text: &'a str,
    tree: &'a DeTable<'a>,
}

impl Places<'_> {
    /// Where an account's key or an item of it stands; else the account.
    fn position(&self, number: usize, key: &str, item: Option<usize>) -> Option<(usize, usize)> {
        let DeValue::Array(accounts) = self.tree.get("account")?.get_ref() else { return None };
        let account = accounts.get(number)?;
        let DeValue::Table(keys) = account.get_ref() else { return None };
        let span = match keys.get_key_value(key) {
            None => account.span(),
            Some((_, value)) => match (value.get_ref(), item) {
                (DeValue::Array(items), Some(item)) => items.get(item)?.span(),
                _ => value.span(),
            },
        };
        Some(position(self.text, span.start))
    }

    /// The key that stands around `span`.
    fn key(&self, span: &Range<usize>) -> Option<String> {
        let covers = |place: Range<usize>| place.start <= span.start && span.end <= place.end;
        for (key, value) in self.tree {
            if let DeValue::Array(items) = value.get_ref() {
                let tables = items.iter().filter_map(|item| match item.get_ref() {
                    DeValue::Table(keys) => Some(keys),
                    _ => None,
                });
                for (inner, value) in tables.flatten() {
                    if covers(inner.span()) || covers(value.span()) {
                        return Some(format!("{}.{}", key.get_ref(), inner.get_ref()));
                    }
                }
            }
            if covers(key.span()) || covers(value.span()) {
                return Some(key.get_ref().to_string());
            }
        }
        None
    }
}

/// Line and column of an octet, counted from 1, columns in characters.
fn position(text: &str, octet: usize) -> (usize, usize) {
    let before = text.get(..octet).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[track_caller]
    fn check(text: &str, want: &[&str]) -> Vec<Account> {
        let text = text.replace("HASH", HASH);
        match parse(&text) {
            Ok(accounts) => {
                assert!(want.is_empty(), "nothing is wrong");
                accounts
            }
            Err(problems) => {
                let words: Vec<_> = problems.iter().map(ToString::to_string).collect();
                assert_eq!(words, want);
                assert!(!words.concat().contains("c29tZXNhbHQ"), "a secret is shown");
                Vec::new()
            }
        }
    }

    #[test]
    fn accounts_are_read() {
        let accounts = check(
            "[[account]]\nname = \"alice@example.com\"\npassword = \"HASH\"\ntokens = [\"4711\"]\n\n\
             [[account]]\nname = \"printer\"\ndisabled = true\nsenders = [\"printer@example.com\", \"<>\"]\n\
             certificates = [\"Printer.example.com\"]\n",
            &[],
        );
        let [alice, printer] = accounts.as_slice() else { panic!("two accounts") };
        assert_eq!(
            (alice.senders.to_string().as_str(), alice.is_enabled),
            ("alice@example.com", true)
        );
        assert!(alice.acts_for("Alice@example.com") && !alice.acts_for("bob@example.com"));
        assert_eq!((&*printer.certificates[0], printer.is_enabled), ("printer.example.com", false));
        assert!(check("", &[]).is_empty());
    }

    #[test]
    fn every_problem_is_placed() {
        check(
            "[[account]]\nname = \"a@b.example\"\npassword = \"HASHx$\"\nsenders = [\"c.example\", \"no sender\"]\n\
             [[account]]\nname = \"a@b.example\"\nscram_sha_256 = \"HASH\"\ntokens = [\"x\", \"\"]\n\
             [[account]]\nname = \"printer\"\ntokens = [\"x\"]\ncertificates = [\"\"]\n\
             [[account]]\n[[account]]\nname = \"x\\u0007@b.example\"\n",
            &[
                "3:12: account.password: is not a PHC string such as `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`",
                "4:25: account.senders: `no sender` names no sender: write an address, a domain, `*.` and a domain, `<>` or `*`",
                "6:8: account.name: `a@b.example` is the name of account 1 too",
                "7:17: account.scram_sha_256: is not `SCRAM-SHA-256$iterations:salt$stored key:server key`",
                "8:16: account.tokens: is empty",
                "9:1: account.senders: is missing: the name is no address, so say from whom the account may send",
                "11:11: account.tokens: `x` stands for account 2 too",
                "12:17: account.certificates: is empty",
                "13:1: account.name: is empty",
                "13:1: account.senders: is missing: the name is no address, so say from whom the account may send",
                "15:8: account.name: holds a character that no name may have, or mixes directions of writing (RFC 4013)",
                "15:8: account.name: `x?@b.example` has neither a password nor tokens nor certificates",
                "14:1: account.senders: is missing: the name is no address, so say from whom the account may send",
            ],
        );
    }

    #[test]
    fn what_toml_and_serde_say_is_placed_and_shows_no_secret() {
        check("[[account]\n", &["1:11: this is not TOML: unclosed array table, expected `]`"]);
        check(
            "[[account]]\nname = \"a\"\npasword = \"HASH\"\n",
            &[
                "3:1: account.pasword: unknown field `pasword`, expected one of `name`, `disabled`, `password`, `scram_sha_256`, `scram_sha_1`, `senders`, `tokens`, `certificates`",
            ],
        );
        check(
            "[[account]]\nsenders = \"HASH\"\n",
            &["2:11: account.senders: invalid type: a text, expected a sequence"],
        );
        check(
            "[[account]]\ndisabled = \"HASH\"\n",
            &["2:12: account.disabled: invalid type: a text, expected a boolean"],
        );
        check("[accounts]\n", &["1:2: accounts: unknown field `accounts`, expected `account`"]);
    }
}
