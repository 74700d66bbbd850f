//! The beginning of content that comes in pieces.

/// Where the body begins, behind the first empty line; none if all of it is header.
pub fn body_at(content: &[u8]) -> Option<usize> {
    body_at_from(content, 0)
}

/// The same, if the empty line does not lie before `from` altogether.
fn body_at_from(content: &[u8], from: usize) -> Option<usize> {
    if content.starts_with(b"\r\n") {
        return Some(2);
    }
    let rest = content.get(from..)?;
    let at = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(from.saturating_add(at).saturating_add(4))
}

/// Content put together from its beginning until its header has come.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    octets: Vec<u8>,
    body_at: Option<usize>,
}

impl Beginning {
    /// Takes the next piece. Each octet is looked at about once, however it is cut.
    pub fn push(&mut self, piece: &[u8]) {
        // The empty line may begin in the pieces before.
        let from = self.octets.len().saturating_sub(3);
        self.octets.extend_from_slice(piece);
        self.body_at = self.body_at.or_else(|| body_at_from(&self.octets, from));
    }

    /// All that came.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The same, kept.
    pub fn into_octets(self) -> Vec<u8> {
        self.octets
    }

    /// Where the body begins, once its header has come.
    pub const fn body_at(&self) -> Option<usize> {
        self.body_at
    }

    /// The fields with their line ends, as far as they came.
    pub fn fields(&self) -> &[u8] {
        let end = self.body_at.map_or(self.octets.len(), |at| at.saturating_sub(2));
        self.octets.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the content is cut, the same header is found.
    #[test]
    fn the_header_ends_at_the_first_empty_line() {
        for (content, fields, body) in [
            ("A: b\r\nC: d\r\n\r\nBody\r\n\r\nE: f\r\n", "A: b\r\nC: d\r\n", Some(14)),
            ("\r\nBody\r\n", "", Some(2)),
            ("A: b\r\n", "A: b\r\n", None),
            ("A: b\r\n\r\n", "A: b\r\n", Some(8)),
            ("", "", None),
        ] {
            assert_eq!(body_at(content.as_bytes()), body, "{content:?}");
            for size in 1..=content.len().max(1) {
                let mut beginning = Beginning::default();
                content.as_bytes().chunks(size).for_each(|piece| beginning.push(piece));
                assert_eq!(beginning.octets(), content.as_bytes());
                assert_eq!(beginning.body_at(), body, "{content:?} by {size}");
                assert_eq!(beginning.fields(), fields.as_bytes(), "{content:?} by {size}");
            }
        }
    }
}
