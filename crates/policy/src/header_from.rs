//! Whether the From of a message is one that its inbound connector lets its sender write.

use mail::header::Header;
use mail::{Address, ReversePath};

use crate::admission::Admission;
use crate::config::HeaderFrom;
use crate::rules::{Authors, authors};
use crate::sender::{Denied, NOT_PERMITTED, Senders};

impl Admission {
    /// What a connector asks of the From of its mail; none if it does not ask.
    pub fn header_from(&self, connector: &str) -> Option<HeaderFrom> {
        let asks = |it: &HeaderFrom| *it != HeaderFrom::Any;
        self.entry(connector).map(|(it, _)| it.header_from).filter(asks)
    }

    /// Looks whether mail of `sender` that comes by a connector may have this header.
    ///
    /// # Errors
    /// What the client is told, and the operator.
    pub fn may_be_from(
        &self,
        connector: &str,
        sender: &ReversePath,
        header: &[u8],
    ) -> Result<(), Denied> {
        let Some((inbound, senders)) = self.entry(connector) else { return Ok(()) };
        let asked = inbound.header_from;
        if asked == HeaderFrom::Any {
            return Ok(());
        }
        look(asked, senders, sender, header).map_err(|words| {
            let asked = asked.as_str();
            let reason = format!("connector {connector} has header_from = \"{asked}\"");
            Denied::new(NOT_PERMITTED, format!("From rejected: {words}"), reason)
        })
    }
}

/// What is wrong, in words.
fn look(
    asked: HeaderFrom,
    senders: &Senders,
    sender: &ReversePath,
    header: &[u8],
) -> Result<(), String> {
    let read = Header::read(header);
    // Who shows it to people may read on behind a line that is no field.
    if !matches!(read.rest, [] | [b'\n', ..] | [b'\r', b'\n', ..]) {
        return Err("the header has a line that is no field; mend it".to_owned());
    }
    let addresses = match authors(&read.fields) {
        Authors::Are(addresses) => addresses,
        Authors::Missing => return Err("there is none; write one From field".to_owned()),
        Authors::Several => return Err("there are several; write one From field".to_owned()),
        Authors::Unreadable => {
            return Err("it cannot be read; write it as RFC 5322 wants it".to_owned());
        }
    };
    addresses.iter().try_for_each(|from| one(asked, senders, sender, from))
}

fn one(
    asked: HeaderFrom,
    senders: &Senders,
    sender: &ReversePath,
    from: &Address,
) -> Result<(), String> {
    let held_against = sender.address().filter(|_| asked.asks_sender());
    match (asked, held_against) {
        (HeaderFrom::SameAddress, Some(sender)) if !is_same(from, sender) => {
            Err(format!("{from} is not the sender in MAIL; write {sender} there"))
        }
        (HeaderFrom::SameDomain, Some(sender)) if from.domain() != sender.domain() => Err(format!(
            "{from} is not in the domain of the sender in MAIL, {sender}; write an address of that there"
        )),
        (_, Some(_)) => Ok(()),
        (_, None) if senders.allow(from) => Ok(()),
        (_, None) => Err(format!("{from} is not registered; write an address there that is")),
    }
}

