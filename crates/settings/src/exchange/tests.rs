//! There and back.

use std::path::PathBuf;

use admin::view::{Action, Connector, Direction, ExportFormat, Fields};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::edit::defaults;

#[track_caller]
fn read(text: &str) -> (Vec<(Direction, String, Value)>, Vec<String>) {
    let imported = import(text).unwrap();
    let edits = imported.edits.into_iter().map(|edit| match edit.action {
        // What may not be known yet is told apart below.
        Action::Put(mut fields) => {
            fields.remove("connector_type");
            (edit.direction, edit.name, Value::Object(fields))
        }
        other => panic!("{other:?}"),
    });
    let notes = imported.notes.into_iter().filter(|note| !note.contains("ConnectorType"));
    (edits.collect(), notes.collect())
}

const INBOUND: Direction = Direction::Inbound;
const OUTBOUND: Direction = Direction::Outbound;

#[test]
fn commands_on_several_lines_and_tables_are_the_same() {
    let want = json!({ "enabled": true, "sender_ip_addresses": ["192.0.2.0/24", "2001:db8::1"] });
    for text in [
        "New-InboundConnector -Name 'Scanner' -Enabled $true -SenderIPAddresses 192.0.2.0/24,2001:db8::1",
        "# Our scanners.\r\nnew-inboundconnector -name \"Scanner\" `\r\n  -ENABLED:$True `\r\n  -SenderIPAddresses @('192.0.2.0/24', '2001:db8::1')\r\n",
        "$p = @{\n  Name = 'Scanner'; Enabled = $true\n  SenderIPAddresses = '192.0.2.0/24',\n    '2001:db8::1' # both\n}\nNew-InboundConnector @P",
        "<# a\n comment #> New-InboundConnector -SenderIPAddresses @(\n '192.0.2.0/24'\n '2001:db8::1'\n) Scanner -Enabled".replace(" Scanner", " -Name Scanner").as_str(),
    ] {
        assert_eq!(read(text).0, [(INBOUND, "Scanner".to_owned(), want.clone())], "{text}");
    }
}

#[test]
fn an_outbound_connector_of_each_level() {
    let text = "New-OutboundConnector -Name \"To Contoso\" -RecipientDomains contoso.com,*.contoso.com -SmartHosts [192.0.2.7] -UseMXRecord $false -TlsSettings DomainValidation -TlsDomain mx.contoso.com -Comment 'It''s theirs' -AllAcceptedDomains $false\n\
                New-OutboundConnector -Name b -TlsSettings EncryptionOnly -UseMXRecord $true";
    let (edits, notes) = read(&text.replace(" -Comment 'It''s theirs'", ""));
    let first = json!({
        "recipient_domains": ["contoso.com", "*.contoso.com"],
        "smart_hosts": [{ "host": "192.0.2.7" }], "tls": "verify", "tls_domain": "mx.contoso.com",
    });
    assert_eq!(
        edits,
        [
            (OUTBOUND, "To-Contoso".to_owned(), first),
            (OUTBOUND, "b".to_owned(), json!({ "tls": "encrypt" }))
        ]
    );
    assert_eq!(
        notes,
        [
            "line 1: -AllAcceptedDomains is so anyway",
            "line 1: `To Contoso` is called `To-Contoso` here"
        ]
    );
}

#[test]
fn what_get_inbound_connector_writes() {
    let text = json!([{
        "Name": "partner", "Enabled": false, "SenderIPAddresses": [],
        "TlsSenderCertificateName": "<S>C=US,CN=mail.partner.example", "RequireTls": null,
        "EFSkipIPs": [], "EFSkipLastIP": false, "Guid": "0f", "WhenChanged": "/Date(1)/",
        "TrustedOrganizations": null,
    }]);
    let (edits, notes) = read(&text.to_string());
    let want =
        json!({ "enabled": false, "tls_sender_certificate_names": ["mail.partner.example"] });
    assert_eq!(edits, [(INBOUND, "partner".to_owned(), want)]);
    assert_eq!(notes.len(), 3, "{notes:?}");
}

