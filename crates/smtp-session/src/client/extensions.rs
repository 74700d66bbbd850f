//! What the server offered.

/// The extensions of an EHLO reply that matter to a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for one EHLO line")]
pub struct Extensions {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE, and the largest message if it said one (RFC 1870).
    pub size: Option<Option<u64>>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
}

impl Extensions {
    /// Reads the lines of an EHLO reply's text. The first is the server's name and says nothing; unknown ones are
    /// passed over.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for line in lines.into_iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default();
            let is = |name: &str| keyword.eq_ignore_ascii_case(name);
            if is("PIPELINING") {
                found.pipelining = true;
            } else if is("SIZE") {
                let octets_max = words.next().and_then(|word| word.parse().ok());
                found.size = Some(octets_max.filter(|octets| *octets > 0));
            } else if is("8BITMIME") {
                found.eight_bit_mime = true;
            } else if is("SMTPUTF8") {
                found.smtputf8 = true;
            } else if is("STARTTLS") {
                found.starttls = true;
            } else if is("CHUNKING") {
                found.chunking = true;
            } else if is("ENHANCEDSTATUSCODES") {
                found.enhanced_status_codes = true;
            } else if is("DSN") {
                found.dsn = true;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_a_name() {
        let found = Extensions::parse([
            "SMTPUTF8 greets you",
            "PIPELINING",
            "size 1000",
            "8BITMIME",
            "XFOO bar",
        ]);
        let want = Extensions {
            pipelining: true,
            size: Some(Some(1000)),
            eight_bit_mime: true,
            ..Extensions::default()
        };
        assert_eq!(found, want);
    }

    #[test]
    fn size_without_or_with_zero_is_no_limit() {
        for line in ["SIZE", "SIZE 0", "SIZE x"] {
            assert_eq!(Extensions::parse(["a", line]).size, Some(None), "{line}");
        }
        assert_eq!(Extensions::parse(["a"]).size, None);
    }
}
