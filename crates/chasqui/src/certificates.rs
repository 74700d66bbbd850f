//! The look at certificates, keys and passwords before anything else begins.

use std::io;

use delivery::{Applications, Handshakes, Logins, Wrong};
use settings::{Finding, Settings};
use telemetry::Causes;
use tls::client::Connectors;
use tls::server::Config;
use tls::{CertificateError, Description};
use units::Clock;

/// A certificate that ends within this time is warned of: three weeks.
const SOON_SECONDS: u64 = 21 * 24 * 3600;

/// Tries every certificate, key, root and password file that the settings name.
pub(crate) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for token in &settings.admin.token {
        if let Some(error) = token.problem() {
            let words = format!("the hash file of `{}` cannot be used: {error}", token.name);
            let finding = Finding::in_section("admin", "token", words);
            findings.push(finding.hint("make one with `chasqui token new`"));
        }
    }
    for (number, listener) in settings.listener.iter().enumerate() {
        let (Some(certificate), Some(key)) = (&listener.certificate, &listener.key) else {
            continue;
        };
        let files = Config { certificate: certificate.clone(), key: key.clone() };
        let mut find = |name: &str, error: &CertificateError| {
            let finding = Finding::in_item("listener", number, name, Causes(error).to_string());
            findings.push(finding.hint(hint(error)));
        };
        for (name, error) in files.problems() {
            find(name, &error);
        }
        for (_, error) in listener.certificates.iter().flat_map(Config::problems) {
            find("certificates", &error);
        }
        if let Some(roots) = &listener.client_authorities {
            let roots = tls::client::Config { roots: Some(roots.clone()), trusts_system: false };
            if let Err(error) = Connectors::open(&roots) {
                find("client_authorities", &error);
            }
        }
    }
    if let Err(error) = Connectors::open(&settings.tls) {
        findings.push(
            Finding::in_section("tls", "roots", Causes(&error).to_string()).hint(hint(&error)),
        );
    }
    for (number, outbound) in settings.outbound.iter().enumerate() {
        if let Err(error) = Logins::open(std::slice::from_ref(outbound), &Clock::system()) {
            let finding =
                Finding::in_item("outbound", number, &error.key, Causes(&error.source).to_string());
            findings.push(finding.hint(error.hint()));
        }
        if let Err(error) = Applications::open(std::slice::from_ref(outbound), &Clock::system()) {
            let key = format!("application.{}", error.key);
            let finding = Finding::in_item("outbound", number, &key, error.words);
            findings.push(finding.hint("see `application` in docs/reference/settings.md"));
        }
        if let Err(error) = Handshakes::look(outbound) {
            let finding =
                Finding::in_item("outbound", number, error.key, Causes(&error.source).to_string());
            findings.push(match &error.source {
                Wrong::File(error) => finding.hint(hint(error)),
                _ => finding,
            });
        }
    }
    findings
}

/// Certificates that nobody takes any more. They do not stop the relay: what needs none of them goes on.
pub(crate) fn expired(settings: &Settings, now_seconds: u64) -> Vec<Finding> {
    ends(settings, |shown| {
        let ends = &shown.ends;
        shown.is_over(now_seconds).then(|| format!("the certificate expired on {ends} ({shown})"))
    })
}

/// Certificates that soon nobody takes any more.
pub(crate) fn expiring(settings: &Settings, now_seconds: u64) -> Vec<Finding> {
    ends(settings, |shown| {
        let is_soon = shown.is_over(now_seconds.saturating_add(SOON_SECONDS));
        let is_near = is_soon && !shown.is_over(now_seconds);
        is_near.then(|| format!("the certificate expires on {} ({shown})", shown.ends))
    })
}

/// What `words` says of the certificates that others are shown.
fn ends(settings: &Settings, words: impl Fn(&Description) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |section, number, key, words: Option<String>| {
        findings.extend(words.map(|words| {
            Finding::in_item(section, number, key, words).hint("put a new one there")
        }));
    };
    for (number, listener) in settings.listener.iter().enumerate() {
        let shown =
            listener.certificate.as_deref().and_then(|path| tls::first_described(path).ok());
        found("listener", number, "certificate", shown.flatten().as_ref().and_then(&words));
    }
    for (number, outbound) in settings.outbound.iter().enumerate() {
        let shown = Handshakes::look(outbound).ok().flatten();
        found("outbound", number, "client_certificate", shown.as_ref().and_then(&words));
    }
    findings
}

