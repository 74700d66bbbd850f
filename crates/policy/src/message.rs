//! What becomes of a message whose content has come: what rules do with it, and which way each recipient goes.

mod named;

use std::collections::HashSet;
use std::sync::Arc;

use mail::header::{Edit, FieldName, Header, apply};
use mail::{Address, Directions, Domain, EnhancedStatus, Recipient, Reply};

pub use named::CONNECTOR_FIELD;

use crate::config::Feature;
use crate::foreign;
use crate::live::Policy;
use crate::message::named::{Named, WAY_REFUSED};
use crate::rules::{Facts, Judgement, Verdict, first_mailbox};

/// What is decided about a message.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// What the client is told, if the message is not taken, and the rule that wants it so, if one does.
    pub refusal: Option<(Reply, Option<Arc<str>>)>,
    /// Why it is refused, in the operator's words, where the reply and the rule do not tell.
    pub reason: Option<Box<str>>,
    /// Its recipients with the connectors that were chosen for them, those that rules added behind the others.
    pub recipients: Vec<Recipient>,
    /// What is kept with it; none if there is nothing.
    pub directions: Option<Box<Directions>>,
    /// What rules said.
    pub verdicts: Vec<Verdict>,
    /// The domain of From of which it has to be known first whether its owner protects it; until then it is refused for now.
    pub needs: Option<Domain>,
}

/// What was asked for could not be found out just now (RFC 3463 §3.5).
const LOOK_UP_FAILED: EnhancedStatus = EnhancedStatus::new(4, 4, 3);

impl Policy {
    /// Whether the header of a message must be known before it can be decided about.
    pub fn wants_header(&self) -> bool {
        !self.rules.is_empty() || self.router.has_from_filters() || !self.foreign.is_idle()
    }

    /// Decides about a message.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        self.follow(facts, self.rules.judge(facts))
    }

    /// The same with a verdict of every rule, in words; takes longer.
    pub fn explain(&self, facts: &Facts<'_>) -> Decision {
        self.follow(facts, self.rules.explain(facts))
    }

    /// Goes by what the rules said.
    fn follow(&self, facts: &Facts<'_>, judgement: Judgement) -> Decision {
        let rules = judgement.acted().map(|rule| Box::from(&**rule)).collect();
        let Judgement { refusal, held, edits, class, certify, routes, added, copies, verdicts } =
            judgement;
        let mut decision = Decision { verdicts, ..Decision::default() };
        if let Some(refusal) = refusal {
            decision.refusal = Some((refusal.reply, Some(refusal.rule)));
            return decision;
        }
        let is_certified = certify.is_some();
        if let Some(rule) = certify
            && let Err(denied) = self.admission.includes_by_name(facts.connector, Feature::Certify)
        {
            let reason = format!("rule {rule} certifies; {}", denied.reason());
            decision.reason = Some(reason.into());
            decision.refusal = Some((denied.reply().clone(), Some(rule)));
            return decision;
        }
        let mut edits = edits;
        let mut from = first_from(facts.header, &edits);
        let mut sender = None;
        let ruled = routes.into_iter().chain(std::iter::repeat(None));
        let mut recipients: Vec<_> = facts.recipients.iter().cloned().zip(ruled).collect();
        let named = Named::read(self, facts, &mut recipients);
        let further = added.into_iter().chain(copies).map(|recipient| (recipient, None));
        recipients.extend(further);
        let mut seen = HashSet::new();
        recipients.retain(|(it, _)| seen.insert(it.address.clone()));
        let is_taken = |from: Option<&Address>| {
            let mut free = recipients.iter().filter(|(_, rule)| rule.is_none());
            free.all(|(it, _)| self.router.choose(&it.address, from).is_some())
        };
        let is_replaced = match self.foreign.look(from.as_ref(), facts) {
            foreign::Verdict::Keep => false,
            foreign::Verdict::Replace => true,
            foreign::Verdict::Refuse(domain) => {
                decision.refusal = Some((foreign_refused(&domain), None));
                return decision;
            }
            foreign::Verdict::Later(domain) => {
                decision.refusal = Some((foreign_unknown(&domain), None));
                return decision;
            }
            foreign::Verdict::Ask(domain) => {
                // Whoever does not find out tells the client so.
                decision.refusal = Some((foreign_unknown(&domain), None));
                decision.needs = Some(domain);
                return decision;
            }
        };
        if is_replaced || !is_taken(from.as_ref()) {
            let Some(default) = self.default_from.as_ref().filter(|it| is_taken(Some(it))) else {
                decision.refusal = Some((from_refused(from.as_ref(), facts), None));
                return decision;
            };
            edits.extend(self.rules.rewritten(facts, default));
            (from, sender) = (Some(default.clone()), Some(default.clone()));
        }
        match named.map(|it| it.removal(&self.router, &recipients, from.as_ref())).transpose() {
            Ok(removal) => edits.extend(removal),
            Err(reply) => {
                decision.refusal = Some((reply, None));
                return decision;
            }
        }
        decision.recipients = recipients
            .into_iter()
            .map(|(it, rule)| self.routed(it, rule.as_deref(), from.as_ref()))
            .collect();
        let directions = Directions { class, sender, edits, is_certified, held, rules };
        decision.directions = (!directions.is_empty()).then(|| Box::new(directions));
        decision
    }

    /// A recipient with its connector, if that is not what its domain alone gives.
    fn routed(
        &self,
        recipient: Recipient,
        rule: Option<&str>,
        from: Option<&Address>,
    ) -> Recipient {
        let chosen = rule.or_else(|| {
            self.router.choose(&recipient.address, from).map(|connector| connector.name.as_str())
        });
        let plain = self.router.route(&recipient.address).ok();
        let is_plain = plain.is_some_and(|plain| Some(plain.connector()) == chosen);
        let via = chosen.filter(|_| !is_plain).map(Into::into);
        Recipient { via, ..recipient }
    }
}

