//! What a client's certificate says, as far as connectors ask.

/// A certificate that a trusted authority vouches for; without one, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The names that it is for, in lower case.
    pub names: &'a [Box<str>],
    /// Who issued it: `CN=Example Issuing CA, O=Example`.
    pub issuer: &'a str,
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

/// Whether `entry`, a common name or parts of a distinguished name in any order, is that of `issuer`.
fn is_issuer(entry: &str, issuer: &str) -> bool {
    let parts = || issuer.split(',').map(str::trim);
    if !entry.contains('=') {
        let common_name = |part: &str| {
            let (key, value) = part.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case("CN")
                .then(|| value.trim().eq_ignore_ascii_case(entry.trim()))
        };
        return parts().filter_map(common_name).any(|fits| fits);
    }
    entry.split(',').all(|wanted| parts().any(|part| is_same(wanted.trim(), part)))
}

fn is_same(one: &str, other: &str) -> bool {
    match one.split_once('=').zip(other.split_once('=')) {
        Some(((key, value), (other_key, other_value))) => {
            key.trim().eq_ignore_ascii_case(other_key.trim())
                && value.trim().eq_ignore_ascii_case(other_value.trim())
        }
        None => one.eq_ignore_ascii_case(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_known_by_its_common_name_or_by_parts_of_its_name() {
        let issuer = "C=ES, O=Example, Inc., CN=Example Issuing CA";
        for (entry, want) in [
            ("Example Issuing CA", true),
            ("example issuing ca", true),
            ("Example Issuing", false),
            ("Example", false),
            ("CN=Example Issuing CA", true),
            ("CN=Example Issuing CA,O=Example, Inc.,C=ES", true),
            ("CN=Example Issuing CA, C=DE", false),
            ("OU=Example", false),
            ("", false),
        ] {
            assert_eq!(is_issuer(entry, issuer), want, "{entry}");
            let certificate = Certificate { names: &[], issuer };
            assert_eq!(certificate.is_issued_by(&[entry.to_owned()]), want, "{entry}");
        }
        assert!(Certificate::default().is_issued_by(&[]));
        assert!(!Certificate::default().is_issued_by(&["x".to_owned()]));
    }
}