fn hint(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Read { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => "look at the path",
            io::ErrorKind::PermissionDenied => "let the relay's user read it",
            _ => "name a file that can be read",
        },
        CertificateError::Mismatch { .. } => "name the key that belongs to the certificate",
        _ => "name a PEM file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::looked;

    #[test]
    fn every_file_is_named_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let made = rcgen::generate_simple_self_signed(vec!["relay.test".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["relay.test".to_owned()]).unwrap();
        std::fs::write(path("good.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("good.key"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("other.key"), other.signing_key.serialize_pem()).unwrap();
        let listener = |name: &str, certificate: &str, key: &str| {
            format!(
                "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
                path(certificate),
                path(key)
            )
        };
        let text = [
            "hostname = \"relay.test\"\n[[outbound]]\nname = \"out\"\n".to_owned(),
            listener("a", "good.pem", "good.key"),
            listener("b", "gone.pem", "gone.key"),
            listener("c", "good.pem", "other.key"),
            listener("d", "good.key", "good.pem"),
            format!("[tls]\nroots = \"{}\"\n", path("gone.pem")),
        ];
        let file = folder.path().join("x.toml");
        std::fs::write(&file, text.concat()).unwrap();
        let said = looked(&file, findings).unwrap_err();
        let said = said.replace(&format!("{}/", folder.path().display()), "");
        let gone = "gone.pem: No such file or directory (os error 2); look at the path";
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 6, "{said}");
        assert_eq!(lines[0], format!("x.toml:14:1: listener.certificate: cannot read {gone}"));
        assert!(lines[1].starts_with("x.toml:15:1: listener.key: cannot read gone.key"), "{said}");
        assert!(lines[2].starts_with("x.toml:21:1: listener.key: the key in other.key"), "{said}");
        assert!(lines[3].starts_with("x.toml:26:1: listener.certificate: good.key"), "{said}");
        assert!(lines[4].starts_with("x.toml:27:1: listener.key: good.pem"), "{said}");
        assert_eq!(lines[5], format!("x.toml:29:1: tls.roots: cannot read {gone}"));
    }

    #[test]
    fn certificates_that_have_expired_are_named_with_their_day() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let made = rcgen::generate_simple_self_signed(vec!["relay.test".to_owned()]).unwrap();
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let pair = format!("certificate = \"{}\", key = \"{}\"", path("cert.pem"), path("key.pem"));
        let text = format!(
            "hostname = \"relay.test\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\ntls = \"starttls\"\n{}\n\
             [[outbound]]\nname = \"out\"\nclient_certificate = {{ {pair} }}\n",
            pair.replace(", ", "\n")
        );
        let file = folder.path().join("x.toml");
        std::fs::write(&file, text).unwrap();
        let at = |now| {
            let look = move |settings: &Settings| expired(settings, now);
            looked(&file, look)
        };
        assert!(at(1_800_000_000).is_ok());
        let said = at(100_000_000_000).unwrap_err();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].contains("listener.certificate: the certificate expired on "), "{said}");
        assert!(
            lines[1].contains("outbound.client_certificate: the certificate expired on "),
            "{said}"
        );
        assert!(lines[1].contains("(it is for relay.test, issued by "), "{said}");
        // These end with the year 4095.
        let settings = settings::load(&file).unwrap();
        assert_eq!(expiring(&settings, 67_089_254_400).len(), 2);
        assert_eq!(expiring(&settings, 1_800_000_000), []);
        assert_eq!(expiring(&settings, 100_000_000_000), []);
    }

    #[test]
    fn a_password_for_everybody_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (file, password) = (folder.path().join("x.toml"), folder.path().join("password"));
        std::fs::write(&password, "open sesame\n").unwrap();
        let text = format!(
            "hostname = \"relay.test\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n[[outbound]]\nname = \"out\"\n\
             smart_hosts = [{{ host = \"mx.test\" }}]\n[outbound.login]\nuser = \"relay\"\npassword_file = \"{}\"\n",
            password.display()
        );
        std::fs::write(&file, text).unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&password, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(0o644);
        let said = looked(&file, findings).unwrap_err();
        assert!(said.contains("x.toml:10:1: outbound.login.password_file: "), "{said}");
        assert!(said.contains("is open to everybody (mode 644); give it"), "{said}");
        mode(0o640);
        assert!(looked(&file, findings).is_ok());
    }
}
