//! Lists through values of a slab, which cost no memory of their own.

use crate::slab::{NONE, Slab};

/// Neighbours in the list that a value stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    before: u32,
    behind: u32,
}

impl Links {
    pub(crate) const NONE: Self = Self { before: NONE, behind: NONE };
}

/// A value that can stand in one list at a time.
pub(crate) trait Linked {
    fn links(&self) -> Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// A list through the values themselves: first in, first out, and any may leave.
#[derive(Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    pub(crate) const fn new() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    pub(crate) fn push_back(&mut self, key: u32, all: &mut Slab<impl Linked>) {
        *all[key].links_mut() = Links { before: self.last, behind: NONE };
        if self.last == NONE {
            self.first = key;
        } else {
            all[self.last].links_mut().behind = key;
        }
        self.last = key;
        self.len = self.len.saturating_add(1);
    }

    pub(crate) fn push_front(&mut self, key: u32, all: &mut Slab<impl Linked>) {
        *all[key].links_mut() = Links { before: NONE, behind: self.first };
        if self.first == NONE {
            self.last = key;
        } else {
            all[self.first].links_mut().before = key;
        }
        self.first = key;
        self.len = self.len.saturating_add(1);
    }

    /// Takes `key` out; it must be in this list.
    pub(crate) fn remove(&mut self, key: u32, all: &mut Slab<impl Linked>) {
        let Links { before, behind } = all[key].links();
        if before == NONE {
            self.first = behind;
        } else {
            all[before].links_mut().behind = behind;
        }
        if behind == NONE {
            self.last = before;
        } else {
            all[behind].links_mut().before = before;
        }
        *all[key].links_mut() = Links::NONE;
        self.len = self.len.saturating_sub(1);
    }

    pub(crate) fn pop_front(&mut self, all: &mut Slab<impl Linked>) -> Option<u32> {
        let key = self.first()?;
        self.remove(key, all);
        Some(key)
    }

    #[cfg(test)]
    pub(crate) fn keys(&self, all: &Slab<impl Linked>) -> Vec<u32> {
        let behind = |key: &u32| Some(all[*key].links().behind).filter(|key| *key != NONE);
        std::iter::successors(self.first(), behind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Value(Links);

    impl Linked for Value {
        fn links(&self) -> Links {
            self.0
        }

        fn links_mut(&mut self) -> &mut Links {
            &mut self.0
        }
    }

    #[test]
    fn any_value_may_leave_a_list() {
        let mut all = Slab::new();
        let keys: Vec<_> = (0..5).map(|_| all.insert(Value(Links::NONE)).unwrap()).collect();
        let mut list = List::new();
        for key in &keys {
            list.push_back(*key, &mut all);
        }
        list.remove(keys[2], &mut all);
        list.remove(keys[4], &mut all);
        list.push_front(keys[4], &mut all);
        assert_eq!(list.keys(&all), [keys[4], keys[0], keys[1], keys[3]]);
        list.remove(keys[4], &mut all);
        assert_eq!(list.pop_front(&mut all), Some(keys[0]));
        assert_eq!(list.pop_front(&mut all), Some(keys[1]));
        assert_eq!(list.pop_front(&mut all), Some(keys[3]));
        assert_eq!((list.pop_front(&mut all), list.len()), (None, 0));
    }
}
