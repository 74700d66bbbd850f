//! What to do about a step that failed.

use crate::metrics::Stage;

pub(super) const SOURCE: &str =
    "give this machine the address, or take it out of `source_addresses`";
pub(super) const DNS: &str =
    "look at the name in `smart_hosts`, at the recipient's domain, and at `[resolver]`";
pub(super) const MAIL: &str = "the host does not take mail of this sender from this relay: look at `--from`, at the login, and at what the host lets this address do";
pub(super) const RCPT: &str = "the host does not take mail for this recipient: look at `--to`, at `recipient_domains`, and at whether the host relays for this machine";
pub(super) const LATER: &str = "the host asks to come back later, as with greylisting: mail waits in the queue and is tried again";
pub(super) const BROKEN: &str = "the host broke off: its log tells why";
pub(super) const SLOW: &str = "mail has more time by `timeouts`; look at why the host is so slow";
pub(super) const PROBE: &str = "the host refuses the content: its words say why";
pub(super) const TLSA_LOOK_UP: &str = "without an answer nothing is sent, since the host may have TLSA records: look at its zone, whether its signatures are in order, and at `[resolver]`";
pub(super) const TRUST: &str = "set `trusts_dnssec = true` in `[resolver]` if its servers validate DNSSEC and nobody can stand between them and this machine; without it no TLSA record counts";
pub(super) const INSECURE: &str = "the zone is not signed, or the servers of `[resolver]` do not validate: `dig +dnssec` shows the flag `ad` if they do";
pub(super) const UNUSABLE: &str = "only the usages 2 and 3 count for SMTP, with the selectors 0 and 1 and the matching types 0 to 2: tell who runs the host";
pub(super) const NO_RECORDS: &str =
    "with `tls = \"dane\"` mail goes to a host without them, with `tls = \"dane-only\"` it waits";
pub(super) const APPLICATION: &str = "look at `application`: its address and path, its token, whether it runs, and what it wrote to its log";
const DANE: &str = "the host's certificate was changed and its TLSA records were not, or somebody stands in between: tell who runs the host; mail waits meanwhile";
const TCP: &str =
    "look at host and port, at a firewall in between, and at whether the host listens";
const GREETING: &str = "the host does not want to talk to this machine's address, or is no SMTP server; at port 465 set `implicit_tls`";
const EHLO: &str = "look at `hostname` and its DNS entries, and at `protocol`";
const TLS: &str = "look at `tls`, `tls_domain`, `ca_file`, `tls_version_min` and `implicit_tls`; port 465 wants `implicit_tls`, ports 25 and 587 do not";
const AUTH: &str =
    "look at `login`: user, password file, and whether the host wants a password made for programs";

/// What to do about a host that does not do what its TLSA records say.
pub(super) const fn of_dane(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Tls => ("tls", DANE),
        stage => of_stage(stage),
    }
}

/// The step that a delivery's stage is, and what to do when it fails.
pub(super) const fn of_stage(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::LookUp => ("dns", DNS),
        Stage::Connect => ("tcp", TCP),
        Stage::Greeting => ("greeting", GREETING),
        Stage::Ehlo => ("ehlo", EHLO),
        Stage::Tls => ("tls", TLS),
        Stage::Login => ("auth", AUTH),
    }
}
