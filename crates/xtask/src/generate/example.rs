//! The settings file with every key, all of it commented out.

use std::path::Path;

use anyhow::{Context, Result};

use crate::generate::notice::NOTICE;
use crate::generate::schema::{Key, Section, Shape};

/// What stands where there is no default, or where the default would say nothing.
const EXAMPLES: &[(&str, &str)] = &[
    ("hostname", "\"relay.example.com\""),
    ("rule.activation", "\"2027-01-31\""),
    ("rule.expiry", "\"2027-12-31T18:00:00Z\""),
    ("rule.expression", "\"octets > 1000000 && recipient_domain == 'partner.example'\""),
    ("rule.name", "\"newsletters\""),
    ("rule.when.size_over", "\"10MiB\""),
    ("rule.when.tls", "true"),
    ("rule.except.size_over", "\"10MiB\""),
    ("rule.except.tls", "true"),
    ("rule.then.route", "\"bulk\""),
    ("rule.then.rewrite_from", "\"news@example.com\""),
    ("rule.then.set_class", "\"bulk\""),
    ("domain.name", "\"example.com\""),
    ("inbound.takes_null_sender", "false"),
    ("inbound.certified_suffix", "\"evidence.example.com\""),
    ("inbound.registered_senders", "[\"sales@example.com\"]"),
    ("inbound.auth", "\"spf\""),
    ("inbound.plan", "\"basic\""),
    ("inbound.threads", "\"desk\""),
    ("inbound.connections_max", "50"),
    ("inbound.daily_messages_max", "10000"),
    ("inbound.daily_recipients_max", "50000"),
    ("inbound.rates.messages", "\"200/1h\""),
    ("inbound.rates.recipients", "\"1000/1h\""),
    ("inbound.rates.octets", "\"1GiB/1h\""),
    ("plan.name", "\"basic\""),
    ("plan.includes", "[\"network\", \"certificate\"]"),
    ("plan.text", "\"not part of your plan; ask sales@relay.example.com\""),
    ("inbound.cloud_services_mail_enabled", "false"),
    ("dkim.domain", "\"example.com\""),
    ("dkim.selector", "\"2026-rsa\""),
    ("dkim.key_file", "\"/etc/chasqui/dkim/example.com.2026-rsa.pem\""),
    ("group.name", "\"staff\""),
    ("group.file", "\"/etc/chasqui/staff.txt\""),
    ("filter.name", "\"rspamd\""),
    ("filter.address", "\"inet:127.0.0.1:8891\""),
    ("filter.password_file", "\"/etc/chasqui/rspamd.password\""),
    ("filter.settings_id", "\"outgoing\""),
    ("filter.token_file", "\"/etc/chasqui/hook.token\""),
    ("filter.signature_key_file", "\"/etc/chasqui/hook.key\""),
    ("expect.from", "\"sales@example.com\""),
    ("expect.to", "\"somebody@partner.example\""),
    ("expect.connector", "\"internet\""),
    ("rewrite.default_from", "\"notifications\""),
    ("rewrite.alias_domain", "\"example.com\""),
    ("rewrite.secrets_file", "\"/etc/chasqui/return-paths.secrets\""),
    ("listener.certificate", "\"/etc/chasqui/relay.example.com.pem\""),
    ("listener.key", "\"/etc/chasqui/relay.example.com.key\""),
    ("listener.client_authorities", "\"/etc/chasqui/partners.pem\""),
    ("listener.greylist.file", "\"/var/lib/chasqui/greylist\""),
    ("listener.defence.dnsbl.zone", "\"dnsbl.example\""),
    ("listener.defence.ban_after", "\"20/10m\""),
    ("listener.rates.listener.connections", "\"1000/1m\""),
    ("listener.rates.listener.messages", "\"1000/1m\""),
    ("listener.rates.listener.recipients", "\"5000/1m\""),
    ("listener.rates.listener.octets", "\"10GiB/1h\""),
    ("listener.connections_per_network_max", "1000"),
    ("listener.connections_per_login_max", "50"),
    ("listener.rates.login.messages", "\"200/1h\""),
    ("listener.rates.login.recipients", "\"1000/1h\""),
    ("listener.rates.login.octets", "\"1GiB/1h\""),
    ("listener.rates.client.connections", "\"60/1m\""),
    ("listener.rates.client.messages", "\"100/1m\""),
    ("listener.rates.client.recipients", "\"500/1m\""),
    ("listener.rates.client.octets", "\"1GiB/1h\""),
    ("listener.rates.network.connections", "\"200/1m\""),
    ("listener.rates.network.messages", "\"300/1m\""),
    ("listener.rates.network.recipients", "\"1500/1m\""),
    ("listener.rates.network.octets", "\"3GiB/1h\""),
    ("logins.file", "\"/etc/chasqui/accounts.toml\""),
    ("logins.tokens.issuer", "\"https://login.example.com/\""),
    ("logins.tokens.audience", "[\"smtp\"]"),
    ("logins.tokens.keys_url", "\"https://login.example.com/keys.json\""),
    ("inbound.name", "\"applications\""),
    ("inbound.sender_ip_addresses", "[\"127.0.0.0/8\", \"::1/128\"]"),
    ("outbound.name", "\"internet\""),
    ("outbound.login.user", "\"relay.example.com\""),
    ("outbound.login.password_file", "\"/etc/chasqui/partner.password\""),
    ("outbound.login.act_for", "\"postmaster@example.com\""),
    ("outbound.login.token.file", "\"/run/chasqui/partner.token\""),
    ("outbound.login.token.url", "\"https://login.example.com/token\""),
    ("outbound.login.token.client_id", "\"chasqui\""),
    ("outbound.login.token.client_secret_file", "\"/etc/chasqui/client.secret\""),
    ("outbound.login.token.refresh_token_file", "\"/var/lib/chasqui/refresh.token\""),
    ("outbound.daily_messages_max", "10000"),
    ("outbound.rate_max", "\"600/1h\""),
    ("outbound.application.address", "\"reply@desk.example.com\""),
    ("outbound.application.url", "\"http://127.0.0.1:8069/mail\""),
    ("outbound.application.token_file", "\"/etc/chasqui/desk.token\""),
    ("outbound.application.signature_key_file", "\"/etc/chasqui/desk.key\""),
    ("outbound.tls_domain", "\"*.partner.example\""),
    ("outbound.ca_file", "\"/etc/chasqui/partner-ca.pem\""),
    ("outbound.client_certificate.certificate", "\"/etc/chasqui/relay.example.com.pem\""),
    ("outbound.client_certificate.key", "\"/etc/chasqui/relay.example.com.key\""),
    ("outbound.client_certificate.pfx", "\"/etc/chasqui/relay.example.com.pfx\""),
    ("outbound.client_certificate.password_file", "\"/etc/chasqui/relay.pfx.password\""),
    ("outbound.smart_hosts.host", "\"mx.partner.example\""),
];
/// What cannot stand beside all else, and is not tried with it.
const APART_TABLE: &str = "[outbound.application]";
/// What needs that.
const APART_KEY: &str = "threads = ";
const LINE_MAX: usize = 100;

