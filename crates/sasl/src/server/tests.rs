//! Whole logins, the crate's own client against its server, and what a hostile client may try.

use std::collections::HashSet;
use std::io::Write;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm as Signed;
use serde_json::json;
use telemetry::Registry;
use tempfile::NamedTempFile;
use units::{ByteSize, Clock};

use super::*;
use policy::config::Mechanism;

use crate::Whom;
use crate::binding::ChannelBindings;
use crate::client::{self, ClientError, Login};
use crate::config::{self, Config, Offer};
use crate::hashing::{Cost, Hashed, hash_password};
use crate::text::{decoded, encoded};
use crate::tokens::tests::{self as token_tests, Provider};

const PASSWORD: &str = "pencil case";
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
/// What a client is told whose login fails, whatever the reason.
const WRONG: &str = "535 5.7.8 the account or what proves it is wrong";

/// A relay with accounts.
struct House {
    authenticator: Arc<Authenticator>,
    clock: Clock,
    registry: Registry,
    accounts: NamedTempFile,
    /// The provider's public ones; read again at reload.
    keys: NamedTempFile,
    provider: Provider,
    offer: Offer,
}

fn hashed() -> Hashed {
    let iterations = NonZeroU32::new(4096).unwrap();
    hash_password(
        PASSWORD,
        &Cost { memory: ByteSize::kib(8), passes: 1, scram_iterations: iterations },
    )
    .unwrap()
}

