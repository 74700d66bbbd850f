//! What must hold across sections.

mod applications;
mod dane;
mod filters;
mod free_mail;
mod hosts;
mod inbound;
mod listeners;
mod outbound;
mod plans;
mod senders;

use mail::Domain;
use policy::config::{ForeignFrom, OutboundConnector, ReturnPath};

use crate::finding::Finding;
use crate::read::Places;
use crate::settings::Settings;
use crate::tree::Step;

const NAME_OCTETS_MAX: usize = 64;
/// What fits into a socket address (unix(7)), less the part that is added while the socket is made.
const SOCKET_OCTETS_MAX: usize = 90;

/// Everything that is wrong with settings whose keys and values are each right.
pub(crate) fn check(settings: &Settings, places: &Places<'_>) -> Vec<Finding> {
    let mut check = Check { places, findings: Vec::new() };
    check.hostname(&settings.hostname);
    check.listeners(settings);
    check.inbound(settings);
    check.senders(settings);
    check.plans(settings);
    check.logins(settings);
    check.outbound(settings);
    check.applications(settings);
    check.foreign_from(settings);
    check.return_paths(settings);
    check.mail_auth(settings);
    check.filters(settings);
    check.paths(settings);
    check.rests(&settings.queue);
    check.findings
}

/// What works, and not as whoever wrote it may think.
pub(crate) fn warn(settings: &Settings, places: &Places<'_>) -> Vec<Finding> {
    let mut check = Check { places, findings: Vec::new() };
    check.free_mail(settings);
    check.lacking(settings);
    check.dane(settings);
    check.findings
}

struct Check<'a> {
    places: &'a Places<'a>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn add(&mut self, way: &[Step], error: impl Into<String>, hint: &str) {
        let (way, error, hint) = (way.to_vec(), error.into(), Some(hint.to_owned()));
        self.findings.push(Finding { way, error, hint });
    }

    /// Adds what a section finds wrong with a key of its own.
    fn in_section(&mut self, section: &str, name: &str, error: String) {
        let way: Vec<_> = std::iter::once(section).chain(name.split('.')).map(key).collect();
        self.add(&way, error, "see docs/reference/settings.md");
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
            self.in_section("mail_auth", problem.key, problem.words);
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