/// Exchange has no word for it: that is said, and an import of ours knows it again.
#[test]
fn an_address_that_expires_comes_back_and_exchange_is_not_trusted_with_it() {
    let networks =
        json!(["192.0.2.0/24", { "network": "203.0.113.7/32", "expires": "2027-01-31" }]);
    let mut fields = defaults(INBOUND);
    fields.insert("sender_ip_addresses".to_owned(), networks.clone());
    let connector = Connector {
        direction: INBOUND,
        name: "guests".to_owned(),
        enabled: true,
        file: PathBuf::new(),
        fields,
        usage: None,
        intake: None,
    };
    let all = [connector];
    let text = export(&all, ExportFormat::Powershell);
    assert!(text.contains("-SenderIPAddresses '192.0.2.0/24','203.0.113.7/32'"), "{text}");
    let note = "# Exchange knows no end of an address: guests would let 203.0.113.7/32 in for ever, and not until 2027-01-31\n";
    assert!(text.contains(note), "{text}");
    for text in [text, export(&all, ExportFormat::Json)] {
        assert_eq!(read(&text).0[0].2["sender_ip_addresses"], networks, "{text}");
    }
}

#[test]
fn what_has_no_effect_is_refused_by_name() {
    let refused = |text: &str| import(text).unwrap_err().to_string();
    for (text, want) in [
        (
            "New-InboundConnector -Name a -EFSkipLastIP $true",
            "line 1: -EFSkipLastIP has no effect here: there is no enhanced filtering",
        ),
        (
            "New-InboundConnector -Name a -Nmae b",
            "line 1: -Nmae is no parameter of New-InboundConnector",
        ),
        ("New-InboundConnector -Enabled $true", "line 1: -Name is missing"),
        ("New-InboundConnector -Name a -Name b", "line 1: -Name is given twice"),
        (
            "New-InboundConnector -Name a -Enabled perhaps",
            "line 1: -Enabled is neither $true nor $false",
        ),
        (
            "New-OutboundConnector -Name a -TlsDomain x.example",
            "line 1: -TlsDomain has an effect only with",
        ),
        ("New-OutboundConnector -Name a -TlsSettings DomainValidation", "needs -TlsDomain"),
        (
            "New-OutboundConnector -Name a -UseMXRecord perhaps",
            "-UseMXRecord is neither $true nor $false",
        ),
        (
            "New-OutboundConnector -Name a -RouteAllMessagesViaOnPremises $true",
            "`recipient_domains` are `*`",
        ),
        ("\nSet-InboundConnector -Name a", "line 2: `Set-InboundConnector` is not taken"),
        ("New-InboundConnector -Name $name", "line 1: $name is not known"),
        ("New-InboundConnector -Name \"a$name\"", "line 1: variables in texts are not known"),
        ("New-InboundConnector @nothing", "line 1: there is no table $nothing"),
        ("New-InboundConnector -Name 'a", "line 1: this text has no end"),
        ("New-InboundConnector -Name a | Out-Null", "line 1: `|` is more than"),
        ("", "there is no New-InboundConnector"),
        ("[{\"Name\": \"a\"}]", "connector 1: has neither"),
        ("[{", "this is not JSON"),
    ] {
        let words = refused(text);
        assert!(words.contains(want), "{text}: {words}");
    }
    // All of it at once.
    let two = "New-InboundConnector -Name a -EFTestMode $true -EFUsers x@y.example";
    assert_eq!(refused(two).lines().count(), 2);
}

#[test]
fn texts_stay_texts_in_powershell() {
    let evil = "a'; Remove-Mailbox x \u{2019}; `n $x # <# @{ \u{201c}\"\n-Name b";
    let connector = connector(INBOUND, "a", json!({ "logins": [evil] }));
    let text = export(std::slice::from_ref(&connector), ExportFormat::Powershell);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(back(&text), [effect(&connector)]);
    let outbound = self::connector(OUTBOUND, "a", json!({ "recipient_domains": [evil] }));
    let text = export(std::slice::from_ref(&outbound), ExportFormat::Powershell);
    assert_eq!(back(&text), [effect(&outbound)], "{text}");
}

fn connector(direction: Direction, name: &str, set: Value) -> Connector {
    let mut fields = defaults(direction);
    let Value::Object(set) = set else { panic!("no table") };
    fields.extend(set);
    fields.retain(|_, value| !value.is_null());
    let file = PathBuf::new();
    Connector {
        direction,
        name: name.to_owned(),
        enabled: true,
        file,
        fields,
        usage: None,
        intake: None,
    }
}

type Effect = (Direction, String, Fields);

fn effect(connector: &Connector) -> Effect {
    (connector.direction, connector.name.clone(), connector.fields.clone())
}