fn written(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

impl House {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let Hashed { password, scram_sha_256, scram_sha_1 } = hashed();
        let secrets = format!(
            "password = '{password}'\nscram_sha_256 = '{scram_sha_256}'\nscram_sha_1 = '{scram_sha_1}'\n"
        );
        let accounts = written(&format!(
            "[[account]]\nname = 'alice'\nsenders = ['alice@example.com', 'example.org']\ntokens = ['4711']\n{secrets}\n\
             [[account]]\nname = 'jos\u{e9}@example.com'\n{secrets}\n\
             [[account]]\nname = 'old'\ndisabled = true\nsenders = ['*']\ntokens = ['old']\n{secrets}\n\
             [[account]]\nname = 'printer'\nsenders = ['printer.example.com']\ncertificates = ['Printer.example.com']\n\
             [[account]]\nname = 'scanner'\nsenders = ['scanner.example.com']\ncertificates = ['scanner.example.com', 'shared.example.com']\n\
             [[account]]\nname = 'copier'\nsenders = ['copier.example.com']\ncertificates = ['shared.example.com']\n"
        ));
        let provider = Provider::new(Signed::ES256, Some("k1"));
        let keys = written(&provider.jwks());
        let tokens = config::Tokens {
            scope: "smtp".to_owned(),
            ..token_tests::settings(json!({ "keys_file": keys.path() }))
        };
        let mut config = Config {
            file: Some(accounts.path().to_owned()),
            tokens: Some(tokens),
            ..Config::default()
        };
        change(&mut config);
        let (clock, registry) = (token_tests::clock(), Registry::new());
        let authenticator = Authenticator::open(&config, clock.clone(), &registry).unwrap();
        Self { authenticator, clock, registry, accounts, keys, provider, offer: Offer::default() }
    }

    fn begin(&self, argument: &str) -> (Exchange, Step) {
        Exchange::begin(&self.authenticator, argument, &self.offer, tls())
    }

    /// Begins and does what takes time.
    async fn end(&self, argument: &str) -> Refusal {
        let (mut exchange, step) = self.begin(argument);
        match settle(&mut exchange, step).await {
            Step::Refused(refusal) => *refusal,
            step => panic!("{argument} led to {step:?}"),
        }
    }

    fn shows(&self, line: &str) {
        let text = self.registry.render();
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

fn bindings(octet: u8) -> ChannelBindings {
    ChannelBindings { exporter: Some([octet; 32].into()), end_point: Some([octet; 48].into()) }
}

fn tls() -> Facts {
    Facts {
        client: CLIENT,
        is_tls: true,
        bindings: bindings(1),
        certificate_names: vec!["printer.EXAMPLE.com".to_owned()],
    }
}

fn client_tls(bindings: ChannelBindings) -> client::Facts {
    client::Facts { is_tls: true, bindings, has_certificate: true }
}

async fn settle(exchange: &mut Exchange, mut step: Step) -> Step {
    while let Step::Verify(work) = step {
        step = exchange.verified(work.run().await);
    }
    step
}

fn login(user: &str, password: &str, mechanism: Mechanism) -> Arc<Login> {
    login_with(mechanism, |config| {
        config.user = user.to_owned();
        config.password_file = Some(written(password).into_temp_path().keep().unwrap());
    })
}

fn login_with(mechanism: Mechanism, change: impl FnOnce(&mut policy::config::Login)) -> Arc<Login> {
    let mut config =
        policy::config::Login { mechanisms: vec![mechanism], ..policy::config::Login::default() };
    change(&mut config);
    let login = Login::open(&config, Clock::manual(0)).unwrap();
    config.password_file.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    login
}

type Ends = (Result<Identity, Refusal>, Result<(), ClientError>);

async fn talk(house: &House, login: &Arc<Login>, facts: Facts, client: client::Facts) -> Ends {
    let offered: Vec<_> =
        house.authenticator.offered(&house.offer, &facts).iter().map(|it| it.name()).collect();
    let mut client = client::Exchange::begin(login, &offered.join(" "), client).await.unwrap();
    let command = client.command().unwrap();
    let argument = command.strip_prefix("AUTH ").unwrap();
    let (mut server, mut step) =
        Exchange::begin(&house.authenticator, argument, &house.offer, facts);
    let mut failed = None;
    loop {
        step = match settle(&mut server, step).await {
            Step::Challenge(reply) => {
                assert_eq!((reply.code(), reply.status()), (334, None));
                let line = client.answer(reply.text()).await.map_err(|error| failed = Some(error));
                server.answer(line.as_ref().map_or(client::CANCEL, |line| line.as_str()).as_bytes())
            }
            Step::Done { identity, reply } => {
                assert_eq!(reply.to_string(), "235 2.7.0 logged in");
                return (Ok(*identity), client.finish(reply));
            }
            Step::Refused(refusal) => {
                let said = client.finish(refusal.reply.clone());
                return (Err(*refusal), failed.map_or(said, Err));
            }
            Step::Verify(_) => unreachable!("settled"),
        }
    }
}

const WITH_PASSWORD: [Mechanism; 5] = [
    Mechanism::ScramSha256Plus,
    Mechanism::ScramSha256,
    Mechanism::ScramSha1,
    Mechanism::Plain,
    Mechanism::Login,
];

#[tokio::test]
async fn every_mechanism_with_a_password_logs_in() {
    let house = House::new();
    for mechanism in WITH_PASSWORD {
        let login = login("alice", PASSWORD, mechanism);
        let bare = ChannelBindings::default();
        let (client, facts) = match mechanism {
            Mechanism::ScramSha256 => (client_tls(bare.clone()), Facts { bindings: bare, ..tls() }),
            _ => (client_tls(bindings(1)), tls()),
        };
        let (server, client) = talk(&house, &login, facts, client).await;
        let identity = server.unwrap();
        assert_eq!(
            (&*identity.account, &*identity.authorization, identity.mechanism),
            ("alice", "alice", mechanism)
        );
        assert_eq!(identity.senders.to_string(), "alice@example.com, example.org");
        assert_eq!(client, Ok(()));
        house.shows(&format!(
            "chasqui_logins_total{{mechanism=\"{mechanism}\",result=\"succeeded\"}} 1"
        ));
    }
}

#[tokio::test]
async fn wrong_unknown_and_disabled_look_alike() {
    let house = House::with(|config| config.attempts.failures_per_client_max = 0);
    for mechanism in WITH_PASSWORD {
        for (user, password, want) in [
            ("alice", "pencil", "account `alice` was given a wrong password"),
            ("nobody", PASSWORD, "account `nobody` is not there"),
            ("old", PASSWORD, "account `old` is disabled"),
            ("printer", PASSWORD, "account `printer` has no"),
        ] {
            let (server, client) =
                talk(&house, &login(user, password, mechanism), tls(), client_tls(bindings(1)))
                    .await;
            let refusal = server.unwrap_err();
            assert_eq!(refusal.reply.to_string(), WRONG);
            assert!(refusal.reason.starts_with(want), "{mechanism}: {}", refusal.reason);
            assert_eq!(refusal.ending, Ending::Wrong);
            let told = client.unwrap_err().to_string();
            assert_eq!(told, format!("the host refused the login by {mechanism}: {WRONG}"));
        }
    }
    // PLAIN and LOGIN cost a check each, whoever is named.
    house.shows("chasqui_password_checks_total{result=\"checked\"} 8");
}

/// What a challenge shows of an account: its salt and its rounds.
fn scram_first(house: &House, user: &str) -> (Vec<u8>, String) {
    let (_, step) =
        house.begin(&format!("SCRAM-SHA-256 {}", encoded(format!("n,,n={user},r=abc").as_bytes())));
    let Step::Challenge(reply) = step else { panic!("{step:?}") };
    let message = String::from_utf8(decoded(reply.text().as_bytes()).unwrap()).unwrap();
    let salt = message.split(",s=").nth(1).unwrap().split(',').next().unwrap();
    (decoded(salt.as_bytes()).unwrap(), message.split(",i=").nth(1).unwrap().to_owned())
}

#[test]
fn challenges_do_not_tell_who_is_there() {
    let (house, other) = (House::new(), House::new());
    let real = scram_first(&house, "alice");
    for user in ["nobody", "old", "printer"] {
        let decoy = scram_first(&house, user);
        assert_eq!((decoy.0.len(), &decoy.1), (real.0.len(), &real.1));
        assert_eq!(decoy, scram_first(&house, user), "the salt of {user} stays the same");
        assert_ne!(decoy.0, scram_first(&other, user).0);
    }
    let salts: HashSet<_> =
        ["a", "b", "c", "alice"].iter().map(|user| scram_first(&house, user).0).collect();
    assert_eq!(salts.len(), 4);
}

#[tokio::test]
async fn names_and_passwords_are_prepared() {
    let house = House::new();
    // One character for `é`, then `e` and an accent; a soft hyphen counts for nothing.
    for user in ["jos\u{e9}@example.com", "jose\u{301}@example.com", "jo\u{ad}s\u{e9}@example.com"]
    {
        for mechanism in WITH_PASSWORD {
            let login = login(user, "pencil\u{a0}case", mechanism);
            let (server, client) = talk(&house, &login, tls(), client_tls(bindings(1))).await;
            assert_eq!(&*server.unwrap().account, "jos\u{e9}@example.com", "{mechanism}");
            assert_eq!(client, Ok(()));
        }
    }
    // The same by a client that prepares nothing.
    let raw = "\0jose\u{301}@example.com\0pencil\u{a0}case";
    let (mut exchange, step) = house.begin(&format!("PLAIN {}", encoded(raw.as_bytes())));
    assert!(matches!(settle(&mut exchange, step).await, Step::Done { .. }));
}

#[tokio::test]
async fn only_oneself_and_ones_senders_can_be_acted_for() {
    let house = House::with(|config| config.attempts.failures_per_client_max = 0);
    for mechanism in [Mechanism::ScramSha256Plus, Mechanism::ScramSha1, Mechanism::Plain] {
        for (act_for, may) in [
            ("alice", true),
            ("Alice@example.com", true),
            ("x@example.org", true),
            ("old", false),
            ("bob@example.com", false),
        ] {
            let login = login_with(mechanism, |config| {
                config.user = "alice".to_owned();
                config.act_for = Some(act_for.to_owned());
                config.password_file = Some(written(PASSWORD).into_temp_path().keep().unwrap());
            });
            let (server, _) = talk(&house, &login, tls(), client_tls(bindings(1))).await;
            match server {
                Ok(identity) => assert!(
                    may && &*identity.authorization == act_for && &*identity.account == "alice"
                ),
                Err(refusal) => {
                    assert_eq!(
                        refusal.reason,
                        format!("account `alice` may not act for `{act_for}`")
                    );
                    assert!(!may && refusal.reply.to_string() == WRONG);
                }
            }
        }
    }
}

#[tokio::test]
async fn login_takes_the_name_with_auth_and_prompts_as_clients_look_for() {
    let house = House::new();
    let (mut exchange, step) = house.begin("LOGIN");
    let prompt = |step: &Step| match step {
        Step::Challenge(reply) => reply.text().to_owned(),
        step => panic!("{step:?}"),
    };
    assert_eq!(prompt(&step), "VXNlcm5hbWU6");
    assert_eq!(prompt(&exchange.answer(b"YWxpY2U=")), "UGFzc3dvcmQ6");
    let (mut exchange, step) = house.begin("login YWxpY2U=");
    assert_eq!(prompt(&step), "UGFzc3dvcmQ6");
    let step = exchange.answer(encoded(PASSWORD.as_bytes()).as_bytes());
    assert!(matches!(settle(&mut exchange, step).await, Step::Done { .. }));
}

#[tokio::test]
async fn a_certificate_logs_in() {
    let house = House::new();
    let ends = async |user: &str, names: &[&str]| {
        let login = login_with(Mechanism::External, |config| config.user = user.to_owned());
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        talk(&house, &login, Facts { certificate_names: names, ..tls() }, client_tls(bindings(1)))
            .await
            .0
    };
    assert_eq!(&*ends("", &["PRINTER.example.com", "x"]).await.unwrap().account, "printer");
    assert_eq!(
        &*ends("a@printer.example.com", &["printer.example.com"]).await.unwrap().authorization,
        "a@printer.example.com"
    );
    let refusal = ends("alice", &["printer.example.com"]).await.unwrap_err();
    assert_eq!(
        refusal.reason,
        "no account is for the certificate of printer.example.com acting for `alice`"
    );
    assert!(
        ends("", &["shared.example.com"]).await.unwrap_err().reason.starts_with("several accounts")
    );
    assert_eq!(&*ends("copier", &["shared.example.com"]).await.unwrap().account, "copier");
    assert!(
        ends("", &["evil.example.com\r\n"])
            .await
            .unwrap_err()
            .reason
            .contains("evil.example.com?? acting")
    );
}

fn token_login(mechanism: Mechanism, user: &str, token: &str) -> (Arc<Login>, NamedTempFile) {
    let file = written(token);
    let login = login_with(mechanism, |config| {
        config.user = user.to_owned();
        config.token = Some(policy::config::Token {
            file: Some(file.path().to_owned()),
            ..policy::config::Token::default()
        });
    });
    (login, file)
}

#[tokio::test]
async fn a_token_logs_in() {
    let house = House::with(|config| config.attempts.failures_per_client_max = 0);
    for mechanism in [Mechanism::XOAuth2, Mechanism::OAuthBearer] {
        for (user, claims, want) in [
            ("alice", json!({}), Ok("alice")),
            ("alice@example.com", json!({}), Ok("alice")),
            ("old", json!({}), Err("account `alice` may not act for `old`")),
            ("old", json!({ "sub": "old" }), Err("account `old` is disabled")),
            (
                "alice",
                json!({ "sub": "nobody" }),
                Err("the token is for `nobody`, which no account names"),
            ),
            ("alice", json!({ "aud": "x" }), Err("the token is made out for somebody else (aud)")),
        ] {
            let (login, _file) = token_login(mechanism, user, &house.provider.token(claims));
            let (server, client) = talk(&house, &login, tls(), client_tls(bindings(1))).await;
            match (server, want) {
                (Ok(identity), Ok(account)) => {
                    assert_eq!((&*identity.account, client), (account, Ok(())));
                }
                (Err(refusal), Err(reason)) => {
                    assert_eq!(
                        (refusal.reason.as_str(), refusal.reply.to_string().as_str()),
                        (reason, WRONG)
                    );
                    let words = client.unwrap_err().to_string();
                    let status = if mechanism == Mechanism::XOAuth2 {
                        "\"status\":\"401\""
                    } else {
                        "(invalid_token)"
                    };
                    assert!(words.contains(status), "{words}");
                }
                (server, _) => panic!("{mechanism} {user}: {server:?}"),
            }
        }
    }
    house.shows("chasqui_logins_total{mechanism=\"XOAUTH2\",result=\"wrong\"} 4");
}

#[tokio::test]
async fn a_long_token_goes_in_a_line_of_its_own() {
    let house = House::new();
    let token = house.provider.token(json!({ "padding": "x".repeat(2000) }));
    let (login, _file) = token_login(Mechanism::XOAuth2, "alice", &token);
    let mut client =
        client::Exchange::begin(&login, "XOAUTH2", client_tls(bindings(1))).await.unwrap();
    assert_eq!(&*client.command().unwrap(), "AUTH XOAUTH2");
    let (server, client) = talk(&house, &login, tls(), client_tls(bindings(1))).await;
    assert!(server.is_ok() && client.is_ok());
}

#[tokio::test]
async fn a_binding_to_another_session_is_refused() {
    let house = House::new();
    let login = login("alice", PASSWORD, Mechanism::ScramSha256Plus);
    let (server, client) = talk(&house, &login, tls(), client_tls(bindings(2))).await;
    let refusal = server.unwrap_err();
    assert_eq!(
        refusal.reason,
        "account `alice` was given a binding to another TLS session: somebody may be in between"
    );
    assert!(refusal.reply.to_string() == WRONG && client.is_err());
    // The certificate alone, where there is no exporter.
    let end_point = ChannelBindings { exporter: None, ..bindings(1) };
    let (server, client) = talk(&house, &login, tls(), client_tls(end_point)).await;
    assert!(server.is_ok() && client.is_ok());
}

#[tokio::test]
async fn bindings_cannot_be_taken_out_on_the_way() {
    let house = House::new();
    let first =
        |mechanism: &str, message: &str| format!("{mechanism} {}", encoded(message.as_bytes()));
    // The client thinks that the server has no -PLUS: somebody has cut it out of EHLO.
    let plain = login("alice", PASSWORD, Mechanism::ScramSha256);
    let mut client =
        client::Exchange::begin(&plain, "SCRAM-SHA-256", client_tls(bindings(1))).await.unwrap();
    let command = client.command().unwrap();
    let refusal = house.end(command.strip_prefix("AUTH ").unwrap()).await;
    assert_eq!(refusal.reply.to_string(), WRONG);
    assert!(refusal.reason.contains("did not see that it can"), "{}", refusal.reason);
    for (mechanism, message) in [
        ("SCRAM-SHA-256-PLUS", "n,,n=alice,r=abc"),
        ("SCRAM-SHA-256-PLUS", "y,,n=alice,r=abc"),
        ("SCRAM-SHA-256", "p=tls-exporter,,n=alice,r=abc"),
        ("SCRAM-SHA-1", "p=tls-exporter,,n=alice,r=abc"),
    ] {
        assert_eq!(
            house.end(&first(mechanism, message)).await.reply.code(),
            501,
            "{mechanism} {message}"
        );
    }
    let refusal = house.end(&first("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=alice,r=abc")).await;
    assert!(refusal.reason.contains("not known here"), "{}", refusal.reason);
}

/// A client's last message of a good login, and the exchange that awaits it.
async fn before_the_proof(house: &House) -> (Exchange, String, client::Exchange) {
    let login = login("alice", PASSWORD, Mechanism::ScramSha1);
    let mut client =
        client::Exchange::begin(&login, "SCRAM-SHA-1", client_tls(bindings(1))).await.unwrap();
    let (exchange, step) = house.begin(client.command().unwrap().strip_prefix("AUTH ").unwrap());
    let Step::Challenge(reply) = step else { panic!("{step:?}") };
    let line = client.answer(reply.text()).await.unwrap();
    let message = String::from_utf8(decoded(line.as_bytes()).unwrap()).unwrap();
    (exchange, message, client)
}

/// Makes another message of the one that is awaited and one of a former login.
type Change = fn(&str, &str) -> String;

#[tokio::test]
async fn a_replayed_or_changed_proof_is_refused() {
    let house = House::with(|config| config.attempts.failures_per_client_max = 0);
    let (mut exchange, old, _) = before_the_proof(&house).await;
    assert!(matches!(exchange.answer(encoded(old.as_bytes()).as_bytes()), Step::Challenge(_)));
    let changes: [(Change, u16); 8] = [
        (|_, old| old.to_owned(), 535),
        (
            |new, old| {
                format!(
                    "{},p={}",
                    new.split(",p=").next().unwrap(),
                    old.split(",p=").nth(1).unwrap()
                )
            },
            535,
        ),
        (|new, _| new.replacen("c=biws", "c=eSws", 1), 535),
        (|new, _| new.replacen(",r=", ",r=x", 1), 535),
        (|new, _| new.replacen(",p=", ",x=y,p=", 1), 501),
        (|new, _| format!("{},p=", new.split(",p=").next().unwrap()), 535),
        (|new, _| new.replacen("c=biws", "c=!!!!", 1), 501),
        (|new, _| format!("{new}="), 501),
    ];
    for (number, (change, code)) in changes.into_iter().enumerate() {
        let (mut exchange, new, _) = before_the_proof(&house).await;
        let Step::Refused(refusal) =
            exchange.answer(encoded(change(&new, &old).as_bytes()).as_bytes())
        else {
            panic!("change {number} was taken");
        };
        assert_eq!(refusal.reply.code(), code, "change {number}: {}", refusal.reason);
    }
}

#[tokio::test]
async fn an_impostor_is_found_out() {
    let house = House::new();
    let done = || mail::Reply::new(235, None, "logged in");
    // It welcomes without a proof of its own.
    let (_, _, client) = before_the_proof(&house).await;
    let impostor = ClientError::Impostor { mechanism: Mechanism::ScramSha1 };
    assert_eq!(client.finish(done()), Err(impostor.clone()));
    // It sends a wrong one.
    for proof in ["v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "v=", "e=other-error"] {
        let (_, _, mut client) = before_the_proof(&house).await;
        assert_eq!(
            client.answer(&encoded(proof.as_bytes())).await.unwrap_err(),
            impostor,
            "{proof}"
        );
        assert_eq!(client.finish(done()), Err(impostor.clone()));
    }
}

#[tokio::test]
async fn hostile_servers_get_nothing() {
    let login = login("alice", PASSWORD, Mechanism::ScramSha256);
    let salt = encoded(b"salt");
    for (message, want) in [
        (format!("r=NONCEx,s={salt},i=4294967295"), "asks for 4294967295 iterations"),
        (format!("r=NONCEx,s={salt},i=1"), "asks for 1 iterations"),
        (format!("r=NONCEx,s={salt},i=4096,m"), "does not follow"),
        (format!("r=NONCEx,s={salt}"), "does not follow"),
        (format!("r=NONCE,s={salt},i=4096"), "does not follow"),
        (format!("r=x,s={salt},i=4096"), "does not follow"),
        (String::new(), "does not follow"),
        ("r".to_owned(), "does not follow"),
    ] {
        let mut client = client::Exchange::begin(&login, "SCRAM-SHA-256", client::Facts::default())
            .await
            .unwrap();
        let first = client
            .command()
            .unwrap()
            .split(' ')
            .nth(2)
            .map(|it| decoded(it.as_bytes()).unwrap())
            .unwrap();
        let nonce = String::from_utf8(first).unwrap().split("r=").nth(1).unwrap().to_owned();
        let error = client
            .answer(&encoded(message.replace("NONCE", &nonce).as_bytes()))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{message}: {error}");
    }
    let mut client =
        client::Exchange::begin(&login, "SCRAM-SHA-256", client::Facts::default()).await.unwrap();
    client.command().unwrap();
    assert!(client.answer("not base64").await.is_err());
    let secret = encoded(format!("\0alice\0{PASSWORD}").as_bytes());
    let plain = self::login("alice", PASSWORD, Mechanism::Plain);
    for said in [format!("what is {secret}?"), format!("no: {PASSWORD}")] {
        let mut client =
            client::Exchange::begin(&plain, "PLAIN", client_tls(bindings(1))).await.unwrap();
        client.command().unwrap();
        let error = client.finish(mail::Reply::new(500, None, said)).unwrap_err().to_string();
        assert_eq!(error, "the host refused the login by PLAIN: 500 (words that repeat the login)");
    }
}

#[tokio::test]
async fn nothing_that_a_client_sends_ends_a_line() {
    let house = House::with(|config| config.attempts.failures_per_client_max = 0);
    let evil = "a\r\n250 ok\u{1b}[2J\u{7f}\u{85}\u{2028}b";
    let token = house.provider.token(json!({ "sub": evil }));
    for argument in [
        format!("PLAIN {}", encoded(format!("{evil}\0{evil}\0x").as_bytes())),
        format!("PLAIN {}", encoded(format!("{evil}\0alice\0{PASSWORD}").as_bytes())),
        format!("SCRAM-SHA-256 {}", encoded(format!("n,,n={evil},r=abc").as_bytes())),
        format!(
            "XOAUTH2 {}",
            encoded(format!("user={evil}\u{1}auth=Bearer {evil}\u{1}\u{1}").as_bytes())
        ),
        format!(
            "XOAUTH2 {}",
            encoded(format!("user={evil}\u{1}auth=Bearer {token}\u{1}\u{1}").as_bytes())
        ),
        format!(
            "OAUTHBEARER {}",
            encoded(format!("n,a={evil},\u{1}auth=Bearer {token}\u{1}\u{1}").as_bytes())
        ),
        format!("EXTERNAL {}", encoded(evil.as_bytes())),
        "PL\u{1b}AIN x".to_owned(),
    ] {
        let (mut exchange, step) = house.begin(&argument);
        let mut step = settle(&mut exchange, step).await;
        if let Step::Challenge(_) = step {
            step = exchange.answer(b"");
        }
        let Step::Refused(refusal) = step else { panic!("{step:?}") };
        let said = format!("{}{}", refusal.reply, refusal.reason);
        assert!(!said.chars().any(|c| c.is_control() || c == '\u{2028}'), "{said:?}");
        assert!(!refusal.reply.text().contains("250"), "a reply repeats nothing");
    }
    let (mut exchange, _) = house.begin(&format!("LOGIN {}", encoded(evil.as_bytes())));
    let Step::Refused(refusal) = exchange.answer(b"eA==") else {
        panic!("a name with controls was taken")
    };
    assert!(!refusal.reason.contains(char::is_control));
}

#[tokio::test]
async fn malformed_messages_get_their_replies() {
    let house = House::new();
    let long = format!("PLAIN {}", "A".repeat(12_288));
    let with_nul = format!("PLAIN {}", encoded(b"\0alice\0a\0b"));
    let not_utf8 = format!("PLAIN {}", encoded(b"\0al\xffice\0a"));
    for (argument, want) in [
        ("", "501 5.5.4"),
        ("PLAIN a b", "501 5.5.4"),
        ("CRAM-MD5", "504 5.5.4"),
        ("PLAIN AGEAYg", "501 5.5.2"),
        ("PLAIN AGEAYh==", "501 5.5.2"),
        ("PLAIN *", "501 5.5.2"),
        ("PLAIN =", "501 5.5.2"),
        ("PLAIN AGFsaWNlAA==", "501 5.5.2"),
        ("PLAIN YWxpY2U=", "501 5.5.2"),
        (&with_nul, "501 5.5.2"),
        (&not_utf8, "501 5.5.2"),
        (&long, "500 5.5.6"),
        ("SCRAM-SHA-256 =", "501 5.5.2"),
        ("XOAUTH2 =", "501 5.5.2"),
        ("OAUTHBEARER bixhPXg=", "501 5.5.2"),
        ("EXTERNAL /w==", "501 5.5.2"),
    ] {
        let refusal = house.end(argument).await;
        assert!(refusal.reply.to_string().starts_with(want), "{argument}: {}", refusal.reply);
    }
    for mechanism in Mechanism::ALL {
        let (mut exchange, step) = house.begin(mechanism.name());
        let Step::Challenge(reply) = step else { panic!("{step:?}") };
        let prompt = if mechanism == Mechanism::Login { "VXNlcm5hbWU6" } else { "" };
        assert_eq!(reply.text(), prompt);
        let Step::Refused(refusal) = exchange.answer(b"*") else { panic!("{mechanism} goes on") };
        assert_eq!(
            (refusal.reply.to_string().as_str(), refusal.ending),
            ("501 5.7.0 the login is cancelled", Ending::Cancelled)
        );
        let Step::Refused(refusal) = exchange.answer(b"AGEAYg==") else {
            panic!("{mechanism} goes on")
        };
        assert_eq!(refusal.ending, Ending::Unavailable, "there is no step behind the last");
        let (mut exchange, _) = house.begin(mechanism.name());
        let Step::Refused(refusal) = exchange.answer("A".repeat(12_289).as_bytes()) else {
            panic!("too long")
        };
        assert_eq!(refusal.reply.to_string(), "500 5.5.6 the line is longer than 12288 octets");
    }
}

/// Good messages cut, doubled and with each octet changed: whatever comes of it, nothing panics.
#[tokio::test]
async fn mangled_messages_end_in_words() {
    let house = House::with(|config| config.attempts.failures_per_client_max = 0);
    let (_, last, _) = before_the_proof(&house).await;
    let firsts = [
        ("SCRAM-SHA-1", "n,,n=alice,r=abcdefgh".to_owned()),
        ("SCRAM-SHA-256-PLUS", "p=tls-exporter,a=alice,n=ali=2Cce,r=abcdefgh,x=y".to_owned()),
        ("OAUTHBEARER", "n,a=alice,\u{1}host=h\u{1}auth=Bearer a.b.c\u{1}\u{1}".to_owned()),
        ("XOAUTH2", "user=alice\u{1}auth=Bearer a.b.c\u{1}\u{1}".to_owned()),
        ("PLAIN", "alice\0alice\0pencil".to_owned()),
        ("EXTERNAL", "printer".to_owned()),
    ];
    let mangled = |message: &str| {
        let message = message.as_bytes();
        let cut =
            (0..message.len()).flat_map(|at| [message[..at].to_vec(), message[at..].to_vec()]);
        let changed = (0..message.len()).flat_map(|at| {
            [b',', b'=', 0, 0xff].map(|octet| {
                let mut changed = message.to_vec();
                changed[at] = octet;
                changed
            })
        });
        cut.chain(changed).chain([[message, message].concat()]).collect::<Vec<_>>()
    };
    for (mechanism, message) in firsts {
        for message in mangled(&message) {
            let (mut exchange, _) = house.begin(mechanism);
            let step = exchange.answer(encoded(&message).as_bytes());
            let step = settle(&mut exchange, step).await;
            assert!(matches!(step, Step::Challenge(_) | Step::Refused(_) | Step::Done { .. }));
        }
    }
    for message in mangled(&last) {
        let (mut exchange, _) = house.begin("SCRAM-SHA-1 biwsbj1hbGljZSxyPWFiYw==");
        assert!(matches!(exchange.answer(encoded(&message).as_bytes()), Step::Refused(_)));
    }
}

#[tokio::test]
async fn mechanisms_are_offered_where_they_can_succeed() {
    let mut house = House::new();
    let names = |house: &House, facts: &Facts| {
        let offered = house.authenticator.offered(&house.offer, facts);
        offered.iter().map(|it| it.name()).collect::<Vec<_>>().join(" ")
    };
    let all =
        "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1 EXTERNAL OAUTHBEARER XOAUTH2 PLAIN LOGIN";
    assert_eq!(names(&house, &tls()), all);
    let bare = Facts { bindings: ChannelBindings::default(), certificate_names: vec![], ..tls() };
    assert_eq!(names(&house, &bare), "SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN");
    let clear = Facts::clear(CLIENT);
    assert_eq!(names(&house, &clear), "SCRAM-SHA-256 SCRAM-SHA-1");
    let ends = |house: &House, mechanism: &str, facts: &Facts| {
        let (_, step) =
            Exchange::begin(&house.authenticator, mechanism, &house.offer, facts.clone());
        match step {
            Step::Refused(refusal) => {
                refusal.reply.to_string().get(..10).unwrap().trim().to_owned()
            }
            step => panic!("{step:?}"),
        }
    };
    for mechanism in ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"] {
        assert_eq!(ends(&house, mechanism, &clear), "538 5.7.11");
    }
    assert_eq!(ends(&house, "EXTERNAL", &bare), "504 5.5.4");
    house.offer.login_without_tls = true;
    assert!(names(&house, &clear).ends_with("PLAIN LOGIN"));
    house.offer.mechanisms = vec![Mechanism::ScramSha256];
    assert_eq!(ends(&house, "PLAIN", &tls()), "534 5.7.9");
    assert_eq!(ends(&house, "SCRAM-SHA-256-PLUS", &tls()), "504 5.5.4");
    house.offer.mechanisms = vec![];
    assert_eq!(ends(&house, "PLAIN", &tls()), "504 5.5.4");
    house.shows("chasqui_logins_total{mechanism=\"PLAIN\",result=\"not_offered\"} 3");
}

#[tokio::test]
async fn those_who_guess_are_banned_for_a_while() {
    let house = House::with(|config| {
        config.attempts.failures_per_client_max = 3;
        config.attempts.failures_per_account_max = 2;
    });
    let wrong = format!("PLAIN {}", encoded(b"\0alice\0guess"));
    let right = format!("PLAIN {}", encoded(format!("\0alice\0{PASSWORD}").as_bytes()));
    for _ in 0..2 {
        assert_eq!(house.end(&wrong).await.reply.to_string(), WRONG);
    }
    let refusal = house.end(&right).await;
    assert_eq!(refusal.reply.to_string(), "454 4.7.0 too many logins failed, try again later");
    assert_eq!(
        (refusal.reason.as_str(), refusal.ending),
        ("account `alice` is banned", Ending::Banned)
    );
    assert!(house.authenticator.client_ban(CLIENT).is_none());
    house.end(&format!("PLAIN {}", encoded(b"\0nobody\0guess"))).await;
    assert!(house.authenticator.client_ban(CLIENT).is_some());
    assert_eq!(house.end("PLAIN").await.reason, "client 192.0.2.7 is banned");
    house.shows("chasqui_login_bans 2");
    house.shows("chasqui_login_bans_total{of=\"account\"} 1");
    house.shows("chasqui_login_bans_total{of=\"client\"} 1");
    assert_eq!(house.authenticator.unban(Whom::Account("alice")), 1);
    assert_eq!(house.authenticator.bans().len(), 1);
    house.clock.advance(Duration::from_mins(30));
    let (mut exchange, step) = house.begin(&right);
    assert!(matches!(settle(&mut exchange, step).await, Step::Done { .. }));
    assert_eq!(house.authenticator.bans(), []);
}

#[tokio::test]
async fn when_too_many_wait_the_client_comes_later() {
    let house =
        House::with(|config| (config.passwords.checks_max, config.passwords.waiting_max) = (1, 0));
    let (started, running) = tokio::sync::oneshot::channel();
    let (release, held) = std::sync::mpsc::sync_channel::<()>(0);
    let authenticator = Arc::clone(&house.authenticator);
    let busy = tokio::spawn(async move {
        let check = move || started.send(()).is_ok() && held.recv().is_ok();
        authenticator.pool.run(check).await
    });
    running.await.unwrap();
    let refusal = house.end(&format!("PLAIN {}", encoded(b"\0alice\0guess"))).await;
    assert_eq!(
        refusal.reply.to_string(),
        "454 4.7.0 too many logins at the moment, try again later"
    );
    release.send(()).unwrap();
    assert_eq!(busy.await.unwrap(), Ok(true));
    house.shows("chasqui_password_checks_total{result=\"turned_away\"} 1");
    assert_eq!(house.authenticator.bans(), [], "who could not be checked has not failed");
}

#[tokio::test]
async fn a_right_password_is_remembered_until_a_reload() {
    let house = House::new();
    let right = format!("PLAIN {}", encoded(format!("\0alice\0{PASSWORD}").as_bytes()));
    let log_in = async || {
        let (mut exchange, step) = house.begin(&right);
        assert!(matches!(settle(&mut exchange, step).await, Step::Done { .. }));
    };
    log_in().await;
    log_in().await;
    house.shows("chasqui_password_checks_total{result=\"checked\"} 1");
    house.shows("chasqui_password_checks_total{result=\"remembered\"} 1");
    assert!(house.authenticator.reload().is_empty());
    log_in().await;
    house.shows("chasqui_password_checks_total{result=\"checked\"} 2");
    house.clock.advance(Duration::from_mins(1));
    log_in().await;
    house.shows("chasqui_password_checks_total{result=\"checked\"} 3");
}

#[test]
fn half_a_reload_is_told_as_half() {
    let house = House::new();
    std::fs::write(house.keys.path(), "no keys").unwrap();
    let accounts = std::fs::read_to_string(house.accounts.path()).unwrap();
    std::fs::write(house.accounts.path(), "").unwrap();
    let failed = house.authenticator.reload();
    assert!(matches!(failed.as_slice(), [OpenError::Tokens(_)]), "{failed:?}");
    assert_eq!(house.authenticator.accounts().count(), 0, "the other half is done");
    std::fs::write(house.accounts.path(), format!("{accounts}[[account]]\n")).unwrap();
    let failed = house.authenticator.reload();
    assert!(
        matches!(failed.as_slice(), [OpenError::Accounts(_), OpenError::Tokens(_)]),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_reload_ends_no_login_under_way() {
    let house = House::new();
    let (mut exchange, last, _) = before_the_proof(&house).await;
    std::fs::write(house.accounts.path(), "").unwrap();
    assert!(house.authenticator.reload().is_empty());
    assert!(matches!(exchange.answer(encoded(last.as_bytes()).as_bytes()), Step::Challenge(_)));
    assert!(matches!(exchange.answer(b""), Step::Done { .. }));
    assert_eq!(house.authenticator.offered(&house.offer, &tls()), []);
}

#[tokio::test]
async fn a_scram_ends_with_an_empty_line_or_not_at_all() {
    let house = House::new();
    for (line, code) in [(&b"AA=="[..], 501), (b"*", 501), (b"!", 501)] {
        let (mut exchange, last, _) = before_the_proof(&house).await;
        assert!(matches!(exchange.answer(encoded(last.as_bytes()).as_bytes()), Step::Challenge(_)));
        let Step::Refused(refusal) = exchange.answer(line) else { panic!("taken") };
        assert_eq!(refusal.reply.code(), code);
    }
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    let house = House::new();
    let (mut exchange, step) =
        house.begin(&format!("PLAIN {}", encoded(format!("\0alice\0{PASSWORD}").as_bytes())));
    let mut shown = vec![format!("{step:?} {exchange:?}")];
    let Step::Verify(work) = step else { panic!("{step:?}") };
    let verified = work.run().await;
    shown.push(format!("{verified:?} {:?}", house.authenticator));
    shown.push(format!("{:?}", exchange.verified(verified)));
    let login = login("alice", PASSWORD, Mechanism::ScramSha1);
    let facts = client_tls(bindings(7));
    let mut client = client::Exchange::begin(&login, "SCRAM-SHA-1", facts.clone()).await.unwrap();
    client.command().unwrap();
    shown.push(format!("{login:?} {client:?} {facts:?}"));
    let shown = shown.concat();
    for secret in ["pencil", "cGVuY2ls", "$argon2", "[112, 101", "7, 7, 7"] {
        assert!(!shown.contains(secret), "{secret} stands in {shown}");
    }
}
