//! What a client's certificate says, as far as connectors ask.

/// A certificate that a trusted authority vouches for; without one, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The names that it is for, in lower case.
    pub names: &'a [Box<str>],
    /// Who issued it, by the attributes of its distinguished name, such as `CN` and `Example Issuing CA`.
    pub issuer: &'a [(Box<str>, Box<str>)],
}

impl Certificate<'_> {
    /// Whether it is for a name that one of these patterns holds.
    pub(crate) fn has_name(&self, patterns: &[String]) -> bool {
        let holds = |pattern: &str, name: &str| {
            pattern.eq_ignore_ascii_case(name) || is_below(pattern, name)
        };
        patterns.iter().any(|pattern| self.names.iter().any(|name| holds(pattern, name)))
    }

    /// Whether one of these issued it; if none is named, it does not matter who did.
    pub(crate) fn is_issued_by(&self, issuers: &[String]) -> bool {
        issuers.is_empty() || issuers.iter().any(|entry| is_issuer(entry, self.issuer))
    }
}

/// Whether `name` is one label under what follows the `*` of `pattern`.
pub(crate) fn is_below(pattern: &str, name: &str) -> bool {
    let parents = pattern.strip_prefix("*.").zip(name.split_once('.'));
    parents.is_some_and(|(parent, (label, rest))| {
        !label.is_empty() && parent.eq_ignore_ascii_case(rest)
    })
}

/// The attributes of a distinguished name as people write it: `CN=Example CA, O="Example, Inc."`. What follows a comma and
/// is no attribute belongs to the one before.
pub fn issuer_attributes(text: &str) -> Vec<(Box<str>, Box<str>)> {
    let (mut parts, mut is_quoted) = (vec![String::new()], false);
    for c in text.chars() {
        match (c, parts.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            (',', _) if !is_quoted => parts.push(String::new()),
            (_, Some(part)) => part.push(c),
            (_, None) => {}
        }
    }
    let mut attributes: Vec<(Box<str>, Box<str>)> = Vec::new();
    for part in parts {
        match (part.split_once('='), attributes.last_mut()) {
            (Some((key, value)), _) => attributes.push((key.trim().into(), value.trim().into())),
            (None, Some((_, value))) => *value = format!("{value}, {}", part.trim()).into(),
            (None, None) => {}
        }
    }
    attributes
}

/// Whether `entry`, a common name or attributes of a distinguished name in any order, is that of `issuer`.
fn is_issuer(entry: &str, issuer: &[(Box<str>, Box<str>)]) -> bool {
    let has = |key: &str, value: &str| {
        issuer.iter().any(|(known, its)| is_same_key(known, key) && is_same(its, value))
    };
    if !entry.contains('=') {
        return has("CN", entry.trim());
    }
    let wanted = issuer_attributes(entry);
    !wanted.is_empty() && wanted.iter().all(|(key, value)| has(key, value))
}

fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Windows writes `S` and `E` for what others call `ST` and `emailAddress`.
fn is_same_key(one: &str, other: &str) -> bool {
    let usual = |key: &str| match key.to_ascii_uppercase().as_str() {
        "S" => "ST".to_owned(),
        "E" | "EMAIL" => "EMAILADDRESS".to_owned(),
        key => key.to_owned(),
    };
    usual(one) == usual(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_known_by_its_common_name_or_by_attributes_of_its_name() {
        let issuer = [
            ("C", "ES"),
            ("ST", "Madrid"),
            ("O", "Certificación, S.A."),
            ("CN", "Example Issuing CA"),
        ];
        let issuer = issuer.map(|(key, value)| (Box::from(key), Box::from(value)));
        for (entry, want) in [
            ("Example Issuing CA", true),
            ("example issuing ca", true),
            ("Example Issuing", false),
            ("Certificación, S.A.", false),
            ("CN=Example Issuing CA", true),
            ("CN=Example Issuing CA,O=Certificación, S.A.,S=Madrid, C=ES", true),
            ("CN=Example Issuing CA, O=\"CERTIFICACIÓN, S.A.\"", true),
            ("CN=Example Issuing CA, C=DE", false),
            ("O=x, CN=Other", false),
            ("OU=Example", false),
            ("=", false),
            ("", false),
        ] {
            let certificate = Certificate { names: &[], issuer: &issuer };
            assert_eq!(certificate.is_issued_by(&[entry.to_owned()]), want, "{entry}");
        }
        let odd = [("O".into(), "x, CN=Example Issuing CA".into())];
        assert!(!is_issuer("Example Issuing CA", &odd));
        assert!(Certificate::default().is_issued_by(&[]));
        assert!(!Certificate::default().is_issued_by(&["x".to_owned()]));
    }
}
