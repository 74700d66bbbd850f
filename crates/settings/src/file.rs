//! The way in: a path or a text.

use std::path::Path;

use crate::check::{check, warn};
use crate::finding::Finding;
use crate::load_error::LoadError;
use crate::problem::{Problem, Problems};
use crate::read::Places;
use crate::read::read;
use crate::settings::Settings;
use crate::sources::{Changed, Sources};

/// Settings that are good.
#[derive(Debug)]
pub struct Loaded<T> {
    /// What they say.
    pub settings: Settings,
    /// What was made of them when they were looked at.
    pub made: T,
    /// What works, and not as whoever wrote it may think; none if nothing does.
    pub odd: Option<Problems>,
}

/// Reads and checks the settings in `file` and its connectors' folder.
pub fn load(file: &Path) -> Result<Settings, LoadError> {
    Ok(load_and_make(file, |_| Ok(()), |_, ()| Vec::new())?.settings)
}

/// As [`load`]; if nothing is wrong, `make` makes something of the settings, unless it finds more, such as files that
/// are not there. Then `look` may find what is odd.
pub fn load_and_make<T>(
    file: &Path,
    make: impl FnOnce(&Settings) -> Result<T, Vec<Finding>>,
    look: impl FnOnce(&Settings, &T) -> Vec<Finding>,
) -> Result<Loaded<T>, LoadError> {
    let sources = Sources::read(file, &Changed::new())?;
    let (settings, places, made) = parse_and_make(&sources, make)?;
    let all = warn(&settings, &places).into_iter().chain(look(&settings, &made));
    let list = sorted(all.map(|finding| finding.placed(&places)).collect());
    let odd = (!list.is_empty()).then(|| Problems { file: file.into(), list });
    Ok(Loaded { settings, made, odd })
}

/// Reads and checks `text` alone, which is called `file` in what is said about it.
pub fn parse(text: &str, file: &Path) -> Result<Settings, Problems> {
    parse_and_make(&Sources::one(file, text), |_| Ok(())).map(|(settings, ..)| settings)
}

/// Reads and checks the texts of `sources`, then makes something of them; also says where each key stands.
pub(crate) fn parse_and_make<T>(
    sources: &Sources,
    make: impl FnOnce(&Settings) -> Result<T, Vec<Finding>>,
) -> Result<(Settings, Places<'_>, T), Problems> {
    let (settings, places, mut problems) = read::<Settings>(sources);
    if problems.is_empty() {
        let wrong = check(&settings, &places).into_iter();
        problems = wrong.map(|finding| finding.placed(&places)).collect();
    }
    let made = if problems.is_empty() { make(&settings) } else { Err(Vec::new()) };
    made.map_err(|findings| {
        problems.extend(findings.into_iter().map(|it| it.placed(&places)));
        Problems { file: sources.main().into(), list: sorted(problems) }
    })
    .map(|made| (settings, places, made))
}

/// In the order of the files; what is about no line comes first.
pub(crate) fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|one, other| (&one.file, one.position).cmp(&(&other.file, other.position)));
    problems
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
    use std::path::PathBuf;

    use super::*;

    const GOOD: &str = r#"
