//! Logins: accounts, refusals, bans, reloads, and what of it is told.

use crate::harness::accounts::{Accounts, PASSWORD, account, log_in, plain};
use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::wait::wait_for;

const NAME: &str = "ana@sender.example";

/// A session on the listener where passwords may come in the clear.
fn clear(relay: &Relay) -> Smtp {
    Smtp::open(relay.listener("clear"))
}

/// One login in a session of its own.
fn login(relay: &Relay, name: &str, password: &str) -> Reply {
    log_in(&mut clear(relay), name, password)
}

#[test]
fn nobody_learns_which_accounts_there_are() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let relay = Relay::start(accounts.settings(&sink));
    let wrong = login(&relay, NAME, "wrong");
    assert_eq!(wrong.code, 535);
    assert_eq!(login(&relay, "nobody@sender.example", PASSWORD), wrong);
    assert_eq!(login(&relay, "cy@sender.example", PASSWORD), wrong);
    // Challenges are alike too, and the same each time.
    let mut salts = Vec::new();
    for name in [NAME, "nobody@sender.example", "cy@sender.example"] {
        for _ in 0..2 {
            let first = base64(&format!("n,,n={name},r=abc"));
            let reply = clear(&relay).expect(&format!("AUTH SCRAM-SHA-256 {first}"), 334);
            let words = text(&reply.lines[0]);
            assert!(words.starts_with("r=abc") && words.ends_with(",i=10000"), "{words}");
            salts.push(words.split(',').nth(1).expect("a salt").to_owned());
        }
    }
    assert!(salts.chunks(2).all(|pair| pair[0] == pair[1]), "{salts:?}");
    assert_eq!(login(&relay, NAME, PASSWORD).code, 235);
    // The log knows better.
    let log = relay.log_with("client logged in");
    for words in ["was given a wrong password", "is not there", "is disabled"] {
        assert!(log.contains(words), "{words}\n{log}");
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn text(line: &str) -> String {
    use base64::Engine;
    let octets = base64::engine::general_purpose::STANDARD.decode(line).expect("base64");
    String::from_utf8(octets).expect("a text")
}

#[test]
fn passwords_in_the_clear_are_refused_and_not_asked_for() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let relay = Relay::start(accounts.settings(&sink));
    for (listener, scram) in [("smtp", true), ("submission", true)] {
        let mut session = Smtp::connect(relay.listener(listener)).expect("a connection");
        session.read_reply();
        let offer = session.expect("EHLO client.test", 250).text();
        assert!(!offer.contains("PLAIN") && !offer.contains("LOGIN"), "{offer}");
        assert_eq!(offer.contains("AUTH SCRAM-SHA-256 SCRAM-SHA-1"), scram, "{offer}");
        assert_eq!(log_in(&mut session, NAME, PASSWORD).code, 538);
        session.expect("AUTH LOGIN", 538);
        session.expect("AUTH XOAUTH2 x", 538);
        session.expect("AUTH EXTERNAL =", 504);
        session.quit();
    }
}

#[test]
fn who_has_logged_in_may_send_and_the_queue_knows_who_it_was() {
    // Nobody listens there, so the message waits.
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let settings = accounts.settings(&sink).set("outbound.0.smart_hosts.0.port", 1);
    let relay = Relay::start(settings);
    let mut session = clear(&relay);
    let content = letter("x", 300);
    let refused = session.deliver(NAME, &["bo@receiver.example"], &content);
    assert_eq!(refused.code, 550, "{refused:?}");
    session.expect("RSET", 250);
    assert_eq!(log_in(&mut session, NAME, PASSWORD).code, 235);
    let refused = session.deliver("eve@other.example", &["bo@receiver.example"], &content);
    assert_eq!(refused.code, 553, "{refused:?}");
    let taken = session.deliver("any@sender.example", &["bo@receiver.example"], &content);
    assert_eq!(taken.code, 250, "{taken:?}");
    session.quit();
    let id = wait_for("the message", || {
        let list = relay.cli_json(&["queue", "list"]);
        Some(list["messages"][0]["id"].as_str()?.to_owned())
    });
    let shown = relay.cli_json(&["queue", "show", &id]);
    assert_eq!(shown["origin"]["login"], NAME, "{shown}");
    assert_eq!(shown["origin"]["connector"], "tests", "{shown}");
    let shown = relay.cli(&["queue", "show", &id]).succeeded();
    assert!(shown.contains("no TLS, login ana@sender.example"), "{shown}");
    let log = relay.log_with("message accepted");
    let line = log.lines().find(|line| line.contains("message accepted")).expect("a line");
    assert!(line.contains("\"login\":\"ana@sender.example\""), "{line}");
}

