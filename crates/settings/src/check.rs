//! What must hold across sections.

mod dane;
mod free_mail;
mod hosts;
mod plans;
mod senders;

use std::collections::BTreeMap;

use filters::config::Stage;
use mail::Domain;
use policy::config::{ForeignFrom, Mechanism, OutboundConnector, ReturnPath, TlsLevel};
use policy::{Router, RouterError};
use smtp_server::config::ConfigError;
use tls::server::ClientCertificates;

use crate::problem::Problem;
use crate::read::Places;
use crate::settings::Settings;
use crate::tree::Step;

const NAME_OCTETS_MAX: usize = 64;
/// What fits into a socket address (unix(7)), less the part that is added while the socket is made.
const SOCKET_OCTETS_MAX: usize = 90;

/// Everything that is wrong with settings whose keys and values are each right.
pub(crate) fn check(settings: &Settings, places: &Places<'_>) -> Vec<Problem> {
    let mut check = Check { places, problems: Vec::new() };
    check.hostname(&settings.hostname);
    check.listeners(settings);
    check.inbound(settings);
    check.senders(settings);
    check.plans(settings);
    check.logins(settings);
    check.outbound(settings);
    check.foreign_from(settings);
    check.return_paths(settings);
    check.mail_auth(settings);
    check.filters(settings);
    check.paths(settings);
    check.rests(&settings.queue);
    check.problems
}

/// What works, and not as whoever wrote it may think.
pub(crate) fn warn(settings: &Settings, places: &Places<'_>) -> Vec<Problem> {
    let mut check = Check { places, problems: Vec::new() };
    check.free_mail(settings);
    check.lacking(settings);
    check.dane(settings);
    check.problems
}

