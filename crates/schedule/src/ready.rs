//! Entries of a destination that may go, in lines by how urgent they are.

use crate::entry::{Record, Urgency};
use crate::list::List;
use crate::slab::Slab;

/// Turns after which it begins anew which line is asked first.
const TURNS: u8 = 16;

/// Entries of a destination that may go; oldest try first within each line.
///
/// While all lines wait, twelve of sixteen turns are the urgent ones', three the usual ones', one the patient ones': so
/// nobody waits for ever.
#[derive(Debug)]
pub(crate) struct Ready {
    usual: Line,
    /// None while all are usual, as at nearly all destinations nearly always.
    others: Option<Box<Others>>,
}

#[derive(Debug, Default)]
struct Others {
    urgent: Line,
    patient: Line,
    turns: u8,
}

#[derive(Debug, Default)]
struct Line {
    list: List,
    /// Entries in front of which it is still to be looked whether they are past their deadline.
    unseen: u32,
}

impl Ready {
    pub(crate) const fn new() -> Self {
        Self { usual: Line { list: List::new(), unseen: 0 }, others: None }
    }

    pub(crate) fn len(&self) -> u32 {
        let others = self
            .others
            .as_deref()
            .map_or(0, |others| others.urgent.list.len().saturating_add(others.patient.list.len()));
        self.usual.list.len().saturating_add(others)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        // The other lines go with their last entry.
        self.usual.list.is_empty() && self.others.is_none()
    }

    pub(crate) fn push_back(&mut self, key: u32, all: &mut Slab<Record>) {
        self.line_of(all[key].urgency).list.push_back(key, all);
    }

    /// Puts back what was taken; it goes first of its line.
    pub(crate) fn push_front(&mut self, key: u32, all: &mut Slab<Record>) {
        let line = self.line_of(all[key].urgency);
        line.list.push_front(key, all);
        if line.unseen > 0 {
            line.unseen = line.unseen.saturating_add(1);
        }
    }

    /// Takes `key` out; it must be in.
    pub(crate) fn remove(&mut self, key: u32, all: &mut Slab<Record>) {
        self.line_of(all[key].urgency).list.remove(key, all);
        self.tidy();
    }

    /// Takes out the entry whose turn it is.
    pub(crate) fn pop(&mut self, all: &mut Slab<Record>) -> Option<u32> {
        let Some(others) = self.others.as_deref_mut() else {
            return self.usual.list.pop_front(all);
        };
        let turn = others.turns;
        others.turns = turn.saturating_add(1) % TURNS;
        let Others { urgent, patient, .. } = others;
        let usual = &mut self.usual;
        let order = match turn {
            3 | 7 | 11 => [usual, urgent, patient],
            15 => [patient, urgent, usual],
            _ => [urgent, usual, patient],
        };
        let key = order.into_iter().find_map(|line| line.list.pop_front(all));
        self.tidy();
        key
    }

    /// Begins to look at all of them.
    pub(crate) fn begin_to_look(&mut self) {
        self.each_line(|line| line.unseen = line.list.len());
    }

    /// Whether some are still to be looked at.
    pub(crate) fn is_looking(&self) -> bool {
        let others = self.others.as_deref();
        self.usual.unseen > 0
            || others.is_some_and(|it| it.urgent.unseen > 0 || it.patient.unseen > 0)
    }

    /// The next one to look at; it counts as looked at, and is to be removed or moved to the end. None if there is none.
    pub(crate) fn next_unseen(&mut self) -> Option<u32> {
        let mut found = None;
        self.each_line(|line| {
            if found.is_none() && line.unseen > 0 {
                found = line.list.first();
                line.unseen = if found.is_some() { line.unseen.saturating_sub(1) } else { 0 };
            }
        });
        found
    }

    /// Moves an entry to the end of its line.
    pub(crate) fn move_back(&mut self, key: u32, all: &mut Slab<Record>) {
        let line = self.line_of(all[key].urgency);
        line.list.remove(key, all);
        line.list.push_back(key, all);
    }

    fn line_of(&mut self, urgency: Urgency) -> &mut Line {
        let others = &mut self.others;
        match urgency {
            Urgency::Usual => &mut self.usual,
            Urgency::Urgent => &mut others.get_or_insert_default().urgent,
            Urgency::Patient => &mut others.get_or_insert_default().patient,
        }
    }

    fn each_line(&mut self, mut act: impl FnMut(&mut Line)) {
        if let Some(others) = self.others.as_deref_mut() {
            act(&mut others.urgent);
            act(&mut others.patient);
        }
        act(&mut self.usual);
    }

    /// Lets go of lines that nobody stands in.
    fn tidy(&mut self) {
        self.others.take_if(|it| it.urgent.list.is_empty() && it.patient.list.is_empty());
    }

    #[cfg(test)]
    pub(crate) fn keys(&self, all: &Slab<Record>) -> Vec<u32> {
        let others = self.others.as_deref();
        let mut keys = others.map_or_else(Vec::new, |it| it.urgent.list.keys(all));
        keys.extend(self.usual.list.keys(all));
        keys.extend(others.map_or_else(Vec::new, |it| it.patient.list.keys(all)));
        keys
    }
}
