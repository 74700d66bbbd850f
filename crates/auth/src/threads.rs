//! Addresses that people reply to in threads of applications: from a reply's recipient to the thread.
//!
//! Their form is `local+thread.mark@domain`, where `local@domain` is the application's own address; hosts may change
//! the case. They do not expire: people answer late.

use mail::{Address, ThreadName};

use crate::dns::a_labels;
use crate::token::{Secrets, base32, from_base32};

const LOCAL_OCTETS_MAX: usize = 64;
const MARK_OCTETS: usize = 5;
const PURPOSE: &str = "thread";

/// Makes and reads them.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    secrets: Secrets,
    applications: Vec<Application>,
}

#[derive(Clone, Debug)]
struct Application {
    name: Box<str>,
    /// In small letters.
    local: String,
    /// In A-labels.
    domain: String,
}

/// What an address of an application stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The application, by the name that it was set up with.
    pub application: Box<str>,
    /// Its thread; none for the application's own address, where threads begin.
    pub name: Option<ThreadName>,
}

/// An address looks as if it belonged to a thread, and none of ours does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply address was changed on the way or made up; reply to the message as it came")]
pub struct ForgedThread;

impl Threads {
    /// Sets up the addresses of applications, by their names.
    pub(crate) fn new(secrets: Secrets, applications: &[(Box<str>, Address)]) -> Self {
        let application = |(name, address): &(Box<str>, Address)| {
            let domain = domain_of(address)?;
            let local = address.local_part().to_ascii_lowercase();
            Some(Application { name: name.clone(), local, domain })
        };
        Self { secrets, applications: applications.iter().filter_map(application).collect() }
    }

    /// The address by which replies find a thread; none if nobody knows the application, or no address is that long.
    pub(crate) fn address(&self, application: &str, thread: &ThreadName) -> Option<Address> {
        let of = self.applications.iter().find(|it| *it.name == *application)?;
        let mark = base32(&self.secrets.mark(PURPOSE, &of.marked(thread), MARK_OCTETS));
        let local = format!("{}+{thread}.{mark}", of.local);
        let is_short = local.len() <= LOCAL_OCTETS_MAX;
        Address::parse(&format!("{local}@{}", of.domain)).ok().filter(|_| is_short)
    }

    /// What an address stands for; none if it is none of an application.
    pub(crate) fn read(&self, address: &Address) -> Result<Option<Thread>, ForgedThread> {
        // Most relays have none, and every recipient is asked about.
        if self.applications.is_empty() {
            return Ok(None);
        }
        let (local, domain) = (address.local_part().to_ascii_lowercase(), domain_of(address));
        let in_domain = self.applications.iter().filter(|it| Some(&it.domain) == domain.as_ref());
        for of in in_domain {
            let thread = |name| Thread { application: of.name.clone(), name };
            match local.strip_prefix(of.local.as_str()) {
                Some("") => return Ok(Some(thread(None))),
                Some(rest) if rest.starts_with('+') => {
                    let name = self.named(of, rest.get(1..).unwrap_or_default());
                    return name.map(|name| Some(thread(Some(name))));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn named(&self, of: &Application, text: &str) -> Result<ThreadName, ForgedThread> {
        let (name, mark) = text.rsplit_once('.').ok_or(ForgedThread)?;
        let name = ThreadName::parse(name).map_err(|_| ForgedThread)?;
        let mark = from_base32(mark).filter(|mark| mark.len() == MARK_OCTETS);
        let is_ours =
            mark.is_some_and(|mark| self.secrets.is_mark(PURPOSE, &of.marked(&name), &mark));
        if is_ours { Ok(name) } else { Err(ForgedThread) }
    }
}

impl Application {
    /// What is signed: a thread of one application is none of another.
    fn marked(&self, thread: &ThreadName) -> Vec<u8> {
        format!("{}@{}:{thread}", self.local, self.domain).into_bytes()
    }
}

fn domain_of(address: &Address) -> Option<String> {
    a_labels(address.as_str().rsplit_once('@')?.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn threads(secret: &str) -> Threads {
        let secrets = Secrets::new(&[format!("secret of {secret:16}")]).unwrap();
        let of = |name: &str, text: &str| (name.into(), address(text));
        let all = [of("desk", "Reply@Desk.example"), of("crm", "reply@crm.example")];
        Threads::new(secrets, &all)
    }

    #[test]
    fn a_reply_finds_its_thread() {
        let ours = threads("us");
        let name = ThreadName::parse("Ticket-4711.2").unwrap();
        let reply_to = ours.address("desk", &name).unwrap();
        assert!(reply_to.as_str().starts_with("reply+ticket-4711.2."), "{reply_to}");
        let thread = Thread { application: "desk".into(), name: Some(name.clone()) };
        for text in [reply_to.as_str().to_owned(), reply_to.as_str().to_uppercase()] {
            assert_eq!(ours.read(&address(&text)), Ok(Some(thread.clone())), "{text}");
        }
        let plain = Thread { name: None, ..thread };
        assert_eq!(ours.read(&address("REPLY@desk.example")), Ok(Some(plain)));
        for other in ["reply@other.example", "replies@desk.example", "a+b.c@desk.example"] {
            assert_eq!(ours.read(&address(other)), Ok(None), "{other}");
        }
        assert_eq!(ours.address("nobody", &name), None);
    }

    #[test]
    fn nobody_else_makes_one() {
        let ours = threads("us");
        let name = ThreadName::parse("4711").unwrap();
        let made = ours.address("desk", &name).unwrap();
        let elsewhere = made.as_str().replace("desk.example", "crm.example");
        let other_thread = made.as_str().replace("4711", "4712");
        let theirs = threads("them").address("desk", &name).unwrap();
        for forged in [
            elsewhere.as_str(),
            other_thread.as_str(),
            theirs.as_str(),
            "reply+4711@desk.example",
            "reply+@desk.example",
            "reply+4711.aaaaaaaa@desk.example",
            "reply+4711.aaaa@desk.example",
        ] {
            assert_eq!(ours.read(&address(forged)), Err(ForgedThread), "{forged}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(text in "[a-z0-9_-]{1,10}(\\.[a-z0-9_-]{1,10}){0,2}") {
            let (ours, name) = (threads("us"), ThreadName::parse(&text).unwrap());
            let made = ours.address("crm", &name).unwrap();
            prop_assert_eq!(ours.read(&made).unwrap().unwrap().name, Some(name));
        }
    }
}