struct Check<'a> {
    places: &'a Places<'a>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn add(&mut self, way: &[Step], error: impl Into<String>, hint: &str) {
        let problem = Problem::new(error).hint(hint);
        self.problems.push(self.places.locate(problem, way));
    }

    fn hostname(&mut self, hostname: &str) {
        const HINT: &str =
            "write the name that other hosts know this relay by, such as \"relay.example.com\"";
        let way = [key("hostname")];
        if hostname.is_empty() {
            return self.add(&way, "is missing", HINT);
        }
        match Domain::parse(hostname) {
            Ok(domain) if domain.is_host_name() => {}
            Ok(_) => self.add(&way, format!("`{hostname}` is not a host name"), HINT),
            Err(error) => self.add(&way, format!("`{hostname}` is not a host name: {error}"), HINT),
        }
    }

    fn listeners(&mut self, settings: &Settings) {
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

    fn inbound(&mut self, settings: &Settings) {
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

    fn logins(&mut self, settings: &Settings) {
        for problem in settings.logins.problems() {
            let keys = std::iter::once("logins").chain(problem.key.split('.'));
            let way: Vec<_> = keys.map(key).collect();
            self.add(&way, problem.words, "see docs/reference/settings.md");
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

    fn outbound(&mut self, settings: &Settings) {
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
                let way = [key("outbound")];
                self.add(
                    &way,
                    error.to_string(),
                    "each host is a name or an address, with its `port` beside it; patterns are `example.com`, `*.example.com` or `*`",
                );
            }
        }
    }

    /// What replaces a From must be there.
    fn foreign_from(&mut self, settings: &Settings) {
        let replaces = matches!(
            settings.rewrite.foreign_from,
            ForeignFrom::Replace | ForeignFrom::ReplaceProtected
        );
        if replaces && settings.rewrite.default_from.is_none() {
            let way = [key("rewrite"), key("foreign_from")];
            self.add(&way, "nothing could replace it", "set `default_from` in [rewrite]");
        }
    }

    /// Return paths of ours need a domain and a secret.
    fn return_paths(&mut self, settings: &Settings) {
        let is_ours = |it: &OutboundConnector| it.return_path != ReturnPath::Keep;
        let Some(number) = settings.outbound.iter().position(is_ours) else { return };
        let way = item("outbound", number, "return_path");
        let rewrite = &settings.rewrite;
        let domain = rewrite.alias_domain.as_deref();
        if !domain.is_some_and(|it| Domain::parse(it).is_ok_and(|domain| domain.is_host_name())) {
            let error = "needs a domain of ours, to which bounces come";
            self.add(&way, error, "set `alias_domain` in [rewrite]");
        }
        if rewrite.secrets_file.is_none() {
            let error = "needs a secret that return paths are signed with";
            let hint = "put the answer of `openssl rand -base64 32` into a file that only the relay's user may read, and \
                        name it as `secrets_file` in [rewrite]";
            self.add(&way, error, hint);
        }
    }

    fn mail_auth(&mut self, settings: &Settings) {
        for problem in settings.mail_auth.problems() {
            let keys = std::iter::once("mail_auth").chain(problem.key.split('.'));
            let way: Vec<_> = keys.map(key).collect();
            self.add(&way, problem.words, "see docs/reference/settings.md");
        }
        let mut seen = Vec::new();
        for (number, one) in settings.dkim.iter().enumerate() {
            for problem in one.problems() {
                let way = item("dkim", number, problem.key);
                self.add(&way, problem.words, "see docs/reference/settings.md");
            }
            let name = (one.domain.to_ascii_lowercase(), one.selector.to_ascii_lowercase());
            if seen.contains(&name) {
                let error = format!("two keys have the selector {} of {}", name.1, name.0);
                self.add(&item("dkim", number, "selector"), error, "give each its own");
            }
            seen.push(name);
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

    fn filters(&mut self, settings: &Settings) {
        self.names("filter", settings.filter.iter().map(|filter| filter.name.as_str()));
        let listeners: Vec<_> = settings.listener.iter().map(|it| it.name.as_str()).collect();
        let connectors: Vec<_> = settings.outbound.iter().map(|it| it.name.as_str()).collect();
        for (number, filter) in settings.filter.iter().enumerate() {
            let stages = filter.stages();
            let leaves = stages.contains(&Stage::Delivery);
            let comes = stages.iter().any(|stage| *stage != Stage::Delivery);
            let mut is_known = true;
            for (place, name) in filter.applies_to.iter().enumerate() {
                let name = name.as_str();
                let leads = leaves && connectors.contains(&name);
                if !leads && !listeners.contains(&name) {
                    is_known = false;
                    let [section, number, key] = item("filter", number, "applies_to");
                    let or = if leaves { " or an outbound connector" } else { "" };
                    self.add(
                        &[section, number, key, Step::Item(place)],
                        format!("`{name}` is not the name of a listener{or}"),
                        "write names of such, or leave it out for all",
                    );
                }
            }
            let names = |known: &[&str]| {
                let mut names = filter.applies_to.iter();
                filter.applies_to.is_empty() || names.any(|name| known.contains(&name.as_str()))
            };
            let lacks = [
                (leaves && !names(&connectors), "outbound connector", "before delivery"),
                (comes && !names(&listeners), "listener", "when mail comes in"),
            ];
            for (_, what, when) in lacks.into_iter().filter(|(lacks, ..)| *lacks && is_known) {
                self.add(
                    &item("filter", number, "applies_to"),
                    format!("names no {what}, so the filter is never asked {when}"),
                    "name one, or leave it out of `stages`",
                );
            }
        }
    }

    fn paths(&mut self, settings: &Settings) {
        if settings.spool.path.as_os_str().is_empty() {
            let way = [key("spool"), key("path")];
            self.add(&way, "is empty", "name a folder on a device that keeps what is synced");
        }
        let socket = settings.admin.socket.as_os_str();
        if socket.is_empty() || socket.len() > SOCKET_OCTETS_MAX {
            let way = [key("admin"), key("socket")];
            let error =
                format!("`{}` cannot be the path of a socket", settings.admin.socket.display());
            self.add(&way, error, "name a path of 1 to 90 octets");
        }
    }

    /// The rests between tries.
    fn rests(&mut self, queue: &queue::Config) {
        let (connect, reply) = (&queue.retry_connect, &queue.retry_reply);
        for (section, first, factor, max) in [
            ("retry_connect", connect.first, connect.factor, connect.max),
            ("retry_reply", reply.first, reply.factor, reply.max),
        ] {
            let way = |name| [key("queue"), key(section), key(name)];
            if first > max {
                let error = format!("the first rest, {first}, is longer than the longest, {max}");
                self.add(&way("first"), error, "make `first` shorter or `max` longer");
            }
            if factor.is_nan() || factor < 1.0 {
                let error = format!("{factor} is less than 1");
                self.add(
                    &way("factor"),
                    error,
                    "write 1.0 for rests that stay alike, 2.0 for rests that double",
                );
            }
        }
    }

    fn names<'n>(&mut self, section: &str, names: impl Iterator<Item = &'n str>) {
        let mut seen: Vec<&str> = Vec::new();
        for (number, name) in names.enumerate() {
            let way = item(section, number, "name");
            if name.is_empty() {
                self.add(&way, "is missing", "give each a name of its own");
            } else if !is_plain(name) {
                self.add(
                    &way,
                    format!("`{name}` cannot be a name"),
                    "use letters, digits, `-` and `_`, at most 64",
                );
            } else if let Some(first) = seen.iter().position(|other| *other == name) {
                let other = self.places.file(&item(section, first, "name"));
                let place = if other == self.places.file(&way) {
                    String::new()
                } else {
                    format!(" in {}", other.display())
                };
                let error = format!("`{name}` is also the name of another{place}");
                self.add(&way, error, "give each its own");
            }
            seen.push(name);
        }
    }
}

/// Whether `name` can be that of a connector or a listener.
pub(crate) fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=NAME_OCTETS_MAX).contains(&name.len()) && name.chars().all(is_plain)
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn item(section: &str, number: usize, name: &str) -> [Step; 3] {
    [key(section), Step::Item(number), key(name)]
}
