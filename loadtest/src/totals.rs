//! The sums of a run, from the tally of each message and recipient.

use crate::sink::Sink;
use crate::tally::{Fate, Slot, Tally};

/// What came of recipients, all or those of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Recipients that the relay accepted.
    pub(crate) recipients: u64,
    /// Of these, those that have their message; those of messages in doubt that have it count too.
    pub(crate) delivered: u64,
    /// Copies beyond the first, and copies of what the relay had refused.
    pub(crate) duplicates: u64,
    /// Recipients that the sink's script refused for good.
    pub(crate) rejected: u64,
    /// Of these, those that no report named.
    pub(crate) unreported: u64,
    /// Recipients that got nothing and that a report named, though the script did not refuse them.
    pub(crate) returned: u64,
    /// Recipients that the script never takes and never refuses for good.
    pub(crate) withheld: u64,
    /// Recipients that got nothing, and nobody was told.
    pub(crate) lost: u64,
}

/// What became of messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) in_doubt: u64,
    /// Messages of which each recipient that the relay accepted has a copy.
    pub(crate) delivered_messages: u64,
    pub(crate) all: Totals,
    /// By class.
    pub(crate) classes: Vec<Totals>,
}

/// Who knows what became of messages at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// This program sends.
    Here,
    /// Another sends: all messages of the plan count as accepted.
    Elsewhere,
}

impl Sums {
    /// Counts everything; `sink` knows what the script withholds, without it nothing is.
    pub(crate) fn count(tally: &Tally, sink: Option<&Sink>, sending: Sending) -> Self {
        let plan = &tally.plan;
        let classes = plan.class_names().len();
        let mut sums = Self { classes: vec![Totals::default(); classes], ..Self::default() };
        for number in 0..plan.messages {
            let fate = match sending {
                Sending::Here => tally.fate(number),
                Sending::Elsewhere => Fate::Accepted,
            };
            let mut missing = 0;
            for place in 0..plan.recipients(number) {
                let class = if classes > 1 { plan.class(plan.domain(number, place)) } else { 0 };
                let slot = tally.slot(number, place);
                let withheld = || sink.is_some_and(|sink| sink.is_withheld(number, place));
                let totals = Totals::of(fate, slot, withheld);
                missing += totals.recipients.saturating_sub(totals.delivered);
                sums.all.add(totals);
                if let Some(sum) = sums.classes.get_mut(class) {
                    sum.add(totals);
                }
            }
            match fate {
                Fate::Unsent => {}
                Fate::InDoubt => sums.in_doubt += 1,
                Fate::Refused => sums.refused += 1,
                Fate::Accepted => {
                    sums.accepted += 1;
                    sums.delivered_messages += u64::from(missing == 0);
                }
            }
        }
        sums
    }

    /// Whether nothing is awaited any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.all.lost == 0 && self.all.unreported == 0
    }
}

impl Totals {
    /// What came of one recipient.
    fn of(fate: Fate, slot: Slot, withheld: impl FnOnce() -> bool) -> Self {
        let copies = slot.copies();
        let is_taken = fate == Fate::Accepted && !slot.is_declined();
        if !is_taken && fate != Fate::InDoubt {
            // What the relay refused will be sent again by whoever it refused.
            return Self { duplicates: copies, ..Self::default() };
        }
        let sum = Self {
            recipients: u64::from(is_taken),
            delivered: copies.min(1),
            duplicates: copies.saturating_sub(1),
            ..Self::default()
        };
        if copies > 0 || !is_taken {
            sum
        } else if slot.is_rejected() {
            Self { rejected: 1, unreported: u64::from(!slot.is_reported()), ..sum }
        } else if slot.is_reported() {
            Self { returned: 1, ..sum }
        } else if withheld() {
            Self { withheld: 1, ..sum }
        } else {
            Self { lost: 1, ..sum }
        }
    }

    fn add(&mut self, other: Self) {
        self.recipients += other.recipients;
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.unreported += other.unreported;
        self.returned += other.returned;
        self.withheld += other.withheld;
        self.lost += other.lost;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use units::Clock;

    use super::*;
    use crate::load::{Load, Recipients};
    use crate::plan::Plan;

    /// A message with one recipient for each of what may happen to it.
    #[test]
    fn each_recipient_is_counted_as_what_came_of_it() {
        let load = Load { messages: 9, recipients: Recipients::Fixed(2), ..Load::default() };
        let plan = Plan::new(&load, &[], 1).unwrap();
        let tally = Tally::new(plan, &Arc::default(), &Clock::system()).unwrap();
        for number in 0..8 {
            let fate = match number {
                6 => Fate::InDoubt,
                7 => Fate::Refused,
                _ => Fate::Accepted,
            };
            tally.decide(number, fate);
        }
        let both = &[(0, 0), (1, 0)];
        tally.arrive(0, both, 0);
        tally.arrive(1, both, 0);
        tally.arrive(1, &[(1, 0)], 0);
        // Message 2 is lost for one recipient, 3 was declined for one, 4 rejected for both and reported for one.
        tally.arrive(2, &[(1, 0)], 0);
        tally.decline(3, 0);
        tally.arrive(3, &[(1, 0)], 0);
        tally.reject(4, 0);
        tally.reject(4, 1);
        tally.report(4, 1);
        // Message 5 came back, 6 is in doubt and came twice for one, 7 was refused and came, 8 was not sent.
        tally.report(5, 0);
        tally.report(5, 1);
        tally.arrive(6, &[(0, 0), (0, 0)], 0);
        tally.arrive(7, &[(0, 0)], 0);
        let sums = Sums::count(&tally, None, Sending::Here);
        let want = Totals {
            recipients: 11,
            delivered: 7,
            duplicates: 3,
            rejected: 2,
            unreported: 1,
            returned: 2,
            withheld: 0,
            lost: 1,
        };
        assert_eq!((sums.all, sums.classes.as_slice()), (want, &[want][..]));
        let messages = (sums.accepted, sums.refused, sums.in_doubt, sums.delivered_messages);
        assert_eq!(messages, (6, 1, 1, 3));
        assert!(!sums.is_settled());
        let elsewhere = Sums::count(&tally, None, Sending::Elsewhere);
        assert_eq!((elsewhere.accepted, elsewhere.all.recipients), (9, 17));
    }
}
