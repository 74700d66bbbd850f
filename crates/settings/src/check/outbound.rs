//! Outbound connectors: mail has a way out, and logins are sent to nobody else.

use policy::config::{Mechanism, OutboundConnector, TlsLevel};
use policy::{Router, RouterError};

use super::{Check, item, key};
use crate::endpoint;
use crate::settings::Settings;

impl Check<'_> {
    pub(super) fn outbound(&mut self, settings: &Settings) {
        if !settings.outbound.iter().any(|outbound| outbound.enabled) {
            let way = [key("outbound")];
            let (error, hint) = if settings.outbound.is_empty() {
                ("there is none, so no mail could go out", "write an [[outbound]] with a name")
            } else {
                ("none is enabled, so no mail could go out", "enable one, or add another")
            };
            self.add(&way, error, hint);
        }
        self.names("outbound", settings.outbound.iter().map(|outbound| outbound.name.as_str()));
        for (number, outbound) in settings.outbound.iter().enumerate() {
            self.login(number, outbound);
            self.own_address(number, outbound);
        }
        match Router::new(settings.outbound.clone()) {
            // These are checked beside this, with their places.
            Ok(_)
            | Err(RouterError::NoName | RouterError::NameTwice(_) | RouterError::LoginByMx(_)) => {}
            Err(error) => {
                const HINT: &str = "each host is a name or an address, with its `port` beside it; patterns are `example.com`, `*.example.com` or `*`";
                let RouterError::Host { connector, host } = &error else {
                    return self.add(&[key("outbound")], error.to_string(), HINT);
                };
                let number = settings.outbound.iter().position(|it| it.name == *connector);
                let way = item("outbound", number.unwrap_or_default(), "smart_hosts");
                let with_port = endpoint::table(host);
                let hint = with_port.map(|table| format!("the port stands beside it: {table}"));
                self.add(&way, error.to_string(), hint.as_deref().unwrap_or(HINT));
            }
        }
    }

    fn login(&mut self, number: usize, outbound: &OutboundConnector) {
        let Some(login) = &outbound.login else { return };
        let [section, item, key_login] = item("outbound", number, "login");
        let way = |name| [section.clone(), item.clone(), key_login.clone(), key(name)];
        if outbound.smart_hosts.is_empty() {
            self.add(
                &[section.clone(), item.clone(), key_login.clone()],
                "without `smart_hosts` any mail exchanger would get to see the password",
                "name the smart hosts in `smart_hosts`, or leave the login out",
            );
        }
        if outbound.tls == TlsLevel::None && !login.login_without_tls {
            self.add(
                &[section.clone(), item.clone(), key_login.clone()],
                "with `tls = \"none\"` it would never be sent, and no mail either",
                "set `tls = \"verify\"`, or `login_without_tls = true` where nobody can listen",
            );
        }
        // NUL stands between user and password (RFC 4616).
        let by_certificate = login.mechanisms == [Mechanism::External];
        let is_missing = login.user.is_empty() && !by_certificate;
        if is_missing || login.user.chars().any(char::is_control) {
            self.add(
                &way("user"),
                "is empty or holds a control character",
                "write the name that the smart hosts know this relay by",
            );
        }
        if login.password_file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            self.add(
                &way("password_file"),
                "is empty",
                "name a file that holds the password, readable by the relay's user only",
            );
        }
    }
}