/// Few servers tell the case of a local part apart.
fn is_same(one: &Address, other: &Address) -> bool {
    one.domain() == other.domain()
        && one.local_part().to_lowercase() == other.local_part().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::InboundConnector;

    #[test]
    fn from_is_held_against_the_sender_or_the_lists() {
        let connector = |name: &str, header_from, registered: &[&str]| InboundConnector {
            name: name.to_owned(),
            header_from,
            registered_senders: registered.iter().map(ToString::to_string).collect(),
            ..InboundConnector::default()
        };
        let list = ["own.example", "ana@two.example"];
        let admission = Admission::new(vec![
            connector("any", HeaderFrom::Any, &list),
            connector("domain", HeaderFrom::SameDomain, &[]),
            connector("address", HeaderFrom::SameAddress, &[]),
            connector("list", HeaderFrom::Registered, &list),
            connector("both", HeaderFrom::SameDomain, &list),
        ]);
        let ask = |name: &str, sender: &str, header: &str| {
            let sender = match sender {
                "" => ReversePath::Null,
                sender => ReversePath::Address(Address::parse(sender).unwrap()),
            };
            let asked = admission.may_be_from(name, &sender, header.as_bytes());
            asked.map_or_else(|denied| denied.reply().to_string(), |()| "good".to_owned())
        };
        let own = "ana@own.example";
        for (name, sender, from, want) in [
            ("any", own, "evil@x.example", "good"),
            ("domain", own, "\"Bo\" <bo@OWN.example>", "good"),
            ("domain", own, "bo@sub.own.example", "is not in the domain of the sender"),
            ("domain", own, "a@own.example, b@x.example", "b@x.example is not in the domain"),
            ("domain", own, "Team: a@own.example, b@own.example;", "good"),
            ("domain", "", "MAILER-DAEMON@x.example", "good"),
            ("address", own, "Ana (at work) <Ana@own.EXAMPLE>", "good"),
            ("address", own, "bo@own.example", "is not the sender in MAIL; write ana@own.example"),
            ("address", own, "bo@own.example <ana@own.example>", "good"),
            ("address", own, "<ana@own.example> <bo@x.example>", "cannot be read"),
            ("address", own, "ana@own.example bo@x.example", "cannot be read"),
            ("address", own, "Nobody, ana@own.example", "cannot be read"),
            ("address", own, "Undisclosed:;", "cannot be read"),
            ("address", own, "", "cannot be read"),
            ("list", "x@x.example", "ANA@two.example", "good"),
            ("list", own, "bo@two.example", "bo@two.example is not registered"),
            ("list", "", "bo@two.example", "is not registered"),
            ("both", own, "bo@own.example", "good"),
            ("both", "", "bo@own.example", "good"),
            ("both", "", "bo@x.example", "is not registered"),
            ("gone", own, "evil@x.example", "good"),
        ] {
            let said = ask(name, sender, &format!("To: b@x.example\r\nFrom: {from}\r\n"));
            assert!(said.contains(want), "{name} {sender} {from}: {said}");
        }
        for (header, want) in [
            ("To: b@x.example\r\n", "there is none"),
            ("From: ana@own.example\r\nFROM : ana@own.example\r\n", "there are several"),
            ("From: ana@own.example\r\nno field\r\nFrom: evil@x.example\r\n", "no field"),
            ("From: ana@own.example\r\n\r\nFrom: evil@x.example\r\n", "good"),
            ("From b@x.example Sat\r\nFrom: ana@own.example\r\n", "good"),
            ("From:\r\n ana@own.example\r\n", "good"),
            ("", "there is none"),
        ] {
            let said = ask("address", own, header);
            assert!(said.contains(want), "{header:?}: {said}");
        }
    }

    proptest::proptest! {
        /// Whatever stands in From, nobody else than the sender is let through.
        #[test]
        fn no_from_is_taken_that_is_not_the_sender(from in "[a@b.c<>(),;:\"\\\\ =?\r\n]{0,40}") {
            let connector = InboundConnector {
                name: "address".to_owned(),
                header_from: HeaderFrom::SameAddress,
                ..InboundConnector::default()
            };
            let admission = Admission::new(vec![connector]);
            let sender = Address::parse("a@b.c").unwrap();
            let header = format!("From: {from}\r\n");
            let path = ReversePath::Address(sender.clone());
            if admission.may_be_from("address", &path, header.as_bytes()).is_ok() {
                let fields = Header::read(header.as_bytes()).fields;
                proptest::prop_assert_eq!(crate::first_mailbox(&fields), Some(sender));
            }
        }
    }
}
