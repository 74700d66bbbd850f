//! Connectors as data: in files, by the command line and by the API, in effect without a restart.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::harness::http::{Answer, try_ask};
use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::tls::Certificate;
use crate::harness::wait::{PATIENCE, wait_until};

/// One request over the private socket.
#[track_caller]
pub(crate) fn private(relay: &Relay, what: &str, body: &Value) -> Answer {
    let stream = UnixStream::connect(relay.folder().join("admin.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    try_ask(stream, what, "Content-Type: application/json\r\n", &body).unwrap()
}

/// One request over TCP with a token.
#[track_caller]
fn public(relay: &Relay, what: &str, token: &str, body: &Value) -> Answer {
    let stream = TcpStream::connect(relay.http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let lines = format!("Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    try_ask(stream, what, &lines, &body).unwrap()
}

#[track_caller]
fn value(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// A client at 127.0.0.9, whom the settings of these tests do not let in.
fn stranger(relay: &Relay) -> Reply {
    let mut session = Smtp::connect_from("127.0.0.9".parse().unwrap(), relay.smtp()).unwrap();
    session.read_reply();
    session.expect("EHLO stranger.test", 250);
    session.expect("MAIL FROM:<a@sender.example>", 250);
    let reply = session.command("RCPT TO:<b@receiver.example>");
    session.quit();
    reply
}

fn settings(sink: &Sink) -> Settings {
    Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1".to_owned()])
}

fn write(relay: &Relay, name: &str, text: &str) {
    let folder = relay.folder().join("connectors.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

fn reload(relay: &Relay) {
    assert_eq!(private(relay, "POST /v1/reload", &Value::Null).status, 200);
}

/// File, command line and API make the same, and each lists what the others made.
#[test]
fn oc_01_a_connector_is_listed_identically_by_all() {
    let sink = Sink::start();
    let relay = Relay::start(settings(&sink));
    write(
        &relay,
        "by-file.toml",
        "[[inbound]]\nname = \"by-file\"\nsender_ip_addresses = [\"192.0.2.1\"]\n",
    );
    reload(&relay);

    // The summary comes before the change, and without a terminal nothing is changed unasked.
    let words = ["connector", "add", "by-cli", "--inbound", "sender_ip_addresses=[\"192.0.2.2\"]"];
    let refused = relay.cli(&words);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let summary = "inbound connector by-cli: new\n  sender_ip_addresses: [] → [\"192.0.2.2/32\"]\n";
    assert_eq!(refused.stdout, summary);
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    assert!(!relay.folder().join("connectors.d/inbound-by-cli.toml").exists());
    let done = relay.cli(&[&words[..], &["--yes"]].concat()).succeeded();
    assert_eq!(done, format!("{summary}done; in effect\n"));
    let twice = relay.cli(&[&words[..], &["--yes"]].concat());
    assert!(twice.stderr.contains("already an inbound connector `by-cli`"), "{twice:?}");

    let put = "PUT /v1/connectors/inbound/by-api";
    let fields = json!({ "sender_ip_addresses": ["192.0.2.3"] });
    let planned = value(&private(&relay, &format!("{put}?dry_run=true"), &fields));
    assert_eq!(planned["done"], false);
    assert_eq!(planned["changes"][0]["fields"][0]["new"], json!(["192.0.2.3/32"]));
    let missing = private(&relay, "GET /v1/connectors/inbound/by-api", &Value::Null);
    assert_eq!(missing.status, 404, "{missing:?}");
    let made = value(&private(&relay, put, &fields));
    assert_eq!((&made["done"], &made["changes"]), (&json!(true), &planned["changes"]));

    let by_api = value(&private(&relay, "GET /v1/connectors", &Value::Null));
    let by_cli = relay.cli_json(&["connector", "list"]);
    assert_eq!(by_api["connectors"], by_cli);
    let made: Vec<_> = by_cli.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(made, ["tests", "by-file", "by-api", "by-cli", "next-hop"]);
    // But for name, network and file they are the same.
    let of = |name: &str| {
        let mut one = relay.cli_json(&["connector", "show", name]);
        let path = format!("GET /v1/connectors/inbound/{name}");
        assert_eq!(value(&private(&relay, &path, &Value::Null)), one);
        one["fields"]["sender_ip_addresses"].take();
        (one["fields"].take(), one["enabled"].take())
    };
    assert_eq!(of("by-file"), of("by-cli"));
    assert_eq!(of("by-file"), of("by-api"));
    // The files hold it: what is listed at the next start is the same.
    relay.cli(&["config", "check"]).succeeded();
}

/// What an edit makes odd is said before it is done, by each way; what was odd elsewhere before is not said again.
#[test]
fn edits_warn_of_what_they_make_odd() {
    let sink = Sink::start();
    let settings = settings(&sink)
        .push("plan", "name = \"small\"\nincludes = [\"login\"]")
        .push("inbound", "name = \"odd\"\nsender_domains = [\"gmx.de\"]");
    let mut relay = Relay::start(settings);
    let warns = |relay: &Relay, words: &[&str]| {
        let said = relay.cli(&[&["connector"], words].concat()).stderr;
        said.lines().filter_map(|it| it.strip_prefix("warning: ").map(str::to_owned)).collect()
    };
    let with_plan = ["set", "tests", "plan=\"small\"", "--dry-run"];
    let want = "inbound.sender_ip_addresses: plan `small` does not include `network`";
    let told: Vec<String> = warns(&relay, &with_plan);
    assert!(told.len() == 1 && told[0].contains(want), "{told:?}");
    let told: Vec<String> = warns(&relay, &["set", "odd", "enabled=false", "--dry-run"]);
    assert!(told.len() == 1 && told[0].contains("gmx.de"), "{told:?}");
    let told: Vec<String> = warns(&relay, &["set", "tests", "require_tls=true", "--dry-run"]);
    assert!(told.is_empty(), "{told:?}");
    let path = "PATCH /v1/connectors/inbound/tests";
    let changed = value(&private(&relay, path, &json!({ "plan": "small" })));
    assert!(changed["warnings"][0].as_str().unwrap().contains(want), "{changed}");
    relay.log_with("settings are odd");
    relay.terminate();
    let told: Vec<String> = warns(&relay, &["set", "tests", "require_tls=true", "--yes"]);
    assert!(told.len() == 1 && told[0].contains(want), "{told:?}");
}

/// People see what counts, also where nothing is said.
#[test]
fn a_connector_is_shown_with_what_is_not_set() {
    let sink = Sink::start();
    let relay = Relay::start(settings(&sink));
    let text = relay.cli(&["connector", "show", "tests"]).succeeded();
    let value = |field: &str| {
        let mut rows = text.lines().filter_map(|line| line.split_once(field));
        let found = rows.find(|(before, _)| before.trim_matches(['|', '│', '┆', ' ']).is_empty());
        found
            .unwrap_or_else(|| panic!("{field}\n{text}"))
            .1
            .trim_matches(['|', '│', '┆', ' '])
            .to_owned()
    };
    assert_eq!(value("sender_ip_addresses "), "[\"127.0.0.1/32\"]");
    assert_eq!(value("plan "), "not set (default)");
    assert_eq!(value("require_tls "), "false (default)");
    relay.cli(&["connector", "set", "tests", "connections_max=7", "--yes"]).succeeded();
    let text = relay.cli(&["connector", "show", "tests"]).succeeded();
    assert!(text.lines().any(|line| line.contains("connections_max") && line.contains(" 7 ")));
}

/// New, disabled and removed connectors take effect at once.
#[test]
fn edits_of_inbound_connectors_need_no_restart() {
    let sink = Sink::start();
    let relay = Relay::start(settings(&sink));
    assert_eq!(stranger(&relay).code, 550);
    let add =
        ["connector", "add", "more", "--inbound", "sender_ip_addresses=[\"127.0.0.9\"]", "--yes"];
    relay.cli(&add).succeeded();
    assert_eq!(stranger(&relay).code, 250);
    relay.cli(&["connector", "disable", "more", "--yes"]).succeeded();
    assert_eq!(stranger(&relay).code, 550);
    let enabled = private(&relay, "POST /v1/connectors/inbound/more/enable", &Value::Null);
    assert_eq!(value(&enabled)["changes"][0]["kind"], "changed");
    assert_eq!(stranger(&relay).code, 250);
    let removed = private(&relay, "DELETE /v1/connectors/inbound/more", &Value::Null);
    assert_eq!(value(&removed)["done"], true);
    assert_eq!(stranger(&relay).code, 550);
    assert!(!relay.folder().join("connectors.d/inbound-more.toml").exists());
    let log = relay.log_with("connector changed");
    assert!(log.contains("\"connector\":\"more\""), "{log}");
}

/// By file, command line or API; an inactive one is never used.
#[test]
fn da_01_an_outbound_record_is_used_unless_it_is_inactive() {
    let (sink, other) = (Sink::start(), Sink::start());
    let relay = Relay::start(settings(&sink));
    let address = other.address();
    let host = format!("[{{ host = \"{}\", port = {} }}]", address.ip(), address.port());
    let mut sent = (0, 0);
    let mut check = |domain: &str, is_other: bool| {
        let to = format!("b@{domain}");
        relay.submit("a@sender.example", &[&to], &letter("x", 300));
        sent = if is_other { (sent.0, sent.1 + 1) } else { (sent.0 + 1, sent.1) };
        wait_until("both have their mail", || {
            (sink.accepted().len(), other.accepted().len()) == sent
        });
    };
    check("file.example", false);

    let record = |domain: &str, enabled: bool| {
        format!(
            "[[outbound]]\nname = \"file\"\nrecipient_domains = [\"{domain}\"]\ntls = \"none\"\nsmart_hosts = {host}\nenabled = {enabled}\npriority = 5\n"
        )
    };
    write(&relay, "file.toml", &record("file.example", false));
    reload(&relay);
    check("file.example", false);
    write(&relay, "file.toml", &record("file.example", true));
    relay.process().signal("HUP");
    relay.log_with("\"inbound\":1,\"outbound\":2");
    wait_until("the relay uses the file", || {
        relay.cli_json(&["connector", "show", "file"])["enabled"] == true
            && relay.log().matches("settings reloaded").count() == 2
    });
    check("file.example", true);

    let fields =
        ["recipient_domains=[\"cli.example\"]", "tls=\"none\"", &format!("smart_hosts={host}")];
    let add = [&["connector", "add", "cli", "--outbound", "--yes"], &fields[..]].concat();
    relay.cli(&add).succeeded();
    check("cli.example", true);
    relay.cli(&["connector", "set", "cli", "enabled=false", "--yes"]).succeeded();
    check("cli.example", false);

    let fields = json!({
        "recipient_domains": ["api.example"], "tls": "none",
        "smart_hosts": [{ "host": address.ip().to_string(), "port": address.port() }],
    });
    value(&private(&relay, "PUT /v1/connectors/outbound/api", &fields));
    check("api.example", true);
    let off = json!({ "enabled": false });
    value(&private(&relay, "PATCH /v1/connectors/outbound/api", &off));
    check("api.example", false);
    value(&private(&relay, "DELETE /v1/connectors/outbound/cli", &Value::Null));
    check("cli.example", false);
}

/// What is wrong is refused, and nothing changes: neither files nor what is in effect.
#[test]
fn a_reload_or_an_edit_with_problems_changes_nothing() {
    let sink = Sink::start();
    let relay = Relay::start(settings(&sink));
    let add =
        ["connector", "add", "bad", "--inbound", "--yes", "sender_ip_addresses=[\"127.0.0.9/40\"]"];
    let refused = relay.cli(&add);
    assert!(refused.stderr.contains("is not a network"), "{refused:?}");
    let path = "PUT /v1/connectors/inbound/bad";
    let answer = private(&relay, path, &json!({ "sender_ip_adresses": [] }));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("did you mean `sender_ip_addresses`?"), "{answer:?}");
    assert!(!relay.folder().join("connectors.d").exists());

    let new = "[[inbound]]\nname = \"more\"\nsender_ip_addresses = [\"127.0.0.9\"]\n";
    write(&relay, "a.toml", new);
    write(&relay, "b.toml", "[[inbound]]\nname = \"more\"\n");
    relay.process().signal("HUP");
    let log = relay.log_with("settings not reloaded, old ones stay");
    assert!(
        log.contains("b.toml:2:1: inbound.name: `more` is also the name of another in"),
        "{log}"
    );
    assert_eq!(stranger(&relay).code, 550);
    let checked = relay.cli(&["config", "check"]);
    assert_eq!(checked.status.code(), Some(78), "{checked:?}");
    assert!(checked.stderr.contains("connectors.d/b.toml:2:1: inbound.name"), "{checked:?}");

    fs::remove_file(relay.folder().join("connectors.d/b.toml")).unwrap();
    let text = fs::read_to_string(relay.settings_path()).unwrap();
    fs::write(relay.settings_path(), text.replace("relay.test", "other.test")).unwrap();
    let answer = value(&private(&relay, "POST /v1/reload", &Value::Null));
    assert_eq!(answer, json!({ "needs_restart": ["hostname"] }));
    assert_eq!(stranger(&relay).code, 250);
    relay.log_with("changed setting needs a restart");
    relay.assert_metric("chasqui_config_reload_total{result=\"failed\"}", 1.0);
}

const SPLAT: &str = "$scanner = @{\n  Name = 'Scanner on 2'\n  SenderIPAddresses = '127.0.0.9/32', '192.0.2.0/24'\n  EFSkipLastIP = $false\n}\nNew-InboundConnector @scanner\nNew-OutboundConnector -Name partner `\n  -RecipientDomains partner.example -SmartHosts mx.partner.example `\n  -TlsSettings DomainValidation -TlsDomain '*.partner.example'\n";

/// Commands of PowerShell become connectors, and connectors become such commands.
#[test]
fn oc_10_connectors_come_from_powershell_and_go_there() {
    let sink = Sink::start();
    let relay = Relay::start(settings(&sink));
    let file = relay.folder().join("connectors.ps1");
    fs::write(&file, SPLAT).unwrap();
    let file = file.to_str().unwrap();
    let planned = relay.cli(&["connector", "import", file, "--dry-run"]);
    assert!(planned.stdout.contains("inbound connector Scanner-on-2: new"), "{planned:?}");
    assert!(planned.stderr.contains("EFSkipLastIP is so anyway"), "{planned:?}");
    assert_eq!(stranger(&relay).code, 550);
    relay.cli(&["connector", "import", file, "--yes"]).succeeded();
    assert_eq!(stranger(&relay).code, 250);
    let partner = relay.cli_json(&["connector", "show", "partner"])["fields"].take();
    assert_eq!(
        (&partner["tls"], &partner["tls_domain"]),
        (&json!("verify"), &json!("*.partner.example"))
    );
    assert_eq!(partner["smart_hosts"][0]["host"], "mx.partner.example");

    for format in ["powershell", "json"] {
        let text = relay.cli(&["connector", "export", "--format", format]).succeeded();
        let path = format!("GET /v1/connectors/export?format={format}");
        assert_eq!(private(&relay, &path, &Value::Null).body.trim_end(), text.trim_end());
        let stream = UnixStream::connect(relay.folder().join("admin.sock")).unwrap();
        let what = "POST /v1/connectors/import?dry_run=true";
        let back = value(&try_ask(stream, what, "", &text).unwrap());
        assert_eq!((&back["changes"], &back["done"]), (&json!([]), &json!(false)), "{text}");
    }
    fs::write(file, "New-InboundConnector -Name a -EFSkipLastIP $true").unwrap();
    let refused = relay.cli(&["connector", "import", file, "--yes"]);
    assert!(refused.stderr.contains("-EFSkipLastIP has no effect here"), "{refused:?}");
}

/// Each further field of Exchange has an effect or is refused by name, with words.
#[test]
fn oc_22_each_field_of_exchange_counts_or_is_refused() {
    let sink = Sink::start();
    let own = "name = \"own.example\"\nverified = true";
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::write(folder.path()).certificate.display().to_string();
    let settings = settings(&sink)
        .push("domain", own)
        .set("listener.0.tls", "starttls")
        .set("listener.0.certificate", certificate.clone())
        .set("listener.0.key", folder.path().join("key.pem").display().to_string())
        .set("listener.0.client_certificates", "ask")
        .set("listener.0.client_authorities", certificate);
    let relay = Relay::start(settings);
    let file = relay.folder().join("connectors.ps1");
    let import = |text: &str| {
        fs::write(&file, text).unwrap();
        relay.cli(&["connector", "import", file.to_str().unwrap(), "--yes"])
    };
    let inbound = "New-InboundConnector -Name in -ConnectorType OnPremises";
    let outbound = "New-OutboundConnector -Name out -ConnectorType Partner";
    for (words, refused) in [
        (
            format!("{inbound} -AssociatedAcceptedDomains own.example"),
            "-AssociatedAcceptedDomains has no effect here: a connector takes mail for all domains",
        ),
        (format!("{inbound} -EFSkipIPs 192.0.2.1"), "-EFSkipIPs has no effect here: there is no"),
        (
            format!("{inbound} -SenderDomains own.example -RestrictDomainsToCertificate $true"),
            "restrict_domains_to_certificate",
        ),
        (format!("{outbound} -TlsSettings Some"), "-TlsSettings is none of EncryptionOnly,"),
        (format!("{outbound} -TlsDomain a.example"), "-TlsDomain has an effect only with"),
        (format!("{outbound} -UseMXRecord $false"), "-UseMXRecord does not go with"),
        (format!("{outbound} -UseMXRecord $true -SmartHosts 192.0.2.1"), "-UseMXRecord does not"),
        (format!("{outbound} -CloudServicesMailEnabled $true"), "no outbound connector has it"),
        (format!("{outbound} -TestMode perhaps"), "-TestMode is neither $true nor $false"),
    ] {
        let said = import(&words);
        assert!(!said.status.success() && said.stderr.contains(refused), "{words}: {said:?}");
    }
    assert_eq!(relay.cli_json(&["connector", "list"]).as_array().unwrap().len(), 2);

    let said = import(&format!(
        "{inbound} -SenderDomains own.example -TlsSenderCertificateName mail.own.example \
         -RestrictDomainsToCertificate $true -AssociatedAcceptedDomains @() -EFSkipIPs @()\n\
         {outbound} -RecipientDomains partner.example -SmartHosts mx.partner.example \
         -UseMXRecord $false -IsTransportRuleScoped $true -TlsSettings DomainValidation \
         -TlsDomain '*.partner.example' -TestMode $true"
    ));
    assert!(said.status.success(), "{said:?}");
    for parameter in ["AssociatedAcceptedDomains", "EFSkipIPs"] {
        assert!(said.stderr.contains(&format!("-{parameter} is so anyway")), "{said:?}");
    }
    let field = |connector: &str, name: &str| {
        relay.cli_json(&["connector", "show", connector])["fields"][name].take()
    };
    for (connector, name, want) in [
        ("in", "sender_domains", json!(["own.example"])),
        ("in", "tls_sender_certificate_names", json!(["mail.own.example"])),
        ("in", "restrict_domains_to_certificate", json!(true)),
        ("out", "recipient_domains", json!(["partner.example"])),
        ("out", "is_transport_rule_scoped", json!(true)),
        ("out", "tls", json!("verify")),
        ("out", "tls_domain", json!("*.partner.example")),
        ("out", "test_mode", json!(true)),
    ] {
        assert_eq!(field(connector, name), want, "{connector} {name}");
    }
    assert_eq!(field("out", "smart_hosts")[0]["host"], "mx.partner.example");
}

/// Who may only look is told so, and it is written down.
#[test]
fn oc_11_without_the_role_nothing_is_created() {
    let sink = Sink::start();
    let mut relay = Relay::stopped(settings(&sink));
    let mut settings = settings(&sink);
    let mut tokens = Vec::new();
    for role in ["viewer", "admin"] {
        let file = relay.folder().join(role).display().to_string();
        let mut new = std::process::Command::new(crate::harness::relay::PROGRAM);
        new.args(["token", "new", role, "--role", role, "--hash-file", &file]);
        let token = crate::harness::process::run(new, b"").succeeded();
        tokens.push(token.trim().to_owned());
        let table = format!("name = \"{role}\"\nrole = \"{role}\"\nhash_file = \"{file}\"");
        let table: toml::Table = table.parse().unwrap();
        settings = settings.set_more("admin.token", table);
    }
    relay.set_settings(settings);
    relay.restart();
    let (viewer, admin) = (&tokens[0], &tokens[1]);
    let path = "/v1/connectors/inbound/more";
    let fields = json!({ "sender_ip_addresses": ["127.0.0.9"] });
    let list = value(&public(&relay, "GET /v1/connectors", viewer, &Value::Null));
    assert_eq!(list["connectors"][0]["name"], "tests");
    for (token, want) in [("", 401), ("guess", 401), (viewer.as_str(), 403)] {
        let answer = public(&relay, &format!("PUT {path}"), token, &fields);
        assert_eq!(answer.status, want, "{answer:?}");
        assert!(serde_json::from_str::<Value>(&answer.body).unwrap()["error"].is_string());
    }
    assert_eq!(stranger(&relay).code, 550);
    assert_eq!(public(&relay, &format!("PUT {path}"), admin, &fields).status, 200);
    assert_eq!(stranger(&relay).code, 250);
    let log = relay.log_with("\"result\":\"done\"");
    let line = |words: &[&str]| {
        let found = log
            .lines()
            .any(|line| line.contains("\"audit\"") && words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?}\n{log}");
    };
    line(&["viewer", "PUT /v1/connectors/inbound/more", "\"result\":\"refused\"", "403"]);
    line(&["admin (127.0.0.1", "PUT /v1/connectors/inbound/more", "\"result\":\"done\""]);
    // Whatever way it is asked for, the record names the connector and its fields.
    relay.cli(&["connector", "set", "more", "limits.x=1", "--yes"]);
    relay.cli(&["connector", "set", "more", "require_tls=true", "--yes"]).succeeded();
    let log = relay.log_with("\"of\":\"inbound more changed: require_tls\"");
    line(&["admin (127.0.0.1", "\"of\":\"inbound more new: sender_ip_addresses\""]);
    assert!(log.contains("\"of\":\"inbound more set: limits\""), "{log}");
    line(&["\"result\":\"refused: unknown\"", "127.0.0.1"]);
    assert!(!log.contains(viewer.as_str()) && !log.contains(admin.as_str()));
}

/// Without a relay the files are edited; what it does then is what they say.
#[test]
fn the_files_are_edited_while_no_relay_runs() {
    let sink = Sink::start();
    let mut relay = Relay::start(settings(&sink));
    relay.terminate();
    let add =
        ["connector", "add", "more", "--inbound", "--yes", "sender_ip_addresses=[\"127.0.0.9\"]"];
    let said = relay.cli(&add).succeeded();
    assert!(said.contains("at the next start"), "{said}");
    relay.restart();
    assert_eq!(stranger(&relay).code, 250);
    relay.cli(&["connector", "remove", "next-hop", "--yes"]);
    let left = relay.cli(&["connector", "remove", "next-hop", "--yes"]);
    assert!(left.stderr.contains("no mail could go out"), "{left:?}");
    assert_eq!(relay.cli_json(&["connector", "list"]).as_array().unwrap().len(), 3);
}
