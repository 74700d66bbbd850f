//! Rows of the database, copied out of it into one piece of memory.

/// Rows in the order in which they were read: as the scan at start reads millions, none has memory of
/// its own.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    octets: Vec<u8>,
    /// Where each row's key and value end.
    ends: Vec<(usize, usize)>,
}

impl Rows {
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.octets.extend_from_slice(key);
        let key_end = self.octets.len();
        self.octets.extend_from_slice(value);
        self.ends.push((key_end, self.octets.len()));
    }

    pub(crate) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Each row's key and value.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let row = |at: usize, (key_end, end): (usize, usize)| {
            let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
            let start = start.map_or(0, |(_, end)| *end);
            let octets = |range| self.octets.get(range).unwrap_or_default();
            (octets(start..key_end), octets(key_end..end))
        };
        self.ends.iter().enumerate().map(move |(at, ends)| row(at, *ends))
    }

    pub(crate) fn first_key(&self) -> Option<&[u8]> {
        self.iter().next().map(|(key, _)| key)
    }

    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        self.iter().next_back().map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let mut rows = Rows::default();
        assert_eq!((rows.len(), rows.first_key()), (0, None));
        let all: [(&[u8], &[u8]); 4] = [(b"a", b"one"), (b"", b""), (b"cc", b""), (b"d", b"four")];
        for (key, value) in all {
            rows.push(key, value);
        }
        assert_eq!(rows.iter().collect::<Vec<_>>(), all);
        assert_eq!((rows.len(), rows.first_key()), (4, Some(&b"a"[..])));
        assert_eq!(rows.last_key(), Some(&b"d"[..]));
    }
}
