//! Edits of files in a folder.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use admin::view::Direction;

use super::*;

const MAIN: &str = r#"# Our relay.
hostname = "relay.example.com" # as the DNS has it

[[listener]]
name = "smtp"
address = "127.0.0.1:2525"

# Who may.
[[inbound]]
name = "here"
sender_ip_addresses = ["127.0.0.0/8"] # this machine
enabled = true

[[outbound]]
name = "internet"
limits.connections_max = 5
"#;

struct Place {
    folder: tempfile::TempDir,
    main: PathBuf,
}

impl Place {
    fn new(main: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        std::fs::write(&file, main).unwrap();
        Self { main: file, folder }
    }

    fn apply(&self, edits: &[Edit]) -> Result<Vec<Change>, EditError> {
        apply_edits(&self.main, edits, |_| Ok(()), |_| Vec::new()).map(|plan| plan.changes)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Everything that is there.
    fn all(&self) -> Vec<String> {
        let mut names = Vec::new();
        for folder in [self.folder.path().to_owned(), self.folder.path().join("connectors.d")] {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            names.extend(entries.map(|it| it.unwrap().file_name().into_string().unwrap()));
        }
        names.sort();
        names
    }
}

fn edit(direction: Direction, name: &str, action: Action) -> Edit {
    Edit { direction, name: name.to_owned(), action }
}

fn fields(value: Value) -> admin::view::Fields {
    let Value::Object(fields) = value else { panic!("no table") };
    fields
}

fn inbound(name: &str, action: fn(admin::view::Fields) -> Action, value: Value) -> Edit {
    edit(Direction::Inbound, name, action(fields(value)))
}

#[test]
fn a_field_is_set_where_it_stands_and_comments_stay() {
    let place = Place::new(MAIN);
    let wish = json!({ "sender_ip_addresses": ["127.0.0.0/8", "192.0.2.1"], "enabled": null });
    let limits = fields(json!({ "limits": { "connections_max": 7 }, "port": 2525 }));
    let changes = place
        .apply(&[
            inbound("here", Action::Set, wish),
            edit(Direction::Outbound, "internet", Action::Set(limits)),
        ])
        .unwrap();
    let want = MAIN
        .replace("[\"127.0.0.0/8\"] #", "[\"127.0.0.0/8\", \"192.0.2.1\"] #")
        .replace("enabled = true\n", "")
        .replace("connections_max = 5\n", "connections_max = 7\nport = 2525\n");
    assert_eq!(place.text("x.toml"), want);
    let told: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "inbound connector here: changed\n  sender_ip_addresses: [\"127.0.0.0/8\"] → [\"127.0.0.0/8\",\"192.0.2.1/32\"]",
            "outbound connector internet: changed\n  limits.connections_max: 5 → 7\n  port: 25 → 2525",
        ]
    );
    assert_eq!(place.all(), ["x.toml"]);
}

#[test]
fn a_new_connector_has_a_file_of_its_own_until_it_goes() {
    let place = Place::new(MAIN);
    let mode = |name: &str| {
        let file = place.folder.path().join(name);
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777
    };
    std::fs::set_permissions(&place.main, std::fs::Permissions::from_mode(0o640)).unwrap();
    let new = || inbound("printer", Action::Add, json!({ "sender_ip_addresses": ["192.0.2.7"] }));
    let changes = place.apply(&[new()]).unwrap();
    assert_eq!(
        changes[0].to_string(),
        "inbound connector printer: new\n  sender_ip_addresses: [] → [\"192.0.2.7/32\"]"
    );
    let file = "connectors.d/inbound-printer.toml";
    assert_eq!(
        place.text(file),
        "[[inbound]]\nname = \"printer\"\nsender_ip_addresses = [\"192.0.2.7\"]\n"
    );
    assert_eq!((mode(file), mode("connectors.d")), (0o640, 0o750));
    assert!(matches!(place.apply(&[new()]), Err(EditError::Exists { .. })));
    let listed = connectors(&place.main).unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|it| (it.name.as_str(), it.file.strip_prefix(place.folder.path()).unwrap()))
        .collect();
    assert_eq!(
        listed,
        [
            ("here", Path::new("x.toml")),
            ("printer", Path::new(file)),
            ("internet", Path::new("x.toml"))
        ]
    );
    let gone = edit(Direction::Inbound, "printer", Action::Remove);
    let changes = place.apply(std::slice::from_ref(&gone)).unwrap();
    assert_eq!(changes[0].to_string(), "inbound connector printer: removed");
    assert_eq!(place.all(), ["connectors.d", "x.toml"]);
    assert_eq!(place.text("x.toml"), MAIN);
    assert!(matches!(place.apply(&[gone]), Err(EditError::Missing { .. })));
}