/// Whom the header is from once the changes are made; the first, if there are several.
pub fn first_from(header: &[u8], edits: &[Edit]) -> Option<Address> {
    let is_from = |name: &FieldName| name.as_str().eq_ignore_ascii_case("from");
    let changes_from = edits.iter().any(|edit| match edit {
        Edit::Add { name, .. } | Edit::Set { name, .. } | Edit::Remove { name, .. } => {
            is_from(name)
        }
    });
    let changed = changes_from.then(|| apply(header, edits));
    let fields = Header::read(changed.as_deref().unwrap_or(header)).fields;
    first_mailbox(&fields)
}

fn foreign_refused(domain: &Domain) -> Reply {
    let words = format!(
        "mail from {domain} is not passed on: its owner lets nobody else send in its name (DMARC)"
    );
    Reply::new(550, Some(WAY_REFUSED), words)
}

fn foreign_unknown(domain: &Domain) -> Reply {
    let words = format!("the DMARC policy of {domain} could not be looked up; try again later");
    Reply::new(451, Some(LOOK_UP_FAILED), words)
}

fn from_refused(from: Option<&Address>, facts: &Facts<'_>) -> Reply {
    let domains: Vec<_> = facts.recipients.iter().filter_map(|it| it.address.domain()).collect();
    let to = domains.first().map_or("its recipient", |domain| domain.as_str());
    let words = match from {
        Some(from) => format!("no way out for mail from {from} to {to}"),
        None => format!("no way out for mail without an address in From to {to}"),
    };
    Reply::new(550, Some(WAY_REFUSED), words)
}

#[cfg(test)]
mod tests {
    use mail::{ReversePath, Timestamp};

    use super::*;
    use crate::config::{OutboundConnector, Rewrite, Rule, SmartHost};
    use crate::rules::{Known, Protection, Rules};
    use crate::{Admission, Router};

    fn connector(name: &str, filter: &[&str]) -> OutboundConnector {
        OutboundConnector {
            name: name.to_owned(),
            from_filter: filter.iter().map(ToString::to_string).collect(),
            smart_hosts: vec![SmartHost { host: "127.0.0.1".to_owned(), ..SmartHost::default() }],
            ..OutboundConnector::default()
        }
    }

    fn policy(connectors: Vec<OutboundConnector>, rules: &[Rule], default: Option<&str>) -> Policy {
        let outbound_connectors = connectors.iter().map(|it| Box::from(it.name.as_str())).collect();
        let known = Known { outbound_connectors, ..Known::default() };
        let rewrite = Rewrite {
            default_from: default.map(str::to_owned),
            alias_domain: Some("own.example".to_owned()),
            ..Rewrite::default()
        };
        Policy::new(Admission::new(Vec::new()), Router::new(connectors).unwrap())
            .with_rules(Rules::compile(rules, known).unwrap())
            .with_rewrite(&rewrite)
            .unwrap()
    }

    fn decide(policy: &Policy, header: &str, recipients: &[&str]) -> Decision {
        let recipients: Vec<_> =
            recipients.iter().map(|it| Recipient::from(Address::parse(it).unwrap())).collect();
        policy.decide(&facts(header, &recipients))
    }

    fn facts<'a>(header: &'a str, recipients: &'a [Recipient]) -> Facts<'a> {
        Facts {
            client: None,
            helo: "",
            listener: "",
            connector: "",
            account: None,
            is_tls: false,
            certificate_names: &[],
            sender: &ReversePath::Null,
            recipients,
            header: header.as_bytes(),
            octets: 0,
            class: None,
            now: Timestamp::from_millis(0),
            auth: None,
            from_domain: None,
        }
    }

