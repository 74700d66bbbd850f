//! The messages of a run: everything about message 0, 1, 2 … is settled before the first is sent.

use anyhow::{Context, ensure};

use crate::content::{self, Text};
use crate::domains::{DomainRange, DomainTable};
use crate::envelope::{self, Place};
use crate::load::{Load, Recipients, Verify};
use crate::pace::Timetable;
use crate::random::{Throw, Weighted, share};
use crate::sink::script::DomainClass;
use crate::size::SizeTable;

/// The name of the class that holds all domains without one.
pub(crate) const GOOD: &str = "good";

/// Recipients of all messages, counted as if each message had the most that one has: an octet is kept for each.
const SLOTS_MAX: u64 = 1 << 28;

/// What each message is; the same for source and sink.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) run: u64,
    pub(crate) seed: u64,
    pub(crate) messages: u64,
    /// The most recipients a message has.
    pub(crate) recipients_max: u32,
    pub(crate) verify: Verify,
    pub(crate) timetable: Option<Timetable>,
    sizes: SizeTable,
    counts: Weighted<u32>,
    domains: DomainTable,
    classes: Vec<Class>,
    text: Text,
}

/// A class of domains: the first is [`GOOD`] and holds what no other does.
#[derive(Clone, Debug)]
struct Class {
    name: String,
    range: DomainRange,
}

impl Plan {
    /// # Errors
    /// If the load or a class makes no sense; the error names the key.
    pub(crate) fn new(load: &Load, classes: &[DomainClass], run: u64) -> anyhow::Result<Self> {
        let counts = counts(&load.recipients).context("load.recipients")?;
        let recipients_max = counts.values().max().unwrap_or(1);
        ensure!(load.connections > 0, "load.connections is 0");
        ensure!(
            u32::try_from(load.messages).is_ok()
                && load.messages * u64::from(recipients_max) <= SLOTS_MAX,
            "load.messages: more than {SLOTS_MAX} recipients in all cannot be counted"
        );
        let sizes = SizeTable::new(&load.size).context("load.size")?;
        let classes = classes.iter().map(class).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            run,
            seed: load.seed,
            messages: load.messages,
            recipients_max,
            verify: load.verify,
            timetable: Timetable::new(&load.pace).context("load.pace")?,
            text: Text::new(load.seed, sizes.max()),
            sizes,
            counts,
            domains: DomainTable::new(&load.domains).context("load.domains")?,
            classes,
        })
    }

    /// Names of the classes; their order is that of [`Self::class`].
    pub(crate) fn class_names(&self) -> Vec<String> {
        let others = self.classes.iter().map(|class| class.name.clone());
        std::iter::once(GOOD.to_owned()).chain(others).collect()
    }

    /// How many recipients message `number` has.
    pub(crate) fn recipients(&self, number: u64) -> u32 {
        self.counts.pick(share(self.seed, number, Throw::Count))
    }

    /// The class of the domain `domain`: 0 for [`GOOD`], 1 for the first that the script names.
    pub(crate) fn class(&self, domain: u64) -> usize {
        self.classes.iter().position(|class| class.range.holds(domain)).map_or(0, |at| at + 1)
    }

    /// The domain of recipient `place` of message `number`.
    pub(crate) fn domain(&self, number: u64, place: u32) -> u64 {
        self.domains.of(self.seed, number, place)
    }

    /// Where recipient `place` of message `number` is counted; none if there is no such.
    pub(crate) fn slot(&self, number: u64, place: u32) -> Option<usize> {
        let is_known = number < self.messages && place < self.recipients_max;
        let slot = number * u64::from(self.recipients_max) + u64::from(place);
        if is_known { usize::try_from(slot).ok() } else { None }
    }

    /// Writes MAIL, one RCPT for each recipient, and DATA for message `number`.
    pub(crate) fn push_commands(&self, out: &mut Vec<u8>, number: u64) {
        let run = self.run;
        envelope::push_mail(out, run, number);
        for place in 0..self.recipients(number) {
            let domain = self.domain(number, place);
            let class = self.class(domain).checked_sub(1).and_then(|at| self.classes.get(at));
            let class = class.map_or("", |class| class.name.as_str());
            envelope::push_rcpt(out, Place { run, number, nth: place, domain }, class);
        }
        out.extend_from_slice(b"DATA\r\n");
    }

    /// Writes the header of message `number`.
    pub(crate) fn push_head(&self, out: &mut Vec<u8>, number: u64) {
        content::push_head(out, self.run, number);
    }

    /// The body of message `number` as it goes over the wire, without the final dot.
    pub(crate) fn body(&self, number: u64) -> &[u8] {
        self.text.body(number, self.sizes.of(self.seed, number))
    }
}