/// What the settings would hold after an import.
fn back(text: &str) -> Vec<Effect> {
    let imported = import(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let edits = imported.edits.into_iter().map(|edit| {
        let Action::Put(set) = edit.action else { panic!("no put") };
        let mut made = connector(edit.direction, &edit.name, Value::Object(set));
        // A host is written without its defaults.
        if let Some(Value::Array(hosts)) = made.fields.get_mut("smart_hosts") {
            for host in hosts {
                let host = host.as_object_mut().unwrap();
                for (key, value) in [("port", 25), ("order", 10), ("weight", 1)] {
                    host.entry(key).or_insert(value.into());
                }
            }
        }
        effect(&made)
    });
    edits.collect()
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z]{1,6}(\\.[a-z]{1,3})?",
        "\\PC{0,8}",
        Just("smtp:*;1".to_owned()),
        Just("False".to_owned()),
        Just("CN=a,b".to_owned()),
    ]
    .prop_map(Value::from)
}

fn texts() -> impl Strategy<Value = Value> {
    proptest::collection::vec(text(), 0..3).prop_map(Value::from)
}

fn host() -> impl Strategy<Value = Value> {
    (text(), prop_oneof![Just(25), Just(2525)])
        .prop_map(|(host, port)| json!({ "host": host, "port": port, "order": 10, "weight": 1 }))
}

fn inbound() -> impl Strategy<Value = Value> {
    (any::<bool>(), texts(), texts(), texts()).prop_map(|(enabled, networks, names, logins)| {
        json!({ "enabled": enabled, "sender_ip_addresses": networks, "tls_sender_certificate_names": names, "logins": logins })
    })
}

fn outbound() -> impl Strategy<Value = Value> {
    const LEVELS: &[&str] = &["none", "opportunistic", "encrypt", "verify", "dane", "dane-only"];
    let level = proptest::sample::select(LEVELS);
    let hosts = proptest::collection::vec(host(), 0..3);
    let name = prop_oneof![Just(Value::Null), text()];
    (any::<bool>(), texts(), level, name, hosts).prop_map(|(scoped, domains, tls, name, hosts)| {
        json!({
            "is_transport_rule_scoped": scoped, "recipient_domains": domains, "tls": tls,
            "tls_domain": name, "smart_hosts": hosts, "limits": { "connections_max": 7 },
        })
    })
}

proptest! {
    #[test]
    fn export_is_the_reverse_of_import(
        one in inbound(),
        other in outbound(),
        name in "[A-Za-z0-9_-]{1,64}",
    ) {
        let all = [connector(INBOUND, &name, one), connector(OUTBOUND, &name, other)];
        for format in [ExportFormat::Powershell, ExportFormat::Json] {
            let text = export(&all, format);
            let want: Vec<_> = all.iter().map(effect).collect();
            prop_assert_eq!(back(&text), want, "{}", text);
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "(New-InboundConnector|\\$p|@\\{|@p|-Name|[=`'\"(),;}\n ]|\\PC){0,30}") {
        drop(import(&text));
    }
}

/// Whose clients it is for is said in their words, and who issued a certificate with its name.
#[test]
fn types_and_issuers_are_taken_over_and_back() {
    let fields = |text: &str| match import(text).unwrap().edits.remove(0).action {
        Action::Put(fields) => fields,
        other => panic!("{other:?}"),
    };
    let certificate = "-TlsSenderCertificateName '<I>CN=Good CA<S>CN=mail.x.example'";
    for (said, want) in [("-ConnectorType onpremises", "on_premises"), ("", "partner")] {
        let text = format!("New-InboundConnector -Name in {said} {certificate}");
        let fields = fields(&text);
        assert_eq!(fields["connector_type"], want, "{text}");
        assert_eq!(fields["tls_sender_certificate_issuers"], json!(["CN=Good CA"]));
        let (direction, enabled) = (Direction::Inbound, true);
        let (name, file) = ("in".to_owned(), "x.toml".into());
        let connector =
            Connector { enabled, file, direction, name, fields, usage: None, intake: None };
        let exported = export(&[connector], ExportFormat::Powershell);
        let kind = if want == "partner" { "Partner" } else { "OnPremises" };
        assert!(exported.contains(&format!("-ConnectorType '{kind}'")), "{exported}");
        assert!(exported.contains("<S>CN=mail.x.example"), "{exported}");
    }
}
