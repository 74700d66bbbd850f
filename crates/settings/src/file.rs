//! The way in: a path or a text.

use std::io;
use std::path::{Path, PathBuf};

use crate::check::check;
use crate::finding::Finding;
use crate::problem::{Problem, Problems};
use crate::read::read;
use crate::settings::Settings;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read: name another, or look at its mode.
    #[error("the settings file {} cannot be read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says something that cannot be: correct it.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

/// Reads and checks the settings in `file`.
pub fn load(file: &Path) -> Result<Settings, LoadError> {
    load_and_look(file, |_| Vec::new())
}

/// As [`load`]; if nothing is wrong, `look` may find more, such as files that are not there.
pub fn load_and_look(
    file: &Path,
    look: impl FnOnce(&Settings) -> Vec<Finding>,
) -> Result<Settings, LoadError> {
    let unreadable = |source| LoadError::Unreadable { file: file.to_owned(), source };
    let octets = std::fs::read(file).map_err(unreadable)?;
    let text = std::str::from_utf8(&octets).map_err(|error| {
        let good = octets.get(..error.valid_up_to()).unwrap_or_default();
        let text = String::from_utf8_lossy(good);
        let problem =
            Problem::new("this octet is not UTF-8").at(&text, Some(text.len()..text.len()));
        Problems { file: file.into(), list: vec![problem] }
    })?;
    Ok(parse_and_look(text, file, look)?)
}

/// Reads and checks `text`, which is called `file` in what is said about it.
pub fn parse(text: &str, file: &Path) -> Result<Settings, Problems> {
    parse_and_look(text, file, |_| Vec::new())
}

fn parse_and_look(
    text: &str,
    file: &Path,
    look: impl FnOnce(&Settings) -> Vec<Finding>,
) -> Result<Settings, Problems> {
    let (settings, places, mut problems) = read::<Settings>(text);
    if problems.is_empty() {
        problems = check(&settings, &places);
    }
    if problems.is_empty() {
        let placed = |Finding { way, error, hint }: Finding| {
            places.locate(Problem { hint, ..Problem::new(error) }, &way)
        };
        problems = look(&settings).into_iter().map(placed).collect();
    }
    if problems.is_empty() {
        return Ok(settings);
    }
    // In the order of the file; what is about no line comes first.
    problems.sort_by_key(|problem| problem.position);
    Err(Problems { file: file.into(), list: problems })
}

/// The schema of the settings, with every sentence and every default.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Settings).to_value()
}

