//! Applications as next hops, and the connectors whose mail belongs to their threads.

use std::path::Path;

use mail::Domain;
use policy::config::{Application, OutboundConnector, Protocol, ReturnPath, TlsLevel};

use super::{Check, item};
use crate::settings::Settings;
use crate::tree::Step;

impl Check<'_> {
    /// Looks at the applications, and at the connectors that name them.
    pub(super) fn applications(&mut self, settings: &Settings) {
        let mut seen = Vec::new();
        for (number, outbound) in settings.outbound.iter().enumerate() {
            let Some(application) = &outbound.application else { continue };
            self.application(number, application);
            self.alone(number, outbound);
            self.replies(number, (outbound, application), &mut seen);
            self.only(number, application, settings);
            if settings.rewrite.secrets_file.is_none() {
                let error = "needs a secret that reply addresses are signed with";
                let hint = "put the answer of `openssl rand -base64 32` into a file that only the relay's user may read, \
                            and name it as `secrets_file` in [rewrite]";
                self.add(&item("outbound", number, "application"), error, hint);
            }
        }
        for (number, inbound) in settings.inbound.iter().enumerate() {
            let Some(name) = &inbound.threads else { continue };
            let named = settings.outbound.iter().find(|outbound| outbound.name == *name);
            if named.is_none_or(|outbound| outbound.application.is_none()) {
                let error =
                    format!("there is no outbound connector `{name}` with an `application`");
                let hint =
                    "write an [[outbound]] with this name and an application, or leave it out";
                self.add(&item("inbound", number, "threads"), error, hint);
            }
        }
    }

    fn application(&mut self, number: usize, application: &Application) {
        match (&application.url, application.command.first()) {
            (Some(_), Some(_)) => {
                let hint = "leave one of them out";
                self.add(&way(number, "command"), "stands beside `url`", hint);
            }
            (None, None) => {
                let hint = "write a `url` to post to, or a `command` to run";
                self.add(&way(number, "url"), "is missing", hint);
            }
            (None, Some(program)) if !Path::new(program).is_absolute() => {
                let error = format!("`{program}` is no whole path");
                self.add(&way(number, "command"), error, "write it from the first `/` on");
            }
            (None, Some(_)) => {
                for word in application.command.iter().flat_map(|it| unknown(it)) {
                    let error = format!("`{{{word}}}` is not known");
                    let facts = Application::FACTS.map(|fact| format!("{{{fact}}}"));
                    let hint = format!("write one of {}", facts.join(", "));
                    self.add(&way(number, "command"), error, &hint);
                }
                let files = [
                    ("token_file", &application.token_file),
                    ("signature_key_file", &application.signature_key_file),
                ];
                for (key, _) in files.into_iter().filter(|(_, file)| file.is_some()) {
                    self.add(&way(number, key), "is nothing for a program", "leave it out");
                }
            }
            (Some(_), None) => {}
        }
    }

    /// Names what has no effect where an application takes the mail.
    fn alone(&mut self, number: usize, outbound: &OutboundConnector) {
        let others = [
            (!outbound.smart_hosts.is_empty(), "smart_hosts"),
            (outbound.login.is_some(), "login"),
            (outbound.protocol != Protocol::Smtp, "protocol"),
            (outbound.return_path != ReturnPath::Keep, "return_path"),
            (outbound.client_certificate.is_some(), "client_certificate"),
            (outbound.implicit_tls, "implicit_tls"),
            (!outbound.source_addresses.is_empty(), "source_addresses"),
            (outbound.tls != TlsLevel::default(), "tls"),
            (outbound.tls_domain.is_some(), "tls_domain"),
            (outbound.ca_file.is_some(), "ca_file"),
            (!outbound.from_filter.is_empty(), "from_filter"),
            (outbound.is_transport_rule_scoped, "is_transport_rule_scoped"),
        ];
        for (_, key) in others.into_iter().filter(|(is_there, _)| *is_there) {
            let error = "has no effect beside `application`";
            self.add(&item("outbound", number, key), error, "leave it out");
        }
    }

    /// No other connector may lead replies away.
    fn only(&mut self, number: usize, application: &Application, settings: &Settings) {
        let Some(domain) = application.parsed().ok().and_then(|address| address.domain()) else {
            return;
        };
        for (other, outbound) in settings.outbound.iter().enumerate() {
            let mut domains = outbound.recipient_domains.iter();
            let is_same = |text: &String| Domain::parse(text).is_ok_and(|it| it == domain);
            if other != number && outbound.application.is_none() && domains.any(is_same) {
                let error =
                    format!("{domain} is that of the application at {}", application.address);
                let hint = "take it out here; replies in its threads would not find it";
                self.add(&item("outbound", other, "recipient_domains"), error, hint);
            }
        }
    }

    /// Replies must find the application, and no other.
    fn replies(
        &mut self,
        number: usize,
        (outbound, application): (&OutboundConnector, &Application),
        seen: &mut Vec<String>,
    ) {
        let address = match application.parsed() {
            Ok(address) => address,
            Err(error) => {
                let hint = "write one such as \"reply@desk.example.com\"";
                return self.add(&way(number, "address"), error, hint);
            }
        };
        let domain = address.domain().map(|it| it.as_str().to_owned()).unwrap_or_default();
        let [only] = outbound.recipient_domains.as_slice() else {
            let error = "must be the domain of the application's address, and nothing else";
            let hint = format!("write [\"{domain}\"]");
            return self.add(&item("outbound", number, "recipient_domains"), error, &hint);
        };
        if !only.eq_ignore_ascii_case(&domain) {
            let error = format!("is not {domain}, the domain of the application's address");
            let hint = format!("write [\"{domain}\"]");
            self.add(&item("outbound", number, "recipient_domains"), error, &hint);
        }
        if seen.contains(&domain) {
            let error = format!("is in {domain}, as is the address of another application");
            self.add(&way(number, "address"), error, "give each application a domain of its own");
        }
        seen.push(domain);
    }
}

/// Words in braces that nothing stands for.
fn unknown(argument: &str) -> impl Iterator<Item = &str> {
    let words = argument.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let words = words.map(|(word, _)| word);
    words.filter(|word| {
        let is_word = !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase());
        is_word && !Application::FACTS.contains(word)
    })
}

fn way(number: usize, name: &'static str) -> [Step; 4] {
    let [section, item, application] = item("outbound", number, "application");
    [section, item, application, super::key(name)]
}
