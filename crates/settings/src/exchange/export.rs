//! From our words to Exchange's.

use admin::view::{Connector, Direction, ExportFormat, Fields};
use serde_json::{Map, Value, json};

use crate::edit::defaults;
use crate::exchange::import::{CONNECTOR_TYPES, OWN as OWN_KEY};
use crate::exchange::parameter::{Effect, Kind, all, command};
use crate::exchange::powershell::{OWN, written};

/// Writes connectors so that `import` makes the same of them; what Exchange has no words for stands in a comment, or
/// under the key `Chasqui`.
pub fn export(connectors: &[Connector], format: ExportFormat) -> String {
    let given: Vec<Given> = connectors.iter().map(Given::of).collect();
    match format {
        ExportFormat::Powershell => given.iter().map(Given::command).collect(),
        ExportFormat::Json => {
            let list: Vec<Value> = given.into_iter().map(Given::object).collect();
            // What is made of JSON can be printed.
            serde_json::to_string_pretty(&list).unwrap_or_default() + "\n"
        }
    }
}

/// What Exchange would do otherwise with a connector than here, one sentence each.
pub fn left_out(connector: &Connector) -> Vec<String> {
    let networks = connector.fields.get("sender_ip_addresses").and_then(Value::as_array);
    let ends = networks.into_iter().flatten().filter_map(|it| {
        let (network, expires) = it.get("network")?.as_str().zip(it.get("expires")?.as_str())?;
        let name = &connector.name;
        Some(format!(
            "Exchange knows no end of an address: {name} would let {network} in for ever, and not until {expires}"
        ))
    });
    ends.collect()
}

/// One connector in Exchange's words.
struct Given {
    direction: Direction,
    parameters: Vec<(&'static str, Value)>,
    /// What is left.
    own: Map<String, Value>,
    /// What is to be known about it.
    notes: Vec<String>,
}

impl Given {
    fn of(connector: &Connector) -> Self {
        let usual = defaults(connector.direction);
        let mut own = connector.fields.clone();
        own.retain(|key, value| !value.is_null() && usual.get(key) != Some(value));
        let parameters = vec![("Name", connector.name.clone().into())];
        let notes = left_out(connector);
        let mut given = Self { direction: connector.direction, parameters, own, notes };
        let kind = connector.fields.get("connector_type").and_then(Value::as_str);
        if let Some((kind, _)) = CONNECTOR_TYPES.iter().find(|(_, ours)| Some(*ours) == kind) {
            given.give("ConnectorType", "connector_type", (*kind).into());
        }
        let field = |name: &str| connector.fields.get(name);
        given.always("Enabled", "enabled", field("enabled"));
        match connector.direction {
            Direction::Inbound => given.networks(field("sender_ip_addresses")),
            Direction::Outbound => {
                let domains = field("recipient_domains");
                given.always("RecipientDomains", "recipient_domains", domains);
            }
        }
        given.fields();
        given.certificate();
        given.outbound();
        given
    }

    fn give(&mut self, parameter: &'static str, field: &str, value: Value) {
        self.own.remove(field);
        self.parameters.push((parameter, value));
    }

    /// What is said even if it is the default.
    fn always(&mut self, parameter: &'static str, field: &str, value: Option<&Value>) {
        let is_said = |value: &&Value| value.is_boolean() || texts(value).is_some();
        if let Some(value) = value.filter(is_said) {
            self.give(parameter, field, value.clone());
        }
    }

    /// The addresses; their ends stay among what is left, so that an import knows them again.
    fn networks(&mut self, networks: Option<&Value>) {
        const PARAMETER: &str = "SenderIPAddresses";
        if self.notes.is_empty() {
            return self.always(PARAMETER, "sender_ip_addresses", networks);
        }
        let items = networks.and_then(Value::as_array).into_iter().flatten();
        let plain: Value = items.map(|it| it.get("network").unwrap_or(it).clone()).collect();
        self.parameters.push((PARAMETER, plain));
    }

    fn fields(&mut self) {
        for parameter in all(self.direction) {
            let Effect::Field(field, kind) = parameter.effect else { continue };
            let Some(value) = self.own.get(field) else { continue };
            let value = match kind {
                Kind::Flag if value.is_boolean() => value.clone(),
                Kind::Text if value.as_str().is_some_and(is_told) => value.clone(),
                Kind::Texts | Kind::Domains if texts(value).is_some() => value.clone(),
                _ => continue,
            };
            self.give(parameter.name, field, value);
        }
    }

