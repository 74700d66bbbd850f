//! Free-mail domains as senders of our own: nobody but their providers can send for them.

use policy::config::OutboundConnector;

use super::{Check, item};
use crate::settings::Settings;
use crate::tree::Step;

/// Domains in which everybody may have a mailbox. Most ask by DMARC that mail which they did not send is refused or
/// put aside; all are watched for it by large receivers.
const FREE_MAIL: [&str; 43] = [
    "aim.com",
    "aol.com",
    "att.net",
    "bellsouth.net",
    "comcast.net",
    "fastmail.com",
    "free.fr",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.com",
    "hotmail.fr",
    "icloud.com",
    "laposte.net",
    "libero.it",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "orange.fr",
    "outlook.com",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "rocketmail.com",
    "sbcglobal.net",
    "t-online.de",
    "tutanota.com",
    "verizon.net",
    "web.de",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.de",
    "yahoo.fr",
    "yandex.ru",
    "ymail.com",
    "zoho.com",
];
const HINT: &str = "send from a domain of your own, with the free-mail address in Reply-To";

impl Check<'_> {
    /// Names each sender of ours in a free-mail domain.
    pub(super) fn free_mail(&mut self, settings: &Settings) {
        for (number, domain) in settings.domain.iter().enumerate() {
            self.sender(&item("domain", number, "name"), &domain.name);
        }
        for (number, inbound) in settings.inbound.iter().enumerate() {
            let way = |key| item("inbound", number, key);
            self.senders_of(&way("sender_domains"), &inbound.sender_domains);
            self.senders_of(&way("registered_senders"), &inbound.registered_senders);
        }
        for (number, outbound) in settings.outbound.iter().enumerate() {
            if !is_provider(outbound) {
                self.senders_of(&item("outbound", number, "from_filter"), &outbound.from_filter);
            }
        }
        if let Ok(Some(address)) = settings.rewrite.address()
            && let Some(domain) = address.domain()
        {
            let names_it =
                settings.rewrite.default_from.as_ref().is_some_and(|it| it.contains('@'));
            let key = if names_it { "default_from" } else { "alias_domain" };
            let way = ["rewrite", key].map(|key| Step::Key(key.to_owned()));
            self.sender(&way, domain.as_str());
        }
    }

    fn senders_of(&mut self, way: &[Step; 3], patterns: &[String]) {
        for (number, pattern) in patterns.iter().enumerate() {
            let [section, place, key] = way.clone();
            self.sender(&[section, place, key, Step::Item(number)], pattern);
        }
    }

    fn sender(&mut self, way: &[Step], pattern: &str) {
        if let Some(domain) = free_mail(pattern) {
            let words = format!(
                "`{pattern}` is in the free-mail domain {domain}: receivers refuse such mail, or distrust it, unless its provider sends it"
            );
            self.add(way, words, HINT);
        }
    }
}

/// Whether the mail goes to somebody who knows who sends, such as the provider of the mailbox.
const fn is_provider(outbound: &OutboundConnector) -> bool {
    outbound.login.is_some()
}

/// The free-mail domain of an address, a domain or a pattern.
fn free_mail(pattern: &str) -> Option<&'static str> {
    let (_, domain) = pattern.rsplit_once('@').unwrap_or(("", pattern));
    let domain = domain.strip_prefix("*.").unwrap_or(domain);
    FREE_MAIL.into_iter().find(|free| free.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_domains_and_patterns_are_known() {
        for (pattern, want) in [
            ("ana@Yahoo.com", Some("yahoo.com")),
            ("aol.com", Some("aol.com")),
            ("*.gmx.de", Some("gmx.de")),
            ("@web.de", Some("web.de")),
            ("example.com", None),
            ("notyahoo.com", None),
            ("*", None),
        ] {
            assert_eq!(free_mail(pattern), want, "{pattern}");
        }
        assert!(FREE_MAIL.is_sorted());
    }
}
