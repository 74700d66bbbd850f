//! Which recipients belong to which destination may change while messages are under way.

use std::collections::HashMap;

use mail::Destination;

/// When which recipients belong to which destination changed, counted in changes: a number tells before from after as
/// long as there were fewer than 65,536 since. A change that is longer ago may look later than it is, which costs no more
/// than a wait. So may the mark of an entry, and then what has changed since is missed: its attempt would have to last for
/// all these changes, which with one connector whose rate is of a second are nine hours.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// How many changes there were; zero only as long as there was none.
    count: u16,
    /// The last that may have moved any recipient.
    all: u16,
    /// By connector, the last that made its mail go another way or come back; those before the last of all are left out.
    connectors: HashMap<Box<str>, u16>,
}

impl Ways {
    /// What an entry is marked with that is handed out now.
    pub(crate) const fn now(&self) -> u16 {
        self.count
    }

    /// Notes that any recipient may have moved.
    pub(crate) fn changed(&mut self) {
        self.all = self.next();
        self.connectors.clear();
    }

    /// Notes that mail of the connector called `name` goes another way, or comes back to it.
    pub(crate) fn changed_at(&mut self, name: &str) {
        let change = self.next();
        self.connectors.insert(name.into(), change);
    }

    const fn next(&mut self) -> u16 {
        self.count = match self.count.wrapping_add(1) {
            0 => 1,
            count => count,
        };
        self.count
    }

    const fn is_later(&self, change: u16, mark: u16) -> bool {
        self.count.wrapping_sub(change) < self.count.wrapping_sub(mark)
    }

    /// Whether a recipient that belonged to `one` at `mark` may belong to `other` now.
    ///
    /// A connector takes mail over only from one that has become full, or because it is not full itself any more: so if
    /// neither has changed, nothing moved between them. And who goes by mail exchangers stays with those of its domain.
    pub(crate) fn may_have_moved(&self, mark: u16, one: &Destination, other: &Destination) -> bool {
        let has_changed = |destination: &Destination| {
            let change = self.connectors.get(destination.connector());
            change.is_some_and(|change| self.is_later(*change, mark))
        };
        let shares_domain = || one.domain().zip(other.domain()).is_none_or(|(one, two)| one == two);
        self.is_later(self.all, mark)
            || (shares_domain() && (has_changed(one) || has_changed(other)))
    }
}

#[cfg(test)]
mod tests {
    use mail::Domain;

    use super::*;

    #[test]
    fn only_what_changed_moves_and_only_within_its_domain() {
        let at = |name, domain| match domain {
            "" => Destination::smart_host(name),
            domain => Destination::exchangers(name, Domain::parse(domain).unwrap()),
        };
        let (ax, bx, by) = (at("a", "x.example"), at("b", "x.example"), at("b", "y.example"));
        let (c, d) = (at("c", ""), at("d", ""));
        let mut ways = Ways::default();
        assert!(!ways.may_have_moved(ways.now(), &ax, &bx));
        // Also where the count begins anew.
        for count in [0, u16::MAX - 1, u16::MAX] {
            (ways.count, ways.all) = (count, count);
            let before = ways.now();
            ways.changed_at("a");
            let after = ways.now();
            for (one, other, want) in [
                (&ax, &bx, true),
                (&bx, &ax, true),
                (&ax, &by, false),
                (&bx, &by, false),
                (&ax, &c, true),
                (&c, &ax, true),
                (&c, &d, false),
                (&bx, &c, false),
            ] {
                assert_eq!(ways.may_have_moved(before, one, other), want, "{one} {other} {count}");
                assert!(!ways.may_have_moved(after, one, other), "{one} {other} {count}");
            }
            ways.changed();
            assert!(ways.may_have_moved(after, &bx, &by), "{count}");
        }
    }
}