#[test]
fn those_who_guess_are_banned_until_an_operator_says_otherwise() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let settings = accounts
        .settings(&sink)
        .set("logins.attempts.failures_per_client_max", 3)
        .set("logins.attempts.failures_per_account_max", 5);
    let relay = Relay::start(settings);
    let from = |client: &str, listener: &str| {
        let address = relay.listener(listener);
        Smtp::connect_from(client.parse().expect("an address"), address).expect("a connection")
    };
    let guess = |client: &str, name: &str, password: &str| {
        let mut session = from(client, "clear");
        session.read_reply();
        session.expect("EHLO client.test", 250);
        log_in(&mut session, name, password)
    };
    assert_eq!(guess("127.0.0.1", NAME, PASSWORD).code, 235);
    for _ in 0..3 {
        assert_eq!(guess("127.0.0.2", NAME, "wrong").code, 535);
    }
    // Even the right password does not help, and others are not touched.
    let banned = guess("127.0.0.2", NAME, PASSWORD);
    assert_eq!((banned.code, banned.text().contains("127.0.0.2")), (421, true), "{banned:?}");
    assert_eq!(from("127.0.0.2", "submission").read_reply().code, 421);
    assert_eq!(from("127.0.0.3", "submission").read_reply().code, 220);
    for _ in 0..2 {
        assert_eq!(guess("127.0.0.3", NAME, "wrong").code, 535);
    }
    // Now the account is banned too, except for who logged in to it before.
    assert_eq!(guess("127.0.0.4", NAME, PASSWORD).code, 454);
    assert_eq!(guess("127.0.0.1", NAME, PASSWORD).code, 235);
    let bans = relay.cli_json(&["login", "bans"]);
    let names: Vec<_> =
        bans["bans"].as_array().expect("bans").iter().map(|ban| &ban["name"]).collect();
    assert_eq!(names, [NAME, "127.0.0.2"], "{bans}");
    let table = relay.cli(&["login", "bans"]).succeeded();
    assert!(table.contains("account") && table.contains("29m"), "{table}");
    relay.assert_metric("chasqui_login_bans", 2.0);
    relay.assert_metric("chasqui_login_bans_total{of=\"client\"}", 1.0);

    assert_eq!(relay.cli_json(&["login", "unban", "127.0.0.2"])["bans"], 1);
    assert_eq!(guess("127.0.0.2", NAME, PASSWORD).code, 454);
    assert_eq!(relay.cli_json(&["login", "unban", NAME])["bans"], 1);
    assert_eq!(guess("127.0.0.2", NAME, PASSWORD).code, 235);
    let none = relay.cli(&["login", "unban", "--all"]).succeeded();
    assert!(none.starts_with("0 bans lifted"), "{none}");
    let nobody = relay.cli(&["login", "unban", "nobody@sender.example"]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    assert!(nobody.stderr.contains("nobody called nobody@sender.example is banned"), "{nobody:?}");
    assert_eq!(relay.cli(&["login", "bans"]).succeeded().trim(), "nobody is banned");
    relay.log_with("logins are refused for a while");
}

#[test]
fn accounts_change_while_sessions_go_on() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let relay = Relay::start(accounts.settings(&sink));
    let mut session = clear(&relay);
    assert_eq!(log_in(&mut session, NAME, PASSWORD).code, 235);
    let bo = account("bo@sender.example", "another-one", &[]);
    accounts.write(&format!("{}disabled = true\n{bo}", account(NAME, PASSWORD, &[])));
    assert_eq!(login(&relay, "bo@sender.example", "another-one").code, 535);
    relay.process().signal("HUP");
    relay.log_with("accounts reloaded");
    assert_eq!(login(&relay, NAME, PASSWORD).code, 535);
    assert_eq!(login(&relay, "bo@sender.example", "another-one").code, 235);
    // Whoever was in stays in.
    let reply = session.deliver(NAME, &["bo@receiver.example"], &letter("x", 300));
    assert_eq!(reply.code, 250, "{reply:?}");
    session.quit();
    // A file with a fault changes nothing, and is named.
    accounts.write(&format!("{bo}senders = 1\n"));
    relay.process().signal("HUP");
    let log = relay.log_with("accounts not reloaded, old ones stay");
    assert!(log.contains("accounts.toml"), "{log}");
    assert_eq!(login(&relay, "bo@sender.example", "another-one").code, 235);
    let checked = relay.cli(&["config", "check"]);
    assert_eq!(checked.status.code(), Some(78));
    assert!(
        checked.stderr.contains("logins.file") && checked.stderr.contains("accounts.toml:"),
        "{checked:?}"
    );
    assert!(!checked.stderr.contains("argon2"), "{checked:?}");
}

