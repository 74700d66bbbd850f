//! The variables of expressions, made when they are asked for.

use std::collections::HashMap;

use cel::common::types::{CelBool, CelInt, CelList, CelMap, CelMapKey, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use crate::config::AuthResult;
use crate::rules::canonical::Canonical;
use crate::rules::facts::AuthResults;
use crate::rules::header::decoded;
use crate::rules::view::{View, time_of_week};

/// A message, and the recipient that is asked about.
pub(crate) struct Scope<'s, 'a> {
    pub(crate) view: &'s View<'a>,
    pub(crate) recipient: Option<&'s Canonical>,
}

impl VariableResolver for Scope<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let (view, facts) = (self.view, self.view.facts);
        let text = |text: &'b str| CowVal::owned(CelString::from(text));
        let owned = |text: String| CowVal::owned(CelString::from(text));
        let sender = || facts.sender.address().map_or("", |_| view.sender().as_str());
        let domain = |of: Option<&'b Canonical>| of.and_then(Canonical::domain).unwrap_or_default();
        let result = |of: fn(&AuthResults) -> AuthResult| {
            text(facts.auth.as_ref().map_or("", |auth| of(auth).as_str()))
        };
        Some(match variable {
            "sender" => text(sender()),
            "sender_domain" => text(domain(Some(view.sender()))),
            "recipient" => text(self.recipient.map_or("", Canonical::as_str)),
            "recipient_domain" => text(domain(self.recipient)),
            "from" => list(view.from().iter().map(|it| it.canonical.as_str())),
            "from_domains" => list(view.from().iter().filter_map(|it| it.canonical.domain())),
            "recipients" => list(view.recipients().iter().map(Canonical::as_str)),
            "recipient_domains" => list(view.recipients().iter().filter_map(Canonical::domain)),
            "certificate_names" => list(facts.certificate_names.iter().map(|name| &**name)),
            "client" => {
                owned(facts.client.map(|it| it.to_canonical().to_string()).unwrap_or_default())
            }
            "helo" => text(facts.helo),
            "listener" => text(facts.listener),
            "connector" => text(facts.connector),
            "account" => text(facts.account.unwrap_or_default()),
            "class" => text(facts.class.unwrap_or_default()),
            "subject" => owned(view.subject()),
            "spf" => result(|auth| auth.spf),
            "dkim" => result(|auth| auth.dkim),
            "dmarc" => result(|auth| auth.dmarc),
            "weekday" => text(time_of_week(facts.now).0.as_str()),
            "hour" => number(u64::from(time_of_week(facts.now).1 / 60)),
            "minute" => number(u64::from(time_of_week(facts.now).1 % 60)),
            "now" => number(facts.now.as_millis() / 1000),
            "octets" => number(facts.octets),
            "tls" => CowVal::owned(CelBool::from(facts.is_tls)),
            "headers" => headers(view),
            _ => return None,
        })
    }
}

fn number<'b>(number: u64) -> CowVal<'b, 'b> {
    CowVal::owned(CelInt::from(i64::try_from(number).unwrap_or(i64::MAX)))
}

fn list<'b>(texts: impl Iterator<Item = &'b str>) -> CowVal<'b, 'b> {
    let values: Vec<_> = texts.map(|text| boxed(CelString::from(text))).collect();
    CowVal::owned(CelList::from(values))
}

fn headers<'b>(view: &View<'_>) -> CowVal<'b, 'b> {
    let mut values: HashMap<String, Vec<Box<dyn Val + 'b>>> = HashMap::new();
    for field in view.fields() {
        let name = String::from_utf8_lossy(field.name()).to_ascii_lowercase();
        let value = CelString::from(decoded(field).into_owned());
        values.entry(name).or_default().push(boxed(value));
    }
    let lists = values
        .into_iter()
        .map(|(name, values)| (CelMapKey::from(name), boxed(CelList::from(values))));
    CowVal::owned(CelMap::from(lists.collect::<HashMap<_, _>>()))
}

fn boxed<'b>(value: impl Val + 'b) -> Box<dyn Val + 'b> {
    Box::new(value)
}
