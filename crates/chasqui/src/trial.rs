//! A message that is only thought of: what the settings would do with it.

use anyhow::Result;
use mail::{Address, Recipient, ReversePath, Timestamp};
use policy::config::Expect;
use policy::{Decision, Facts, Policy, Protection, Who, first_from};
use units::Clock;

use crate::given::{self, address};

/// The message and who hands it over.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    /// Who hands it over, if that is known.
    pub(crate) client: Option<Who<'a>>,
    /// The listener.
    pub(crate) listener: &'a str,
    /// The inbound connector that let the client in.
    pub(crate) connector: &'a str,
    /// The sender of the envelope.
    pub(crate) sender: ReversePath,
    /// The recipients of the envelope.
    pub(crate) recipients: Vec<Recipient>,
    /// The header.
    pub(crate) header: Vec<u8>,
    /// Whether the owner of the domain in From protects it, if that is known.
    pub(crate) protection: Option<Protection>,
}

impl Trial<'_> {
    /// A message from `from` to `to` with these further fields, from nowhere.
    ///
    /// # Errors
    /// What is no address.
    pub(crate) fn new(from: &str, to: &[String], fields: &[String]) -> Result<Self> {
        let sender = given::sender(from)?;
        let from = sender.address().map(ToString::to_string).unwrap_or_default();
        let recipients = to.iter().map(|to| Ok(Recipient::from(address(to)?)));
        let recipients = recipients.collect::<Result<_>>()?;
        let is_given = |name: &str| {
            let mut names = fields.iter().filter_map(|field| Some(field.split_once(':')?.0));
            names.any(|it| it.trim_end().eq_ignore_ascii_case(name))
        };
        let usual = [("From", from), ("To", to.join(", "))];
        let usual = usual.into_iter().filter(|(name, value)| !value.is_empty() && !is_given(name));
        let usual = usual.map(|(name, value)| format!("{name}: {value}"));
        let lines = usual.chain(fields.iter().cloned()).map(|line| line + "\r\n");
        let header = lines.collect::<String>() + "\r\n";
        Ok(Self {
            client: None,
            listener: "",
            connector: "",
            sender,
            recipients,
            header: header.into_bytes(),
            protection: None,
        })
    }

    /// What `policy` would do with it, with a word on every rule.
    pub(crate) fn decide(&self, policy: &Policy) -> Decision {
        let facts = Facts {
            client: self.client.map(|it| it.address.to_canonical()),
            helo: "",
            listener: self.listener,
            connector: self.connector,
            account: self.client.and_then(|it| it.login),
            is_tls: self.client.is_some_and(|it| it.is_tls),
            certificate_names: self.client.map_or(&[], |it| it.certificate.names),
            sender: &self.sender,
            recipients: &self.recipients,
            header: &self.header,
            octets: u64::try_from(self.header.len()).unwrap_or(u64::MAX),
            class: None,
            now: Timestamp::from_millis(Clock::system().unix_millis()),
            auth: None,
            from_domain: None,
        };
        let decision = policy.explain(&facts);
        match (&decision.needs, self.protection) {
            (Some(domain), Some(known)) => {
                policy.explain(&Facts { from_domain: Some((domain, known)), ..facts })
            }
            _ => decision,
        }
    }

    /// Whom the header says it is from, by the time it leaves.
    pub(crate) fn from(&self, decision: &Decision) -> Option<Address> {
        let edits = decision.directions.as_ref().map_or(&[][..], |it| &it.edits);
        first_from(&self.header, edits)
    }
}

/// What is wrong with an expectation: the key, and words.
pub(crate) fn missed(policy: &Policy, expect: &Expect) -> Option<(&'static str, String)> {
    let Expect { from, to, connector } = expect;
    if policy.router.connector(connector).is_none() {
        return Some(("connector", format!("there is no outbound connector `{connector}`")));
    }
    if let Err(error) = address(to) {
        return Some(("to", format!("{error:#}")));
    }
    let trial = match Trial::new(from, std::slice::from_ref(to), &[]) {
        Ok(trial) => trial,
        Err(error) => return Some(("from", format!("{error:#}"))),
    };
    // What depends on the DNS is expected to go as usual.
    let trial = Trial { protection: Some(Protection::Open), ..trial };
    let decision = trial.decide(policy);
    if let Some((reply, rule)) = &decision.refusal {
        let by = rule.as_ref().map(|rule| format!(" by rule `{rule}`")).unwrap_or_default();
        return Some(("connector", format!("mail from {from} to {to} is refused{by}: {reply}")));
    }
    let recipient = decision.recipients.iter().find(|it| it.address.as_str() == to)?;
    match policy.router.route_of(recipient) {
        Ok(way) if way.connector() == connector => None,
        Ok(way) => {
            let other = way.connector();
            let words = format!("mail from {from} to {to} goes by `{other}`, not by `{connector}`");
            Some(("connector", words))
        }
        Err(error) => Some(("connector", format!("mail from {from} to {to}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_given_stands_for_the_usual_one() {
        let fields = ["from : me@x.example".to_owned(), "X-Class: bulk".to_owned()];
        let trial = Trial::new("a@x.example", &["b@y.example".to_owned()], &fields).unwrap();
        assert_eq!(
            String::from_utf8(trial.header).unwrap(),
            "To: b@y.example\r\nfrom : me@x.example\r\nX-Class: bulk\r\n\r\n"
        );
        assert!(Trial::new("a b", &[], &[]).is_err());
    }
}