/// Whatever a client calls itself, it stays one value in one line.
#[test]
fn a_name_cannot_forge_a_log_line_or_a_reply() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let settings = accounts.settings(&sink).set("logins.attempts.failures_per_client_max", 0);
    let relay = Relay::start(settings);
    for name in [
        "x\r\n250 2.0.0 OK\r\nx",
        "x\n{\"event\":\"forged\"}",
        "x\u{1b}[2J\u{7}",
        "x\u{2028}y\u{202e}z",
        "\u{fffe}",
        &"y".repeat(300),
    ] {
        let mut session = clear(&relay);
        let reply = log_in(&mut session, name, "wrong");
        assert_eq!((reply.code, reply.lines.len()), (535, 1), "{name:?} {reply:?}");
        let first = base64(&format!("n,,n={name},r=abc"));
        let reply = session.command(&format!("AUTH SCRAM-SHA-256 {first}"));
        assert!(matches!(reply.code, 334 | 501 | 535), "{name:?} {reply:?}");
        if reply.code == 334 {
            session.expect("*", 501);
        }
        // The session goes on where it was.
        session.expect("NOOP", 250);
        session.quit();
    }
    let mut session = clear(&relay);
    for garbage in ["AUTH PLAIN \u{1b}[2J", "AUTH \u{1b}[2J", "AUTH PLAIN AA== x", "AUTH PLAIN A"] {
        let reply = session.command(garbage);
        assert!(matches!(reply.code, 501 | 504), "{garbage:?} {reply:?}");
    }
    assert_eq!(login(&relay, NAME, PASSWORD).code, 235);
    let log = relay.log_with("client logged in");
    let refused = log.lines().filter(|line| line.contains("login refused")).count();
    assert!(refused >= 10, "{log}");
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("one object in a line");
        assert_ne!(event["event"], "forged");
        let reason = event["reason"].as_str().unwrap_or_default();
        assert!(!reason.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line}");
    }
}

#[test]
fn no_secret_is_in_the_log() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let settings = accounts.settings(&sink).set("log.level", "trace");
    let mut relay = Relay::start(settings);
    let token = accounts.token("4711");
    let talk = |relay: &Relay| {
        for password in [PASSWORD, "wrong-Sesame-4712"] {
            login(relay, NAME, password);
            let mut session = clear(relay);
            session.expect("AUTH LOGIN", 334);
            session.expect(&base64(NAME), 334);
            session.command(&base64(password));
            // A password where a command is awaited.
            session.command(&base64(password));
        }
        for token in [token.as_str(), &accounts.token("4712-somebody-else")] {
            let message = format!("user={NAME}\x01auth=Bearer {token}\x01\x01");
            let mut session = clear(relay);
            if session.command(&format!("AUTH XOAUTH2 {}", base64(&message))).code == 334 {
                session.expect("", 535);
            }
        }
    };
    talk(&relay);
    relay.terminate();
    relay.restart();
    talk(&relay);
    relay.process().signal("HUP");
    relay.log_with("accounts reloaded");
    relay.terminate();
    let log = relay.log();
    assert!(log.matches("client logged in").count() >= 6, "{log}");
    let hashes = std::fs::read_to_string(accounts.path()).expect("accounts");
    let hash = hashes.split('"').find(|text| text.starts_with("$argon2id")).expect("a hash");
    let (_, signature) = token.rsplit_once('.').expect("a token");
    for secret in
        [PASSWORD, &base64(PASSWORD), &plain(NAME, PASSWORD), "wrong-Sesame", signature, hash]
    {
        assert!(!log.contains(secret), "{secret}");
    }
}
