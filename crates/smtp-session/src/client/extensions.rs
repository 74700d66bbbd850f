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
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689). Whoever has not verified the server's certificate takes it back.
    pub require_tls: bool,
    /// DELIVERBY, and the least seconds with return; zero if it said none (RFC 2852).
    pub deliver_by: Option<u32>,
    /// MT-PRIORITY (RFC 6710).
    pub mt_priority: bool,
    /// AUTH (RFC 4954). Whoever has not logged in takes it back.
    pub auth: bool,
    /// What LIMITS says (RFC 9422).
    pub limits: Limits,
}

/// What a server takes at a time (RFC 9422); none where it did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Recipients of a transaction.
    pub recipients_max: Option<u32>,
    /// Transactions of a connection.
    pub mails_max: Option<u32>,
    /// Domains of the recipients of a transaction.
    pub domains_max: Option<u32>,
}

impl Extensions {
    /// Reads the lines of an EHLO reply's text. The first is the server's name and says nothing; unknown ones are
    /// passed over.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for line in lines.into_iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default();
            found.take(keyword, words);
        }
        found
    }

    fn take<'a>(&mut self, keyword: &str, mut words: impl Iterator<Item = &'a str>) {
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is("PIPELINING") {
            self.pipelining = true;
        } else if is("SIZE") {
            let octets_max = words.next().and_then(|word| word.parse().ok());
            self.size = Some(octets_max.filter(|octets| *octets > 0));
        } else if is("8BITMIME") {
            self.eight_bit_mime = true;
        } else if is("SMTPUTF8") {
            self.smtputf8 = true;
        } else if is("STARTTLS") {
            self.starttls = true;
        } else if is("CHUNKING") {
            self.chunking = true;
        } else if is("BINARYMIME") {
            self.binary_mime = true;
        } else if is("ENHANCEDSTATUSCODES") {
            self.enhanced_status_codes = true;
        } else if is("DSN") {
            self.dsn = true;
        } else if is("REQUIRETLS") {
            self.require_tls = true;
        } else if is("DELIVERBY") {
            // A list with commas of which one entry is known.
            let least = words.next().and_then(|word| word.split(',').next()?.parse().ok());
            self.deliver_by = Some(least.unwrap_or(0));
        } else if is("MT-PRIORITY") {
            self.mt_priority = true;
        } else if is("AUTH") {
            self.auth = true;
        } else if is("LIMITS") {
            words.for_each(|word| self.limits.take(word));
        }
    }
}

impl Limits {
    /// Reads `NAME=value`; others are passed over (RFC 9422 §4).
    fn take(&mut self, word: &str) {
        let Some((name, value)) = word.split_once('=') else { return };
        let limit = value.parse().ok().filter(|limit| *limit > 0);
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("RCPTMAX") {
            self.recipients_max = limit;
        } else if is("MAILMAX") {
            self.mails_max = limit;
        } else if is("RCPTDOMAINMAX") {
            self.domains_max = limit;
        }
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

    #[test]
    fn values_are_read() {
        let limits = |line| Extensions::parse(["a", line]).limits;
        let limit = |recipients_max, mails_max, domains_max| Limits {
            recipients_max,
            mails_max,
            domains_max,
        };
        let all = "LIMITS rcptmax=100 MAILMAX=5 RCPTDOMAINMAX=1 FOO=1";
        assert_eq!(limits(all), limit(Some(100), Some(5), Some(1)));
        assert_eq!(limits("LIMITS RCPTMAX=0 MAILMAX=x RCPTDOMAINMAX"), limit(None, None, None));
        for (line, want) in [
            ("DELIVERBY", Some(0)),
            ("deliverby 240", Some(240)),
            ("DELIVERBY 240,x", Some(240)),
            ("DELIVERBY x", Some(0)),
            ("DELIVER", None),
        ] {
            assert_eq!(Extensions::parse(["a", line]).deliver_by, want, "{line}");
        }
    }
}