    fn vias(decision: &Decision) -> Vec<Option<&str>> {
        decision.recipients.iter().map(|it| it.via.as_deref()).collect()
    }

    #[test]
    fn the_from_of_the_header_decides_the_way() {
        let all = vec![connector("any", &[]), connector("sales", &["sales@own.example"])];
        let policy = policy(all, &[], None);
        assert!(policy.wants_header());
        let seen = decide(&policy, "From: S <Sales@own.example>\r\n\r\n", &["a@x.example"]);
        assert_eq!((vias(&seen), &seen.directions), (vec![Some("sales")], &None));
        let seen = decide(&policy, "From: other@own.example\r\n\r\n", &["a@x.example"]);
        assert_eq!((vias(&seen), &seen.directions), (vec![None], &None));
    }

    /// DA-09.
    #[test]
    fn a_from_of_somebody_else_is_kept_replaced_or_refused() {
        use Protection::{Open, Protected, Unknown};

        use crate::config::ForeignFrom::{Keep, RefuseProtected, Replace, ReplaceProtected};

        let own = || vec![Domain::parse("own.example").unwrap()];
        let plain = || policy(vec![connector("any", &[])], &[], Some("app"));
        let ask = |what, from: &str, known: Option<Protection>| {
            let policy = plain().with_foreign_from(what, own());
            let recipients = [Recipient::from(Address::parse("a@x.example").unwrap())];
            let header = format!("From: Carla <{from}>\r\n\r\n");
            let domain = Address::parse(from).unwrap().domain().unwrap();
            let from_domain = known.map(|known| (&domain, known));
            let decision = policy.decide(&Facts { from_domain, ..facts(&header, &recipients) });
            let Decision { refusal, directions, needs, .. } = decision;
            match (refusal, directions, needs) {
                (.., Some(domain)) => format!("asks for {domain}"),
                (Some((reply, _)), ..) => reply.to_string(),
                (_, Some(directions), _) => directions.sender.unwrap().to_string(),
                _ => "kept".to_owned(),
            }
        };
        for (what, from, known, want) in [
            (Keep, "c@else.example", Some(Protected), "kept"),
            (Replace, "c@else.example", None, "app@own.example"),
            (Replace, "c@own.example", None, "kept"),
            (Replace, "c@sub.own.example", None, "kept"),
            (Replace, "c@notown.example", None, "app@own.example"),
            (ReplaceProtected, "c@else.example", None, "asks for else.example"),
            (ReplaceProtected, "c@else.example", Some(Open), "kept"),
            (ReplaceProtected, "c@else.example", Some(Protected), "app@own.example"),
            (ReplaceProtected, "c@else.example", Some(Unknown), "451 4.4.3 the DMARC policy of"),
            (RefuseProtected, "c@else.example", Some(Open), "kept"),
            (
                RefuseProtected,
                "c@else.example",
                Some(Protected),
                "550 5.7.1 mail from else.example",
            ),
            (RefuseProtected, "c@own.example", None, "kept"),
        ] {
            let seen = ask(what, from, known);
            assert!(seen.starts_with(want), "{what:?} {from} {known:?}: {seen}");
        }
    }

    /// DA-08.
    #[test]
    fn a_from_that_nobody_takes_is_replaced_or_refused() {
        let all = || vec![connector("own", &["own.example"])];
        let header = "From: =?utf-8?q?J=C3=B6rg?= <j@partner.example>\r\nTo: a@x.example\r\n\r\n";
        let strict = policy(all(), &[], None);
        let (reply, _) = decide(&strict, header, &["a@x.example"]).refusal.unwrap();
        let want = "550 5.7.1 no way out for mail from j@partner.example to x.example";
        assert_eq!(reply.to_string(), want);
        let kind = policy(all(), &[], Some("notifications"));
        let seen = decide(&kind, header, &["a@x.example"]);
        assert_eq!(vias(&seen), [Some("own")]);
        let directions = seen.directions.unwrap();
        let sender = directions.sender.as_ref().map(Address::as_str);
        assert_eq!(sender, Some("notifications@own.example"));
        let changed = String::from_utf8(apply(header.as_bytes(), &directions.edits)).unwrap();
        assert_eq!(
            changed,
            "From: =?utf-8?q?J=C3=B6rg?= <notifications@own.example>\r\nTo: a@x.example\r\n\
             Reply-To: =?utf-8?q?J=C3=B6rg?= <j@partner.example>\r\n\r\n"
        );
        // Who has an answer address keeps it, and what fits is left alone.
        let header = "From: j@partner.example\r\nReply-To: k@partner.example\r\n\r\n";
        let edits = decide(&kind, header, &["a@x.example"]).directions.unwrap().edits;
        assert_eq!(edits.len(), 1);
        let seen = decide(&kind, "From: me@own.example\r\n\r\n", &["a@x.example"]);
        assert_eq!(seen.directions, None);
    }
}