#[test]
fn what_is_refused_writes_nothing() {
    let place = Place::new(MAIN);
    let add = |name, value| inbound(name, Action::Add, value);
    for (edits, want) in [
        (
            vec![add("a", json!({})), add("b", json!({ "sender_ip_addresses": ["x"] }))],
            "connectors.d/inbound-b.toml:3:24: inbound.sender_ip_addresses: `x` is not a network",
        ),
        (
            vec![add("a", json!({ "sender_ip_adresses": [] }))],
            "did you mean `sender_ip_addresses`?",
        ),
        (vec![add("../a", json!({}))], "`../a` cannot be a name"),
        (vec![add("a", json!({ "name": "b" }))], "keeps its name"),
        (
            vec![add("a", json!({ "sender_ip_addresses": [null] }))],
            "`sender_ip_addresses` cannot be written in TOML",
        ),
        (
            vec![edit(Direction::Outbound, "internet", Action::Remove)],
            "outbound: there is none, so no mail could go out",
        ),
    ] {
        let error = place.apply(&edits).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
        assert_eq!(place.all(), ["x.toml"]);
        assert_eq!(place.text("x.toml"), MAIN);
    }
    // What others find counts too.
    let look = |_: &Settings| -> Result<(), _> {
        Err(vec![Finding::in_section("inbound", "x", "is odd")])
    };
    let edits = [inbound("here", Action::Set, json!({ "enabled": false }))];
    let error = apply_edits(&place.main, &edits, look, |_| Vec::new()).unwrap_err().to_string();
    assert!(error.contains("is odd") && place.text("x.toml") == MAIN, "{error}");
}

#[test]
fn put_leaves_no_other_field() {
    let place = Place::new(MAIN);
    let wish = json!({ "name": "here", "sender_ip_addresses": ["127.0.0.0/8"], "logins": [] });
    place.apply(&[inbound("here", Action::Put, wish)]).unwrap();
    let want = MAIN.replace("enabled = true\n", "logins = []\n");
    assert_eq!(place.text("x.toml"), want);
}

#[test]
fn inline_lists_are_edited_too() {
    let place = Place::new(
        &MAIN.replace("# Our relay.", "inbound = [{ name = \"one\", sender_ip_addresses = [] }]")
            .replace("# Who may.\n[[inbound]]\nname = \"here\"\nsender_ip_addresses = [\"127.0.0.0/8\"] # this machine\nenabled = true\n", ""),
    );
    place.apply(&[inbound("one", Action::Set, json!({ "enabled": false }))]).unwrap();
    let line = "inbound = [{ name = \"one\", sender_ip_addresses = [] , enabled = false }]";
    let first = place.text("x.toml").lines().next().map(|line| line.replace("[],", "[] ,"));
    assert_eq!(first.as_deref(), Some(line));
    place.apply(&[edit(Direction::Inbound, "one", Action::Remove)]).unwrap();
    assert!(!place.text("x.toml").contains("inbound"));
}

#[test]
fn a_plan_on_old_files_is_not_written() {
    let place = Place::new(MAIN);
    let edits = [inbound("here", Action::Set, json!({ "enabled": false }))];
    let plan = plan(&place.main, &edits, |_| Ok(()), |_| Vec::new()).unwrap();
    let other = MAIN.replace("Our relay", "Your relay");
    std::fs::write(&place.main, &other).unwrap();
    assert!(matches!(plan.write(), Err(EditError::Raced)));
    assert_eq!(place.text("x.toml"), other);
    place.apply(&edits).unwrap();
    assert_eq!(place.text("x.toml"), other.replace("enabled = true", "enabled = false"));
}

#[test]
fn keys_are_added_to_a_file_of_their_domain_and_changed_where_they_stand() {
    use auth::config::{Key, KeyState};

    let place = Place::new(MAIN);
    let key = |selector: &str| Key {
        domain: "example.com".to_owned(),
        selector: selector.to_owned(),
        key_file: PathBuf::from("/keys/x.pem"),
        state: KeyState::Pending,
        check_dns: true,
    };
    let edit =
        |edit: KeyEdit| edit_keys(&place.main, &[edit], |_| Ok(())).map(|plan| plan.settings);
    edit(KeyEdit::Add(key("a"))).unwrap();
    let settings = edit(KeyEdit::Add(key("b"))).unwrap();
    assert_eq!(settings.dkim, [key("a"), key("b")]);
    let file = place.folder.path().join("connectors.d/dkim-example.com.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("[[dkim]]\ndomain = \"example.com\"\n"), "{text}");
    std::fs::write(&file, format!("# Ours.\n{text}")).unwrap();
    let set = |selector: &str| KeyEdit::Set {
        domain: "Example.com".to_owned(),
        selector: selector.to_owned(),
        fields: [("state".to_owned(), json!("active"))].into_iter().collect(),
    };
    let settings = edit(set("b")).unwrap();
    assert_eq!(settings.dkim[0].state, KeyState::Pending);
    assert_eq!(settings.dkim[1].state, KeyState::Active);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# Ours."));
    assert!(matches!(edit(set("c")), Err(EditError::KeyMissing { .. })));
    assert!(matches!(edit(KeyEdit::Add(key("a"))), Err(EditError::KeyExists { .. })));
    assert!(matches!(edit(KeyEdit::Add(key("a b"))), Err(EditError::Wrong(_))));
    assert_eq!(std::fs::read_to_string(&place.main).unwrap(), MAIN);
}
