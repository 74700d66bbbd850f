//! From whom an account may send.

use std::fmt;
use std::sync::Arc;

use mail::{Address, Domain, ReversePath};

/// From whom an account may send. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Senders(Arc<[Pattern]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Anybody,
    Nobody,
    Address(Address, Domain),
    Domain(Domain),
    /// Domains below this one.
    Below(Domain),
}

/// A text that names no sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("names no sender: write an address, a domain, `*.` and a domain, `<>` or `*`")]
pub struct SendersError {
    /// Which of the texts.
    pub number: usize,
}

impl Senders {
    /// Reads `alice@example.com`, `example.com` or `*@example.com`, `*.example.com`, `<>` and `*`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, SendersError> {
        let texts = texts.into_iter().enumerate();
        texts
            .map(|(number, text)| pattern(text).ok_or(SendersError { number }))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `sender` is among them. Local parts are compared without case, as hosts do.
    pub fn allow(&self, sender: &ReversePath) -> bool {
        let Some(address) = sender.address() else {
            return self
                .0
                .iter()
                .any(|pattern| matches!(pattern, Pattern::Nobody | Pattern::Anybody));
        };
        let domain = address.domain();
        self.0.iter().any(|pattern| match (pattern, &domain) {
            (Pattern::Anybody, _) => true,
            (Pattern::Address(mine, mine_at), Some(domain)) => {
                mine_at == domain && mine.local_part().eq_ignore_ascii_case(address.local_part())
            }
            (Pattern::Domain(mine), Some(domain)) => mine == domain,
            (Pattern::Below(mine), Some(domain)) => {
                let above = domain.as_str().strip_suffix(mine.as_str());
                above.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (
                Pattern::Nobody | Pattern::Address(..) | Pattern::Domain(_) | Pattern::Below(_),
                _,
            ) => false,
        })
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    match text {
        "*" => Some(Pattern::Anybody),
        "<>" => Some(Pattern::Nobody),
        text if text.starts_with("*@") => {
            pattern(text.get(2..)?).filter(|it| matches!(it, Pattern::Domain(_)))
        }
        text if text.contains('@') => {
            let address = Address::parse(text).ok()?;
            let domain = address.domain()?;
            Some(Pattern::Address(address, domain))
        }
        text => match text.strip_prefix("*.") {
            Some(domain) => Domain::parse(domain).ok().map(Pattern::Below),
            None => Domain::parse(text).ok().map(Pattern::Domain),
        },
    }
}

impl fmt::Display for Senders {
    /// As they are written, with commas.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, pattern) in self.0.iter().enumerate() {
            out.write_str(if number > 0 { ", " } else { "" })?;
            match pattern {
                Pattern::Anybody => out.write_str("*")?,
                Pattern::Nobody => out.write_str("<>")?,
                Pattern::Address(address, _) => write!(out, "{address}")?,
                Pattern::Domain(domain) => write!(out, "{domain}")?,
                Pattern::Below(domain) => write!(out, "*.{domain}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Senders {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(texts: &[&str], sender: &str) -> bool {
        let path = match sender {
            "" => ReversePath::Null,
            text => ReversePath::Address(Address::parse(text).unwrap()),
        };
        Senders::parse(texts.iter().copied()).unwrap().allow(&path)
    }

    #[test]
    fn senders_are_matched() {
        for (texts, sender, want) in [
            (&["alice@example.com"][..], "Alice@EXAMPLE.com", true),
            (&["alice@example.com"], "bob@example.com", false),
            (&["alice@example.com"], "alice@sub.example.com", false),
            (&["example.com"], "anybody@example.com", true),
            (&["*@example.com"], "anybody@example.com", true),
            (&["example.com"], "anybody@sub.example.com", false),
            (&["*.example.com"], "a@b.c.example.com", true),
            (&["*.example.com"], "a@example.com", false),
            (&["*.example.com"], "a@evilexample.com", false),
            (&["other.example", "<>"], "", true),
            (&["example.com"], "", false),
            (&["example.com"], "postmaster", false),
            (&["*"], "a@b.example", true),
            (&["*"], "", true),
            (&[], "a@b.example", false),
        ] {
            assert_eq!(allows(texts, sender), want, "{sender} by {texts:?}");
        }
    }

    #[test]
    fn others_are_refused() {
        for bad in ["", "a@", "@b", "a b@c", "*.", "*@", "*@*", "*@<>", "-a.b", "*example.com"] {
            assert_eq!(
                Senders::parse(["ok.example", bad]),
                Err(SendersError { number: 1 }),
                "{bad}"
            );
        }
        let all = ["a@b.example", "b.example", "*.b.example", "<>", "*"];
        assert_eq!(Senders::parse(all).unwrap().to_string(), all.join(", "));
    }
}
