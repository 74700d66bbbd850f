//! A host and a port that were written in one text.

/// Host and port, if a text is both, such as `mx.example.com:587` or `[2001:db8::1]:587`.
pub(crate) fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // An address of IPv6 without brackets has no port.
    let host = bare.or_else(|| Some(host).filter(|host| !host.contains(':')))?;
    let port = port.parse().ok()?;
    (!host.is_empty()).then_some((host, port))
}

/// The same as it is written in the settings.
pub(crate) fn table(text: &str) -> Option<String> {
    let (host, port) = split(text)?;
    Some(format!("{{ host = \"{host}\", port = {port} }}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_stands_behind_a_name_or_an_address() {
        for (text, want) in [
            ("mx.example:587", Some(("mx.example", 587))),
            ("192.0.2.1:25", Some(("192.0.2.1", 25))),
            ("[2001:db8::1]:465", Some(("2001:db8::1", 465))),
            ("2001:db8::1", None),
            ("mx.example", None),
            ("mx.example:", None),
            ("mx.example:smtp", None),
            ("mx.example:70000", None),
            ("unix:/run/lmtp", None),
            (":25", None),
        ] {
            assert_eq!(split(text), want, "{text}");
        }
    }
}
