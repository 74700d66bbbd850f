//! Addresses in the one spelling in which rules compare them.

use mail::{Address, Domain};

/// An address in lower case, with its domain in ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Canonical {
    text: Box<str>,
    /// Where the `@` stands.
    at: Option<usize>,
}

/// What stands for the empty sender.
pub(crate) const NULL: &str = "<>";
/// What stands for every address with a domain.
pub(crate) const ANY: &str = "*";

impl Canonical {
    /// That of an address of an envelope.
    pub(crate) fn of(address: &Address) -> Self {
        Self::join(address.local_part(), address.as_str().get(address.local_part().len() + 1..))
    }

    /// That of the empty sender.
    pub(crate) fn null() -> Self {
        Self { text: NULL.into(), at: None }
    }

    /// That of what a header calls an address, whatever it is.
    pub(crate) fn of_text(text: &str) -> Self {
        match text.rsplit_once('@') {
            Some((local, domain)) => Self::join(local, Some(domain)),
            None => Self::join(text, None),
        }
    }

    fn join(local: &str, domain: Option<&str>) -> Self {
        let mut text = String::with_capacity(local.len() + domain.map_or(0, |it| it.len() + 1));
        push_lower(&mut text, local);
        let at = domain.map(|domain| {
            let at = text.len();
            text.push('@');
            push_domain(&mut text, domain);
            at
        });
        Self { text: text.into_boxed_str(), at }
    }

    /// The whole address.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands behind the `@`.
    pub(crate) fn domain(&self) -> Option<&str> {
        self.text.get(self.at?.saturating_add(1)..)
    }

    /// The entries that name this address: itself, `@` and its domain, `.` and each parent of the domain, `*`.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let of_domain = self.at.and_then(|at| self.text.get(at..));
        let is_name = of_domain.is_some_and(|it| !it.starts_with("@["));
        let parents = of_domain.filter(|_| is_name).unwrap_or_default();
        let parents = parents.match_indices('.').filter_map(move |(dot, _)| parents.get(dot..));
        std::iter::once(&*self.text)
            .chain(of_domain)
            .chain(parents)
            .chain(of_domain.is_some().then_some(ANY))
    }
}

/// The entry for one address; none if it is not one.
pub(crate) fn address_entry(text: &str) -> Option<String> {
    if text == NULL {
        return Some(NULL.to_owned());
    }
    Address::parse(text).ok().map(|address| Canonical::of(&address).text.into())
}

/// The entry for `example.com`, `*.example.com` or `*`; none for other texts.
pub(crate) fn domain_entry(text: &str) -> Option<String> {
    if text == ANY {
        return Some(ANY.to_owned());
    }
    let (mut entry, name) = match text.strip_prefix("*.") {
        Some(parent) => (".".to_owned(), parent),
        None => ("@".to_owned(), text),
    };
    let domain = Domain::parse(name).ok()?;
    if domain.literal().is_some() && entry == "." {
        return None;
    }
    push_domain(&mut entry, domain.as_str());
    Some(entry)
}

/// The entry for a member of a group: an address, `@example.com` or `*.example.com`; none for other texts.
pub(crate) fn member_entry(text: &str) -> Option<String> {
    match text.strip_prefix('@') {
        Some(domain) if !domain.starts_with('*') => domain_entry(domain),
        _ if text.starts_with("*.") => domain_entry(text),
        _ => address_entry(text).filter(|entry| entry != NULL),
    }
}

fn push_lower(text: &mut String, part: &str) {
    if part.is_ascii() {
        text.extend(part.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
    } else {
        text.push_str(&part.to_lowercase());
    }
}

fn push_domain(text: &mut String, domain: &str) {
    /// Longer ones are no domains (RFC 5321 §4.5.3.1.2), and not worth the work.
    const OCTETS_MAX: usize = 255;
    let is_wide = !domain.is_ascii() && domain.len() <= OCTETS_MAX;
    match is_wide.then(|| idna::domain_to_ascii(domain)) {
        Some(Ok(ascii)) => text.push_str(&ascii),
        _ => push_lower(text, domain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_mean_the_same_are_one() {
        for (text, want) in [
            ("Alice@Example.COM", "alice@example.com"),
            ("jösé@Bücher.example", "jösé@xn--bcher-kva.example"),
            ("JÖSÉ@XN--BCHER-kva.example", "jösé@xn--bcher-kva.example"),
            ("Postmaster", "postmaster"),
        ] {
            assert_eq!(Canonical::of(&Address::parse(text).unwrap()).as_str(), want);
            assert_eq!(Canonical::of_text(text).as_str(), want);
        }
    }

    #[test]
    fn an_address_has_the_keys_of_its_domains() {
        let keys =
            |text: &str| Canonical::of_text(text).keys().map(ToOwned::to_owned).collect::<Vec<_>>();
        assert_eq!(keys("a.b@c.d.e"), ["a.b@c.d.e", "@c.d.e", ".d.e", ".e", "*"]);
        assert_eq!(keys("a@[192.0.2.1]"), ["a@[192.0.2.1]", "@[192.0.2.1]", "*"]);
        assert_eq!(keys("postmaster"), ["postmaster"]);
        assert_eq!(Canonical::null().keys().collect::<Vec<_>>(), ["<>"]);
    }

    #[test]
    fn entries_are_checked() {
        for (text, want) in [
            ("example.com", Some("@example.com")),
            ("*.Bücher.example", Some(".xn--bcher-kva.example")),
            ("*", Some("*")),
            ("*.[192.0.2.1]", None),
            ("a b", None),
            ("*example.com", None),
        ] {
            assert_eq!(domain_entry(text).as_deref(), want, "{text}");
        }
        for (text, want) in [
            ("A@b.example", Some("a@b.example")),
            ("@b.example", Some("@b.example")),
            ("*.b.example", Some(".b.example")),
            ("@*.b.example", None),
            ("b.example", None),
            ("*", None),
            ("<>", None),
        ] {
            assert_eq!(member_entry(text).as_deref(), want, "{text}");
        }
    }
}
