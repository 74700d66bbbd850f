//! Destinations that have something to give, in the order in which they are asked.

use std::collections::BTreeMap;
use std::mem::size_of;

use crate::list::List;
use crate::place::{Place, Turn};
use crate::slab::Slab;
use crate::slots::Pace;

/// Destinations that have something to give.
///
/// Each stands in a line. Brisk ones stand in one line; new and slow ones in lines by how many slots
/// they hold, and who holds fewest is asked first.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// By pace.
    lines: [BTreeMap<u32, List>; Pace::ALL.len()],
    turns: u64,
}

impl Round {
    /// Whether nobody has anything to give.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.iter().all(BTreeMap::is_empty)
    }

    /// Puts a destination where it belongs now, or takes it out if it has nothing to give.
    pub(crate) fn place(&mut self, key: u32, places: &mut Slab<Place>) {
        let place = &places[key];
        let turn = place.turn;
        let line = if place.pace == Pace::Brisk { 0 } else { place.in_flight };
        let stands = turn.is_some_and(|turn| (turn.pace, turn.line) == (place.pace, line));
        if place.has_due() {
            if !stands {
                let number = turn.map(|turn| turn.number);
                self.remove(key, places);
                self.insert(key, line, number, places);
            }
        } else {
            self.remove(key, places);
        }
    }

    fn insert(&mut self, key: u32, line: u32, number: Option<u64>, places: &mut Slab<Place>) {
        let number = number.unwrap_or_else(|| {
            self.turns = self.turns.saturating_add(1);
            self.turns
        });
        let pace = places[key].pace;
        places[key].turn = Some(Turn { number, pace, line });
        self.lines_of(pace).entry(line).or_default().push_back(key, places);
    }

    /// Takes a destination out, if it is in: its turn is over.
    pub(crate) fn remove(&mut self, key: u32, places: &mut Slab<Place>) {
        let Some(turn) = places[key].turn.take() else { return };
        let lines = self.lines_of(turn.pace);
        let Some(line) = lines.get_mut(&turn.line) else { return };
        line.remove(key, places);
        if line.is_empty() {
            lines.remove(&turn.line);
        }
    }

    /// The first destinations of each pace.
    pub(crate) fn firsts(&self) -> impl Iterator<Item = u32> {
        self.lines.iter().filter_map(|lines| lines.values().next()?.first())
    }

    const fn lines_of(&mut self, pace: Pace) -> &mut BTreeMap<u32, List> {
        let [new, brisk, slow] = &mut self.lines;
        match pace {
            Pace::New => new,
            Pace::Brisk => brisk,
            Pace::Slow => slow,
        }
    }

    /// Memory held, about.
    pub(crate) fn octets(&self) -> usize {
        self.lines.iter().map(|lines| lines.len() * size_of::<(u32, List)>() * 3 / 2).sum()
    }

    #[cfg(test)]
    pub(crate) fn keys(&self, places: &Slab<Place>) -> Vec<u32> {
        self.lines.iter().flat_map(|lines| lines.values()).flat_map(|it| it.keys(places)).collect()
    }
}