fn counts(recipients: &Recipients) -> anyhow::Result<Weighted<u32>> {
    let list: Vec<_> = match recipients {
        Recipients::Fixed(count) => vec![(*count, 1.0)],
        Recipients::Weighted(list) => {
            list.iter().map(|entry| (entry.count, entry.weight)).collect()
        }
    };
    for (count, _) in &list {
        ensure!((1..=1_000).contains(count), "a message has 1 to 1000 recipients, not {count}");
    }
    Weighted::new(&list)
}

fn class(class: &DomainClass) -> anyhow::Result<Class> {
    let name = &class.name;
    let is_name = !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit());
    ensure!(
        is_name && name != GOOD,
        "sink.domain: the name \"{name}\" must be small letters and digits, and not \"{GOOD}\""
    );
    let range =
        DomainRange::parse(&class.domains).with_context(|| format!("sink.domain {name}"))?;
    Ok(Class { name: name.clone(), range })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domains::Domains;
    use crate::load::WeightedCount;

    fn plan(load: &Load) -> Plan {
        let slow =
            DomainClass { name: "slow".into(), domains: "0..2".into(), ..DomainClass::default() };
        Plan::new(load, &[slow], 0xab).unwrap()
    }

    #[test]
    fn commands_name_each_recipient_and_its_class() {
        let load = Load {
            recipients: Recipients::Fixed(3),
            domains: Domains::InTurn(10),
            ..Load::default()
        };
        let mut out = Vec::new();
        plan(&load).push_commands(&mut out, 10);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "MAIL FROM:<load.ab.10@source.example>\r\n\
             RCPT TO:<user0.ab.10@d0.slow.example>\r\n\
             RCPT TO:<user1.ab.10@d1.slow.example>\r\n\
             RCPT TO:<user2.ab.10@d2.example>\r\nDATA\r\n"
        );
    }

    #[test]
    fn slots_are_apart_and_end_with_the_last_recipient() {
        let weighted = |count| WeightedCount { count, weight: 1.0 };
        let load = Load {
            messages: 3,
            recipients: Recipients::Weighted(vec![weighted(1), weighted(4)]),
            ..Load::default()
        };
        let plan = plan(&load);
        assert_eq!(
            (plan.slot(0, 3), plan.slot(1, 0), plan.slot(2, 3)),
            (Some(3), Some(4), Some(11))
        );
        assert_eq!((plan.slot(3, 0), plan.slot(0, 4)), (None, None));
        let counts: std::collections::BTreeSet<_> = (0..50).map(|n| plan.recipients(n)).collect();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn the_class_of_each_domain_is_known() {
        let plan = plan(&Load::default());
        assert_eq!([0, 1, 2].map(|domain| plan.class(domain)), [1, 1, 0]);
        assert_eq!(plan.class_names(), ["good", "slow"]);
    }

    #[test]
    fn a_load_without_sense_is_refused() {
        for bad in [
            Load { connections: 0, ..Load::default() },
            Load { messages: 1 << 29, ..Load::default() },
            Load { recipients: Recipients::Fixed(0), ..Load::default() },
        ] {
            assert!(Plan::new(&bad, &[], 1).is_err(), "{bad:?}");
        }
        for name in ["", "good", "a.b", "Slow"] {
            let class =
                DomainClass { name: name.into(), domains: "0".into(), ..Default::default() };
            assert!(Plan::new(&Load::default(), &[class], 1).is_err(), "{name}");
        }
    }
}