/// The settings as a file that [`load`] reads, with every key.
pub fn to_toml(settings: &Settings) -> Result<String, toml::ser::Error> {
    toml::to_string(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
hostname = "relay.example.com"
[[listener]]
name = "smtp"
address = "127.0.0.1:2525"
[[inbound]]
name = "here"
networks = ["127.0.0.0/8"]
[[outbound]]
name = "internet"
"#;

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        let problems = parse(text, Path::new("x.toml")).unwrap_err();
        assert_eq!(problems.to_string().lines().collect::<Vec<_>>(), want);
    }

    #[test]
    fn what_is_shown_can_be_read() {
        let settings = parse(GOOD, Path::new("x.toml")).unwrap();
        let shown = to_toml(&settings).unwrap();
        assert_eq!(parse(&shown, Path::new("y.toml")), Ok(settings), "{shown}");
    }

    #[test]
    fn an_empty_file_lacks_what_has_no_default() {
        check(
            "",
            &[
                "x.toml: hostname: is missing; write the name that other hosts know this relay by, such as \"relay.example.com\"",
                "x.toml: listener: there is none, so no mail could come in; write a [[listener]] with a name and an address",
                "x.toml: outbound: there is none, so no mail could go out; write an [[outbound]] with a name",
            ],
        );
    }

    #[test]
    fn names_are_unique_and_plain() {
        let text = format!(
            "{GOOD}[[outbound]]\nname = \"internet\"\n[[listener]]\nname = \"a b\"\naddress = \"127.0.0.1:2525\"\n"
        );
        check(
            &text,
            &[
                "x.toml:12:1: outbound.name: `internet` is also the name of another; give each its own",
                "x.toml:14:1: listener.name: `a b` cannot be a name; use letters, digits, `-` and `_`, at most 64",
                "x.toml:15:1: listener.address: 127.0.0.1:2525 is also the address of the listener `smtp`; give each its own",
            ],
        );
    }

    #[test]
    fn tls_needs_a_certificate() {
        let text = GOOD.replace(":2525\"", ":2525\"\ntls = \"starttls\"");
        check(
            &text,
            &[
                "x.toml:6:1: listener.tls: listener \"smtp\": tls needs both `certificate` and `key`; set `certificate` and `key` of this listener to PEM files",
            ],
        );
    }

    #[test]
    fn a_login_needs_hosts_a_user_a_file_and_tls() {
        let text = format!(
            "{GOOD}login = {{ user = \"\", password_file = \"\" }}\n[[outbound]]\nname = \"partner\"\n\
             recipient_domains = [\"x.example\"]\ntls = \"none\"\nhosts = [{{ host = \"mx.x.example\" }}]\n\
             login = {{ user = \"relay\", password_file = \"/p\" }}\n"
        );
        check(
            &text,
            &[
                "x.toml:11:1: outbound.login: without `hosts` any mail exchanger would get to see the password; name the smart hosts in `hosts`, or leave the login out",
                "x.toml:11:11: outbound.login.user: is empty or holds a control character; write the name that the smart hosts know this relay by",
                "x.toml:11:22: outbound.login.password_file: is empty; name a file that holds the password, readable by the relay's user only",
                "x.toml:17:1: outbound.login: with `tls = \"none\"` it would never be sent, and no mail either; set `tls = \"verify\"`, or `login_without_tls = true` where nobody can listen",
            ],
        );
    }

    #[test]
    fn a_login_is_shown_by_its_file_and_can_be_read_again() {
        let text = format!(
            "{GOOD}hosts = [{{ host = \"mx.x.example\" }}]\ntls = \"none\"\n\
             [outbound.login]\nuser = \"relay\"\npassword_file = \"/p\"\nlogin_without_tls = true\n"
        );
        let settings = parse(&text, Path::new("x.toml")).unwrap();
        let shown = to_toml(&settings).unwrap();
        assert!(shown.contains("password_file = \"/p\""), "{shown}");
        assert_eq!(parse(&shown, Path::new("y.toml")), Ok(settings), "{shown}");
    }

    #[test]
    fn logins_need_accounts_a_listener_and_names() {
        let text = format!(
            "{GOOD}[[inbound]]\nname = \"people\"\nlogins = [\"a\", \"*.b\"]\n\n[logins.attempts]\nwatched_max = 0\n"
        );
        check(
            &text,
            &[
                "x.toml:13:1: inbound.logins: no listener takes logins, so this would let nobody in; set `auth` of a listener",
                "x.toml:13:16: inbound.logins: `*.b` names no account; write an account's name, `*@` and a domain, or `*`",
                "x.toml:16:1: logins.attempts.watched_max: is 0; nobody could be watched; see docs/reference/settings.md",
            ],
        );
        let auth = GOOD.replace(":2525\"", ":2525\"\nauth = { mechanisms = [\"PLAIN\"] }");
        check(
            &auth,
            &[
                "x.toml:6:1: listener.auth: listener \"smtp\": no mechanism of `auth` could be used here; name a SCRAM in `mechanisms`, set `tls`, or `login_without_tls = true` where nobody can listen",
                "x.toml:6:1: listener.auth: nobody could log in, since there are no accounts; name the accounts' file in `logins.file`",
            ],
        );
        let text =
            format!("{GOOD}[logins]\nfile = \"/a\"\n").replace(":2525\"", ":2525\"\nauth = {}");
        let settings = parse(&text, Path::new("x.toml")).unwrap();
        let shown = to_toml(&settings).unwrap();
        assert_eq!(parse(&shown, Path::new("y.toml")), Ok(settings), "{shown}");
        let unknown = text.replace("auth = {}", "auth = { mechanism = [] }");
        check(
            &unknown,
            &["x.toml:6:10: listener.auth.mechanism: unknown key; did you mean `mechanisms`?"],
        );
    }

    #[test]
    fn the_whole_internet_is_no_network_of_ours() {
        let text = GOOD.replace("127.0.0.0/8", "0.0.0.0/0");
        check(
            &text,
            &[
                "x.toml:8:1: inbound.networks: 0.0.0.0/0 would make this an open relay; list the networks whose mail this relay carries",
            ],
        );
    }

    #[test]
    fn what_others_find_is_placed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hosts = "hosts = [{ host = \"mx.x.example\" }]";
        let login = "login = { password_file = \"/p\", user = \"a\" }";
        let text = format!("{GOOD}{hosts}\n{login}\n[tls]\nroots = \"/x\"\n");
        std::fs::write(file.path(), text).unwrap();
        let look = |settings: &Settings| {
            assert_eq!(settings.hostname, "relay.example.com");
            vec![
                Finding::in_section("tls", "roots", "is not there").hint("look"),
                Finding::in_item("listener", 0, "name", "is odd"),
                Finding::in_item("outbound", 0, "login.user", "is unknown"),
            ]
        };
        let error = load_and_look(file.path(), look).unwrap_err().to_string();
        let name = file.path().display();
        assert_eq!(
            error,
            format!(
                "{name}:4:1: listener.name: is odd\n{name}:12:33: outbound.login.user: is unknown\n{name}:14:1: tls.roots: is not there; look"
            )
        );
        assert!(load_and_look(file.path(), |_| Vec::new()).is_ok());
    }

    #[test]
    fn a_file_that_is_not_text_is_placed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a = 1\nb = \"\xff\"").unwrap();
        let error = load(file.path()).unwrap_err().to_string();
        assert!(error.ends_with(":2:6: this octet is not UTF-8"), "{error}");
    }
}
