//! Sets of addresses and domains, small enough for millions.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use crate::rules::canonical::{Canonical, member_entry};

/// A set of addresses and domains, as a group of the settings has them.
///
/// All texts stand in one piece of memory; a table says where each begins. That is 8 to 13 octets a member besides its
/// text.
#[derive(Clone, Default)]
pub struct Members {
    /// Each entry: its length in two octets, then the text.
    pool: Vec<u8>,
    /// Where an entry begins, and one more; zero is free. The length is a power of two.
    slots: Vec<u32>,
    count: usize,
    hasher: RandomState,
}

/// Why a text is no member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// It is something else.
    #[error("`{0}` is not an address, `@` and a domain, or `*.` and a domain")]
    Form(Box<str>),
    /// All texts together take more than 4 GiB.
    #[error("a group holds at most 4 GiB of addresses")]
    TooMany,
}

/// Which line of a file is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct LineError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub error: MemberError,
}

const SLOTS_MIN: usize = 8;
const LENGTH_OCTETS: usize = 2;

impl Members {
    /// Adds an address, `@example.com` or `*.example.com`.
    ///
    /// # Errors
    /// When it is none of these; the set stays as it was.
    pub fn insert(&mut self, text: &str) -> Result<(), MemberError> {
        let entry = member_entry(text).ok_or_else(|| MemberError::Form(text.into()))?;
        self.insert_entry(&entry)
    }

    /// Adds what stands in a file, one a line; empty lines and comments behind `#` do not count.
    ///
    /// # Errors
    /// When a line is no member; the lines before it are in the set.
    pub fn insert_lines(&mut self, text: &str) -> Result<(), LineError> {
        for (number, line) in text.lines().enumerate() {
            let line = without_comment(line).trim();
            if !line.is_empty() {
                self.insert(line).map_err(|error| LineError { line: number + 1, error })?;
            }
        }
        self.pool.shrink_to_fit();
        Ok(())
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What it takes of memory, in octets.
    pub const fn octets(&self) -> usize {
        self.pool.capacity() + self.slots.capacity() * size_of::<u32>()
    }

    /// A set of these entries, which are canonical.
    pub(crate) fn of_entries(
        entries: impl IntoIterator<Item = String>,
    ) -> Result<Self, MemberError> {
        let mut members = Self::default();
        for entry in entries {
            members.insert_entry(&entry)?;
        }
        Ok(members)
    }

    /// Whether the address, or a domain that it belongs to, is a member.
    pub(crate) fn contains(&self, who: &Canonical) -> bool {
        who.keys().any(|key| self.has_entry(key))
    }

    /// All entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &str> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let entry = self.entry(at)?;
            at = at.saturating_add(LENGTH_OCTETS + entry.len());
            str::from_utf8(entry).ok()
        })
    }

    /// Whether just this entry is in it.
    pub(crate) fn has_entry(&self, entry: &str) -> bool {
        matches!(self.place(entry.as_bytes()), Place::Taken)
    }

    fn insert_entry(&mut self, entry: &str) -> Result<(), MemberError> {
        // At most three of four slots are taken.
        if self.count.saturating_mul(4) >= self.slots.len().saturating_mul(3) {
            self.grow();
        }
        let Place::Free(slot) = self.place(entry.as_bytes()) else { return Ok(()) };
        let at = u32::try_from(self.pool.len() + 1).map_err(|_| MemberError::TooMany)?;
        let length = u16::try_from(entry.len()).map_err(|_| MemberError::Form(entry.into()))?;
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = at;
        }
        self.pool.extend_from_slice(&length.to_le_bytes());
        self.pool.extend_from_slice(entry.as_bytes());
        self.count += 1;
        Ok(())
    }

    fn grow(&mut self) {
        let slots = self.slots.len().saturating_mul(2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        for at in old.into_iter().filter(|at| *at != 0) {
            let Some(entry) = self.entry(at as usize - 1) else { continue };
            let Place::Free(slot) = self.place(entry) else { continue };
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = at;
            }
        }
    }

    fn place(&self, entry: &[u8]) -> Place {
        let Some(mask) = self.slots.len().checked_sub(1) else { return Place::None };
        let hash = self.hasher.hash_one(entry);
        #[expect(clippy::cast_possible_truncation, reason = "the mask takes the low bits anyway")]
        let mut slot = hash as usize & mask;
        loop {
            match self.slots.get(slot) {
                None => return Place::None,
                Some(0) => return Place::Free(slot),
                Some(at) if self.entry(*at as usize - 1) == Some(entry) => return Place::Taken,
                Some(_) => slot = (slot + 1) & mask,
            }
        }
    }

    fn entry(&self, at: usize) -> Option<&[u8]> {
        let (length, rest) = self.pool.get(at..)?.split_first_chunk::<LENGTH_OCTETS>()?;
        rest.get(..usize::from(u16::from_le_bytes(*length)))
    }
}

enum Place {
    /// There is no table yet.
    None,
    Free(usize),
    Taken,
}

/// A `#` begins a comment at the start and behind a space; others may stand in an address.
fn without_comment(line: &str) -> &str {
    let starts =
        |at: usize| line.get(..at).is_some_and(|it| it.is_empty() || it.ends_with([' ', '\t']));
    let comment = line.match_indices('#').map(|(at, _)| at).find(|at| starts(*at));
    comment.and_then(|at| line.get(..at)).unwrap_or(line)
}

impl fmt::Debug for Members {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Members({})", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(members: &Members, address: &str) -> bool {
        members.contains(&Canonical::of_text(address))
    }

    #[test]
    fn addresses_and_domains_are_found_in_any_case() {
        let mut members = Members::default();
        assert!(!has(&members, "a@b.example"));
        let text = "# staff\nAlice@Example.com\n\n @partner.example # all of them\n*.deep.example\n\
            a#b@example.com\r\nbücher@bücher.example\nalice@example.COM\n";
        members.insert_lines(text).unwrap();
        assert_eq!(members.len(), 5);
        for (address, want) in [
            ("ALICE@example.com", true),
            ("bob@example.com", false),
            ("bob@Partner.example", true),
            ("bob@sub.partner.example", false),
            ("bob@x.y.deep.example", true),
            ("bob@deep.example", false),
            ("a#b@example.com", true),
            ("BÜCHER@xn--bcher-kva.example", true),
            ("alice@example.com.evil.example", false),
        ] {
            assert_eq!(has(&members, address), want, "{address}");
        }
        assert_eq!(members.entries().count(), 5);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = Members::default().insert_lines("a@b.example\n\nnobody\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 3: `nobody` is not an address, `@` and a domain, or `*.` and a domain"
        );
    }

    #[test]
    fn many_members_take_little_besides_their_text() {
        let lines: Vec<_> = (0..100_000).map(|n| format!("user{n}@example.com\n")).collect();
        let text = lines.concat();
        let mut members = Members::default();
        members.insert_lines(&text).unwrap();
        assert_eq!(members.len(), 100_000);
        assert!(has(&members, "user99999@example.com") && !has(&members, "user100000@example.com"));
        let besides = members.octets() - (text.len() - 100_000);
        assert!(besides / 100_000 <= 16, "{besides}");
    }
}
