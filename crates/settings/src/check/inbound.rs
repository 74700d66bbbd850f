//! Inbound connectors: nobody is let in by mistake, and each way in can be gone.

use mail::Domain;
use tls::server::ClientCertificates;

use super::{Check, item};
use crate::settings::Settings;
use crate::tree::Step;

impl Check<'_> {
    pub(super) fn inbound(&mut self, settings: &Settings) {
        self.names("inbound", settings.inbound.iter().map(|inbound| inbound.name.as_str()));
        for (number, inbound) in settings.inbound.iter().enumerate() {
            if let Some(all) =
                inbound.sender_ip_addresses.iter().find(|it| it.network.prefix_len() == 0)
            {
                let error = format!("{} would make this an open relay", all.network);
                self.add(
                    &item("inbound", number, "sender_ip_addresses"),
                    error,
                    "list the networks whose mail this relay carries",
                );
            }
            self.certificate_names(settings, number, &inbound.tls_sender_certificate_names);
            if !inbound.tls_sender_certificate_issuers.is_empty()
                && inbound.tls_sender_certificate_names.is_empty()
            {
                self.add(
                    &item("inbound", number, "tls_sender_certificate_issuers"),
                    "lets nobody in without names",
                    "name certificates in `tls_sender_certificate_names`, or leave it out",
                );
            }
        }
    }

    fn certificate_names(&mut self, settings: &Settings, number: usize, names: &[String]) {
        let way = item("inbound", number, "tls_sender_certificate_names");
        for pattern in names {
            if !Domain::is_host_pattern(pattern) {
                let error = format!("`{pattern}` is not a name of a certificate");
                self.add(&way, error, "write a host name, or `*.` and a domain");
            }
        }
        let asks = settings
            .listener
            .iter()
            .any(|listener| listener.client_certificates != ClientCertificates::No);
        if !names.is_empty() && !asks {
            self.add(
                &way,
                "no listener asks for certificates",
                "set `client_certificates = \"ask\"` in a [[listener]] with TLS",
            );
        }
    }

    pub(super) fn logins(&mut self, settings: &Settings) {
        for problem in settings.logins.problems() {
            self.in_section("logins", problem.key, problem.words);
        }
        let takes_logins = settings.listener.iter().any(|listener| listener.auth.is_some());
        for (number, listener) in settings.listener.iter().enumerate() {
            if listener.auth.is_some() && settings.logins.file.is_none() {
                self.add(
                    &item("listener", number, "auth"),
                    "nobody could log in, since there are no accounts",
                    "name the accounts' file in `logins.file`",
                );
            }
        }
        for (number, inbound) in settings.inbound.iter().enumerate() {
            if !inbound.logins.is_empty() && !takes_logins {
                self.add(
                    &item("inbound", number, "logins"),
                    "no listener takes logins, so this would let nobody in",
                    "set `auth` of a listener",
                );
            }
            for (place, login) in inbound.logins.iter().enumerate() {
                let is_pattern = login.starts_with('*') && login != "*" && !login.starts_with("*@");
                if login.is_empty() || login == "*@" || is_pattern {
                    let [section, number, key] = item("inbound", number, "logins");
                    self.add(
                        &[section, number, key, Step::Item(place)],
                        format!("`{login}` names no account"),
                        "write an account's name, `*@` and a domain, or `*`",
                    );
                }
            }
        }
    }
}
