//! What the plan of an inbound connector lacks.

use crate::admission::{Admission, Attribute};
use crate::config::{Feature, InboundConnector, Plan};
use crate::sender::{Denied, NOT_PERMITTED};

impl From<Attribute> for Feature {
    fn from(by: Attribute) -> Self {
        match by {
            Attribute::Login => Self::Login,
            Attribute::CertificateName => Self::Certificate,
            Attribute::Network => Self::Network,
        }
    }
}

impl Admission {
    /// The same with the plans that connectors name.
    #[must_use]
    pub fn with_plans(mut self, plans: Vec<Plan>) -> Self {
        self.plans = plans;
        self
    }

    /// Whether a feature comes with the plan of a connector; all do with one that names none.
    ///
    /// # Errors
    /// What the client is told that wants it.
    pub fn includes(&self, connector: &InboundConnector, feature: Feature) -> Result<(), Denied> {
        let Some(name) = &connector.plan else { return Ok(()) };
        // A name that is none is a fault of the settings: nothing comes with it.
        let plan = self.plans.iter().find(|it| it.name == *name);
        if plan.is_some_and(|plan| plan.includes.contains(&feature)) {
            return Ok(());
        }
        let text = plan.map(|plan| plan.text.trim()).filter(|text| !text.is_empty());
        let words = text.map_or_else(
            || format!("{} does not come with your plan", feature.words()),
            str::to_owned,
        );
        let (feature, connector) = (feature.as_str(), &connector.name);
        let reason = format!("plan {name} of connector {connector} does not include `{feature}`");
        Err(Denied::new(NOT_PERMITTED, words, reason))
    }

    /// The same for a connector by its name.
    pub(crate) fn includes_by_name(&self, connector: &str, feature: Feature) -> Result<(), Denied> {
        self.entry(connector).map_or(Ok(()), |(it, _)| self.includes(it, feature))
    }
}

#[cfg(test)]
mod tests {
    use mail::{Address, ReversePath, Timestamp};

    use super::*;
    use crate::certificate::Certificate;
    use crate::config::{AuthResult, InboundAuth};
    use crate::{Admitted, Answers, Who};

    fn connector(
        name: &str,
        plan: &str,
        turn: impl FnOnce(&mut InboundConnector),
    ) -> InboundConnector {
        let mut made = InboundConnector {
            name: name.to_owned(),
            plan: Some(plan.to_owned()),
            ..InboundConnector::default()
        };
        turn(&mut made);
        made
    }

    fn plan(name: &str, includes: &[Feature], text: &str) -> Plan {
        Plan { name: name.to_owned(), includes: includes.to_vec(), text: text.to_owned() }
    }

    /// EE-24: a way that the plan lacks lets nobody in, another one does, and no look-up is asked for.
    #[test]
    fn ee_24_only_what_comes_with_the_plan_lets_in() {
        let networks =
            |it: &mut InboundConnector| it.sender_ip_addresses = vec!["192.0.2.1".parse().unwrap()];
        let by_spf = |it: &mut InboundConnector| {
            it.auth = Some(InboundAuth::Spf);
            it.registered_senders = vec!["a@a.example".to_owned()];
        };
        let plans = || {
            vec![
                plan("small", &[Feature::Network], "buy more at sales@relay.example"),
                plan("large", &[Feature::Network, Feature::Certificate, Feature::Spf], ""),
            ]
        };
        let names = [Box::from("mail.a.example")];
        let certificate = |it: &mut InboundConnector| {
            it.tls_sender_certificate_names = vec!["mail.a.example".to_owned()];
        };
        let ask = |connectors: Vec<InboundConnector>, client: &str, spf| {
            let admission = Admission::new(connectors).with_plans(plans());
            let who = Who {
                address: client.parse().unwrap(),
                certificate: Certificate { names: &names, issuer: &[] },
                login: None,
                is_tls: true,
                now: Timestamp::default(),
            };
            let sender = ReversePath::Address(Address::parse("a@a.example").unwrap());
            match admission.admit_mail(&who, &sender, Answers { spf }) {
                Ok(Admitted::By(it)) => it.name.clone(),
                Ok(other) => format!("{other:?}"),
                Err(denied) => format!("{} ({})", denied.reply(), denied.reason()),
            }
        };
        let small = || connector("small", "small", certificate);
        let text = "550 5.7.1 buy more at sales@relay.example";
        let lacks = "(plan small of connector small does not include `certificate`)";
        assert_eq!(ask(vec![small()], "192.0.2.9", None), format!("{text} {lacks}"));
        // The same connector by its address, or another one by the certificate.
        let both = connector("small", "small", |it| {
            certificate(it);
            networks(it);
        });
        assert_eq!(ask(vec![both], "192.0.2.1", None), "small");
        let large = || connector("large", "large", certificate);
        assert_eq!(ask(vec![small(), large()], "192.0.2.9", None), "large");
        // SPF is not asked for where it would not help.
        let spf = |plan: &str| connector("spf", plan, by_spf);
        for known in [None, Some(AuthResult::Pass), Some(AuthResult::Fail)] {
            let said = ask(vec![spf("small")], "192.0.2.9", known);
            assert!(said.starts_with(text), "{said}");
        }
        assert_eq!(ask(vec![spf("large")], "192.0.2.9", None), "Needs(Spf)");
        assert_eq!(ask(vec![spf("small"), spf("large")], "192.0.2.9", None), "Needs(Spf)");
        assert_eq!(
            ask(vec![connector("by", "gone", networks)], "192.0.2.1", None),
            "550 5.7.1 relaying by IP address does not come with your plan \
             (plan gone of connector by does not include `network`)"
        );
    }

    /// Whom the plan leaves out is let in by nothing, before it says who sends.
    #[test]
    fn a_way_that_the_plan_lacks_is_not_open() {
        let names = [Box::from("mail.a.example")];
        let certificate = Certificate { names: &names, issuer: &[] };
        let (address, now) = ("192.0.2.1".parse().unwrap(), Timestamp::default());
        let ask = |includes: &[Feature]| {
            let both = connector("both", "its", |it| {
                it.sender_ip_addresses = vec!["192.0.2.1".parse().unwrap()];
                it.tls_sender_certificate_names = vec!["mail.a.example".to_owned()];
            });
            let admission = Admission::new(vec![both]).with_plans(vec![plan("its", includes, "")]);
            let who = Who { address, certificate, login: None, is_tls: true, now };
            let open: Vec<_> = admission.open_ways(&who).map(|(by, _)| by).collect();
            let by_address = admission.admit(address, now).is_some();
            (open, by_address, admission.admit_holder(certificate).is_some())
        };
        assert_eq!(ask(&[Feature::Login]), (vec![], false, false));
        assert_eq!(ask(&[Feature::Network]), (vec![Attribute::Network], true, false));
        let all = vec![Attribute::CertificateName, Attribute::Network];
        assert_eq!(ask(&[Feature::Network, Feature::Certificate]), (all, true, true));
    }
}
