//! Listeners: addresses that are their own, and what each asks for.

use std::collections::BTreeMap;

use smtp_server::config::ConfigError;

use super::{Check, item, key};
use crate::settings::Settings;

impl Check<'_> {
    pub(super) fn listeners(&mut self, settings: &Settings) {
        if settings.listener.is_empty() {
            let way = [key("listener")];
            self.add(
                &way,
                "there is none, so no mail could come in",
                "write a [[listener]] with a name and an address",
            );
        }
        self.names("listener", settings.listener.iter().map(|listener| listener.name.as_str()));
        let mut seen = BTreeMap::new();
        if settings.admin.listen_enabled {
            seen.insert(settings.admin.listen, "the admin listener".to_owned());
        }
        for (number, listener) in settings.listener.iter().enumerate() {
            let address = listener.address;
            let taken = seen.insert(address, format!("the listener `{}`", listener.name));
            if let (Some(other), 1..) = (taken, address.port()) {
                let error = format!("{address} is also the address of {other}");
                self.add(&item("listener", number, "address"), error, "give each its own");
            }
            for problem in listener.problems() {
                let (name, hint) = match &problem {
                    ConfigError::NoCertificate(_) => (
                        "tls",
                        "set `certificate` and `key` of this listener to PEM files".to_owned(),
                    ),
                    ConfigError::RequiresTls(_) => {
                        ("requires_tls", "set `tls` too, or leave this out".to_owned())
                    }
                    ConfigError::ClientCertificates(_) => {
                        ("client_certificates", "set `tls` too, or leave this out".to_owned())
                    }
                    ConfigError::ProxyEverybody { key, .. } => {
                        (*key, "list the proxies' own addresses".to_owned())
                    }
                    ConfigError::NoMechanism(_) => (
                        "auth",
                        "name a SCRAM in `mechanisms`, set `tls`, or `login_without_tls = true` where nobody can listen"
                            .to_owned(),
                    ),
                    ConfigError::TooSmall { key, least, .. } => {
                        (*key, format!("write {least} or more"))
                    }
                    ConfigError::Dnsbl { .. } => {
                        ("defence", "write the domain of a list in `zone`".to_owned())
                    }
                    ConfigError::TooBig { key, most, .. } => {
                        (*key, format!("write {most} or less"))
                    }
                    _ => ("name", "look at this listener".to_owned()),
                };
                self.add(&item("listener", number, name), problem.to_string(), &hint);
            }
        }
    }
}