    fn certificate(&mut self) {
        let one = |own: &Fields, key: &str| match own.get(key).and_then(texts)?.as_slice() {
            [one] if !one.contains(['<', '>', ',', '=']) => Some(one.clone()),
            _ => None,
        };
        let Some(name) = one(&self.own, "tls_sender_certificate_names") else { return };
        let issuers =
            self.own.get("tls_sender_certificate_issuers").map(|it| texts(it).unwrap_or_default());
        match issuers.as_deref() {
            None => {
                self.give("TlsSenderCertificateName", "tls_sender_certificate_names", name.into());
            }
            Some([issuer]) if !issuer.contains("<S>") => {
                let text = format!("<I>{issuer}<S>CN={name}");
                self.own.remove("tls_sender_certificate_issuers");
                self.give("TlsSenderCertificateName", "tls_sender_certificate_names", text.into());
            }
            Some(_) => {}
        }
    }

    fn outbound(&mut self) {
        let plain = |host: &Value| {
            let fields = host.as_object()?;
            let usual = [("port", 25), ("order", 10), ("weight", 1)];
            let is_plain = usual
                .iter()
                .all(|(key, value)| fields.get(*key).is_none_or(|other| *other == json!(value)));
            let name = fields.get("host")?.as_str()?;
            (is_plain && is_told(name) && !name.contains(['[', ']'])).then(|| json!(name))
        };
        let hosts = self.own.get("smart_hosts").and_then(Value::as_array);
        let hosts: Option<Vec<Value>> = hosts.and_then(|list| list.iter().map(plain).collect());
        if let Some(hosts) = hosts.filter(|hosts| !hosts.is_empty()) {
            self.give("SmartHosts", "smart_hosts", hosts.into());
        }
        let name = self.own.get("tls_domain").and_then(Value::as_str).map(str::to_owned);
        match (self.own.get("tls").and_then(Value::as_str), name.filter(|it| is_told(it))) {
            (Some("encrypt"), _) => self.give("TlsSettings", "tls", "EncryptionOnly".into()),
            (Some("verify"), None) => {
                self.give("TlsSettings", "tls", "CertificateValidation".into());
            }
            (Some("verify"), Some(name)) => {
                self.give("TlsSettings", "tls", "DomainValidation".into());
                self.give("TlsDomain", "tls_domain", name.into());
            }
            _ => {}
        }
    }

    fn command(&self) -> String {
        let mut words = vec![command(self.direction).to_owned()];
        for (name, value) in &self.parameters {
            words.push(format!("-{name}"));
            words.push(written(value));
        }
        let notes = self.notes.iter().flat_map(|note| ["# ", note.as_str(), "\n"]);
        let line = words.join(" ") + "\n" + &notes.collect::<String>();
        if self.own.is_empty() {
            return line;
        }
        format!("{line}{OWN}{}\n", Value::Object(self.own.clone()))
    }

    fn object(self) -> Value {
        let parameters = self.parameters.into_iter();
        let mut object: Map<_, _> =
            parameters.map(|(name, value)| (name.to_owned(), value)).collect();
        // By these the two kinds are told apart.
        let mark = match self.direction {
            Direction::Inbound => "SenderIPAddresses",
            Direction::Outbound => "RecipientDomains",
        };
        object.entry(mark).or_insert_with(|| json!([]));
        if !self.own.is_empty() {
            object.insert(OWN_KEY.to_owned(), Value::Object(self.own));
        }
        Value::Object(object)
    }
}

/// A list of texts that is not taken for nothing, nor read in another way.
fn texts(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?;
    let text = |item: &Value| {
        item.as_str().filter(|text| is_told(text) && !text.contains(';')).map(str::to_owned)
    };
    items.iter().map(text).collect::<Option<Vec<_>>>().filter(|items| !items.is_empty())
}

/// Whether a text says something to Exchange.
fn is_told(text: &str) -> bool {
    !text.is_empty()
        && !text.eq_ignore_ascii_case("false")
        && !text.eq_ignore_ascii_case("none")
        && !text.to_ascii_lowercase().starts_with("smtp:")
}
