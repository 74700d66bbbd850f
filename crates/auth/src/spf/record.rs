//! SPF records as text: read into terms, counted, put together (RFC 7208 §4.6).

/// A term of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term<'a> {
    /// As it is spelled.
    pub text: &'a str,
    /// The mechanism or modifier, in lower case, without a qualifier.
    pub name: String,
    /// What follows `:` or `=`, without a prefix length; empty if nothing does.
    pub value: &'a str,
}

impl<'a> Term<'a> {
    fn read(text: &'a str) -> Self {
        let bare = text.strip_prefix(['+', '-', '~', '?']).unwrap_or(text);
        let end = bare.find([':', '=', '/']).unwrap_or(bare.len());
        let (name, rest) = bare.split_at_checked(end).unwrap_or((bare, ""));
        let value = rest.strip_prefix([':', '=']).unwrap_or_default();
        let value = value.split('/').next().unwrap_or_default();
        Self { text, name: name.to_ascii_lowercase(), value }
    }

    /// Whether it costs a look-up (RFC 7208 §4.6.4).
    pub(crate) fn costs(&self) -> bool {
        matches!(self.name.as_str(), "include" | "a" | "mx" | "ptr" | "exists" | "redirect")
    }

    /// Whether it is a mechanism of RFC 7208 §5, or a modifier, of which any may be there.
    pub(crate) fn is_known(&self) -> bool {
        let is_mechanism = matches!(
            self.name.as_str(),
            "all" | "include" | "a" | "mx" | "ptr" | "ip4" | "ip6" | "exists"
        );
        let is_modifier =
            self.text.get(self.name.len()..).is_some_and(|rest| rest.starts_with('='));
        is_mechanism || (is_modifier && !self.name.is_empty())
    }

    fn is_last(&self) -> bool {
        matches!(self.name.as_str(), "all" | "redirect" | "exp")
    }
}

/// Whether a text is an SPF record of some kind (RFC 7208 §4.5).
pub(crate) fn is_record(text: &str) -> bool {
    let version = text.split(' ').next().unwrap_or_default();
    version.eq_ignore_ascii_case("v=spf1")
}

/// The terms of a record, without the version.
pub(crate) fn terms(record: &str) -> impl Iterator<Item = Term<'_>> {
    record.split_ascii_whitespace().skip(1).map(Term::read)
}

/// What is said of everybody else: the qualifier of `all`.
pub(crate) fn others(record: &str) -> Option<char> {
    let all = terms(record).find(|term| term.name == "all")?;
    Some(all.text.chars().next().filter(|c| "+-~?".contains(*c)).unwrap_or('+'))
}

/// One record with the terms of all `records` that are some, and those in `added`; what is last in the first that says so stays last.
pub(crate) fn merged(records: &[&str], added: &[String]) -> String {
    let mut texts: Vec<&str> = vec!["v=spf1"];
    let all = || records.iter().flat_map(|record| terms(record));
    let mechanisms = all().filter(|term| !term.is_last() && term.is_known()).map(|term| term.text);
    for text in mechanisms.chain(added.iter().map(String::as_str)) {
        if !texts.iter().any(|known| known.eq_ignore_ascii_case(text)) {
            texts.push(text);
        }
    }
    // `all` makes `redirect` idle (RFC 7208 §6.1).
    let last = |name: &str| all().find(|term| term.name == name).map(|term| term.text);
    texts.extend(last("all").or_else(|| last("redirect")));
    texts.extend(last("exp"));
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_holds_it_all() {
        let added = ["ip4:192.0.2.1".to_owned(), "include:spf.relay.example".to_owned()];
        for (records, want) in [
            (&["v=spf1 mx -all"][..], "v=spf1 mx ip4:192.0.2.1 include:spf.relay.example -all"),
            (
                &["v=spf1 redirect=x.example"],
                "v=spf1 ip4:192.0.2.1 include:spf.relay.example redirect=x.example",
            ),
            (
                &["v=spf1 IP4:192.0.2.1 ?all exp=y"],
                "v=spf1 IP4:192.0.2.1 include:spf.relay.example ?all exp=y",
            ),
            (
                &["v=spf1 a", "v=spf1 a mx ~all"],
                "v=spf1 a mx ip4:192.0.2.1 include:spf.relay.example ~all",
            ),
            (&["v=spf1 a all redirect=x"], "v=spf1 a ip4:192.0.2.1 include:spf.relay.example all"),
        ] {
            assert_eq!(merged(records, &added), want);
        }
    }

    #[test]
    fn terms_are_read() {
        let read: Vec<_> =
            terms("v=spf1 -A:x.example/24 mx/24 ip4:192.0.2.0/24 redirect=y all").collect();
        let found: Vec<_> =
            read.iter().map(|term| (term.name.as_str(), term.value, term.costs())).collect();
        let want = [
            ("a", "x.example", true),
            ("mx", "", true),
            ("ip4", "192.0.2.0", false),
            ("redirect", "y", true),
            ("all", "", false),
        ];
        assert_eq!(found, want);
        assert_eq!(
            [others("v=spf1 ~all"), others("v=spf1 all"), others("v=spf1 a")],
            [Some('~'), Some('+'), None]
        );
    }
}