/// The file. Without the `#` before each key it can be read; this is tried here.
pub(crate) fn file(sections: &[Section]) -> Result<String> {
    let mut text = format!(
        "# {NOTICE}\n#\n# Every setting with its default. A line that begins with `# ` explains, one that begins with `#` alone is a\n\
         # setting: take the `#` away to change it. Where there is no default an example stands.\n"
    );
    for section in sections {
        text.push('\n');
        comment(&mut text, &section.text);
        match (section.path.as_str(), section.shape) {
            ("", _) => {}
            (path, Shape::Tables) => text.extend([format!("#[[{path}]]\n")]),
            (path, Shape::Table) => text.extend([format!("#[{path}]\n")]),
        }
        for key in &section.keys {
            setting(&mut text, &section.path, key);
        }
    }
    let sections = text
        .split("\n\n")
        .filter(|section| !section.lines().filter_map(uncommented).any(|line| line == APART_TABLE));
    let lines = sections.flat_map(str::lines).filter_map(uncommented);
    let lines = lines.filter(|line| !line.starts_with(APART_KEY));
    let plain: String = lines.flat_map(|line| [line, "\n"]).collect();
    ::settings::parse(&plain, Path::new("config/chasqui.toml without `#`"))
        .context("the example is not a settings file")?;
    Ok(text)
}

fn uncommented(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty())
}

fn setting(text: &mut String, section: &str, key: &Key) {
    comment(text, &key.text);
    for (word, meaning) in key.words.iter().filter(|(_, meaning)| !meaning.is_empty()) {
        comment(text, &format!("  \"{word}\": {meaning}"));
    }
    let path =
        if section.is_empty() { key.name.clone() } else { format!("{section}.{}", key.name) };
    let example = EXAMPLES.iter().find(|(name, _)| *name == path).map(|(_, example)| *example);
    let value = example.or(key.default.as_deref()).unwrap_or("\"\"");
    text.extend([format!("#{} = {value}\n", key.name)]);
}

/// Writes a sentence, wrapped; what begins with spaces keeps them on every line.
fn comment(text: &mut String, sentence: &str) {
    let indent = sentence.len() - sentence.trim_start().len();
    let mut line = String::from("#");
    for word in sentence.split(' ') {
        if line.len() + 1 + word.len() > LINE_MAX {
            text.push_str(&line);
            text.push('\n');
            line = format!("#{}", " ".repeat(indent));
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