hostname = "relay.example.com"
[[listener]]
name = "smtp"
address = "127.0.0.1:2525"
[[inbound]]
name = "here"
sender_ip_addresses = ["127.0.0.0/8"]
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
             recipient_domains = [\"x.example\"]\ntls = \"none\"\nsmart_hosts = [{{ host = \"mx.x.example\" }}]\n\
             login = {{ user = \"relay\", password_file = \"/p\" }}\n"
        );
        check(
            &text,
            &[
                "x.toml:11:1: outbound.login: without `smart_hosts` any mail exchanger would get to see the password; name the smart hosts in `smart_hosts`, or leave the login out",
                "x.toml:11:11: outbound.login.user: is empty or holds a control character; write the name that the smart hosts know this relay by",
                "x.toml:11:22: outbound.login.password_file: is empty; name a file that holds the password, readable by the relay's user only",
                "x.toml:17:1: outbound.login: with `tls = \"none\"` it would never be sent, and no mail either; set `tls = \"verify\"`, or `login_without_tls = true` where nobody can listen",
            ],
        );
    }

    #[test]
    fn a_login_is_shown_by_its_file_and_can_be_read_again() {
        let text = format!(
            "{GOOD}smart_hosts = [{{ host = \"mx.x.example\" }}]\ntls = \"none\"\n\
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
    fn rests_grow_from_the_first_to_the_longest() {
        let text = format!(
            "{GOOD}[queue.retry_reply]\nfirst = \"5m\"\nmax = \"1m\"\n[queue.retry_connect]\nfactor = 0.5\n"
        );
        check(
            &text,
            &[
                "x.toml:12:1: queue.retry_reply.first: the first rest, 5m, is longer than the longest, 1m; make `first` shorter or `max` longer",
                "x.toml:15:1: queue.retry_connect.factor: 0.5 is less than 1; write 1.0 for rests that stay alike, 2.0 for rests that double",
            ],
        );
        let good =
            format!("{GOOD}[queue.retry_reply]\nfirst = \"1m\"\nmax = \"1m\"\nfactor = 1.0\n");
        assert!(parse(&good, Path::new("x.toml")).is_ok());
    }

    #[test]
    fn an_address_within_a_network_is_no_network() {
        let text = GOOD.replace("127.0.0.0/8", "192.0.2.1/24");
        check(
            &text,
            &[
                "x.toml:8:24: inbound.sender_ip_addresses: `192.0.2.1/24` is an address within a network: did you mean \"192.0.2.0/24\", or just \"192.0.2.1\"?",
            ],
        );
    }

    #[test]
    fn hosts_are_tables() {
        check(
            &format!("{GOOD}smart_hosts = [\"mx.x.example\"]\n"),
            &[
                "x.toml:11:16: outbound.smart_hosts: \"mx.x.example\" is a text; write a table for each, in a list: smart_hosts = [{ host = \"mx.x.example\" }]",
            ],
        );
        check(
            &format!("{GOOD}smart_hosts = [{{ host = \"mx.x.example:587\" }}]\n"),
            &[
                "x.toml:11:1: outbound.smart_hosts: smart host `mx.x.example:587` of outbound connector `internet` is not a host name or address; the port stands beside it: { host = \"mx.x.example\", port = 587 }",
            ],
        );
    }

    #[test]
    fn the_whole_internet_is_no_network_of_ours() {
        let text = GOOD.replace("127.0.0.0/8", "0.0.0.0/0");
        check(
            &text,
            &[
                "x.toml:8:1: inbound.sender_ip_addresses: 0.0.0.0/0 would make this an open relay; list the networks whose mail this relay carries",
            ],
        );
    }

    #[test]
    fn what_others_find_is_placed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hosts = "smart_hosts = [{ host = \"mx.x.example\" }]";
        let login = "login = { password_file = \"/p\", user = \"a\" }";
        let text = format!("{GOOD}{hosts}\n{login}\n[tls]\nroots = \"/x\"\n");
        std::fs::write(file.path(), text).unwrap();
        let found = |settings: &Settings| {
            assert_eq!(settings.hostname, "relay.example.com");
            vec![
                Finding::in_section("tls", "roots", "is not there").hint("look"),
                Finding::in_item("listener", 0, "name", "is odd"),
                Finding::in_item("outbound", 0, "login.user", "is unknown"),
            ]
        };
        let make = |settings: &Settings| Finding::none_of(found(settings));
        let loaded = load_and_make(file.path(), make, |_, ()| Vec::new());
        let error = loaded.unwrap_err().to_string();
        let name = file.path().display();
        assert_eq!(
            error,
            format!(
                "{name}:4:1: listener.name: is odd\n{name}:12:33: outbound.login.user: is unknown\n{name}:14:1: tls.roots: is not there; look"
            )
        );
        let odd = |settings: &Settings, made: &u8| {
            assert_eq!(*made, 7);
            found(settings)
        };
        let loaded = load_and_make(file.path(), |_| Ok(7), odd).unwrap();
        let odd: Vec<_> = loaded.odd.iter().flat_map(Problems::lines).collect();
        assert_eq!(odd.len(), 3, "{odd:?}");
        assert!(odd[0].contains("4:1: listener.name: is odd"), "{odd:?}");
    }

    #[test]
    fn a_file_that_is_not_text_is_placed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a = 1\nb = \"\xff\"").unwrap();
        let error = load(file.path()).unwrap_err().to_string();
        assert!(error.ends_with(":2:6: this octet is not UTF-8"), "{error}");
    }

    /// A folder with `main` in x.toml and further files in its connectors' folder.
    fn several(main: &str, others: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (file, inner) = (folder.path().join("x.toml"), folder.path().join("connectors.d"));
        std::fs::write(&file, main).unwrap();
        std::fs::create_dir(&inner).unwrap();
        for (name, text) in others {
            std::fs::write(inner.join(name), text).unwrap();
        }
        (folder, file)
    }

    #[test]
    fn connectors_come_from_a_folder_too() {
        let network = |name: &str| format!("[[inbound]]\nname = \"{name}\"\n");
        let others = [
            ("b.toml", network("b")),
            ("a.toml", network("a1") + &network("a2")),
            (".hidden.toml", network("hidden")),
            ("c.toml~", network("old")),
            ("d.txt", "not read".to_owned()),
        ];
        let others = others.each_ref().map(|(name, text)| (*name, text.as_str()));
        let (_folder, file) = several(GOOD, &others);
        let names = |file: &Path| -> Vec<String> {
            load(file).unwrap().inbound.into_iter().map(|inbound| inbound.name).collect()
        };
        assert_eq!(names(&file), ["here", "a1", "a2", "b"]);
        // Another folder is another set.
        let text = format!("connectors_folder = \"elsewhere\"\n{GOOD}");
        std::fs::write(&file, text).unwrap();
        assert_eq!(names(&file), ["here"]);
    }

    #[test]
    fn every_file_has_its_own_problems() {
        let main = GOOD.replace("127.0.0.0/8", "127.0.0.0/80");
        let (folder, file) = several(
            &main,
            &[
                ("a.toml", "[[inbound]]\nname = \"a\"\nsender_ip_address = 1\n"),
                ("b.toml", "\n[[outbound]]\nname = \"b\"\nport = 70000\n"),
            ],
        );
        let said = || {
            let words = load(&file).unwrap_err().to_string();
            words.replace(&format!("{}/", folder.path().display()), "")
        };
        assert_eq!(
            said(),
            "x.toml:8:24: inbound.sender_ip_addresses: `127.0.0.0/80` is not a network: write an address or an address and a prefix length, such as \"192.0.2.0/24\"\n\
             connectors.d/a.toml:3:1: inbound.sender_ip_address: unknown key; did you mean `sender_ip_addresses`?\n\
             connectors.d/b.toml:4:8: outbound.port: 70000 is out of range; write a whole number from 0 to 65535"
        );
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("x.toml", GOOD);
        write("connectors.d/a.toml", "hostname = \"x\"\ninbound = 5\n");
        write("connectors.d/b.toml", "[[outbound]\n");
        assert_eq!(
            said(),
            "connectors.d/a.toml:1:1: hostname: has no place in this folder; write it in the main file\n\
             connectors.d/a.toml:2:1: inbound: is not a list of tables; write it as [[inbound]]\n\
             connectors.d/b.toml:1:12: this is not TOML: unclosed array table, expected `]`"
        );
        write("connectors.d/a.toml", "[[inbound]]\nname = \"here\"\n");
        write("connectors.d/b.toml", "[[inbound]]\nname = \"b\"\n[[inbound]]\nname = \"b\"\n");
        assert_eq!(
            said(),
            format!(
                "connectors.d/a.toml:2:1: inbound.name: `here` is also the name of another in {}; give each its own\n\
                 connectors.d/b.toml:4:1: inbound.name: `b` is also the name of another; give each its own",
                "x.toml"
            )
        );
    }
}
