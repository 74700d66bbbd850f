//! Accounts, and a relay that takes their logins.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::process::run;
use crate::harness::relay::PROGRAM;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::tls::Certificate;

/// The password of `ana@sender.example`; nothing else in these tests is spelled so.
pub(crate) const PASSWORD: &str = "open-Sesame-4711";

/// A folder with accounts, a certificate and an identity provider's keys.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) folder: TempDir,
    pub(crate) certificate: Certificate,
    key: EncodingKey,
}

impl Accounts {
    /// The account `ana@sender.example`, who may send as anybody of her domain, with a token; and `cy@sender.example`,
    /// who is disabled.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = Certificate::write(folder.path());
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new()).expect("a key");
        let key = EncodingKey::from_ec_der(der.as_ref());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
        fs::write(folder.path().join("keys.json"), json!({ "keys": [jwk] }).to_string())
            .expect("a file");
        let accounts = Self { folder, certificate, key };
        accounts.write(&usual());
        accounts
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("accounts.toml")
    }

    pub(crate) fn write(&self, text: &str) {
        write_secret(&self.path(), text);
    }

    /// A token of the provider for whoever it calls `subject`.
    pub(crate) fn token(&self, subject: &str) -> String {
        let claims = json!({
            "iss": "https://login.test/", "aud": "smtp", "sub": subject, "exp": 4_000_000_000_u64,
        });
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key).expect("a token")
    }

    /// Settings with four listeners: `smtp` takes SCRAM, and passwords only under TLS, which it has not; `clear` takes
    /// them in the clear; `submission` has STARTTLS and `submissions` TLS from the start, and both want a login.
    /// Whoever is logged in may relay, and nobody else.
    pub(crate) fn settings(&self, sink: &Sink) -> Settings {
        let listener = |name: &str, tls: &str, auth: &str| {
            format!(
                "name = \"{name}\"\naddress = \"127.0.0.1:0\"\ntls = \"{tls}\"\ncertificate = {:?}\n\
                 key = {:?}\nauth = {{ {auth} }}",
                self.certificate.certificate, self.certificate.key
            )
        };
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        Settings::towards(sink.address())
            .set("listener.0.auth.required", false)
            .push("listener", &listener("clear", "none", "login_without_tls = true"))
            .push("listener", &listener("submission", "starttls", "required = true"))
            .push("listener", &listener("submissions", "implicit", "required = true"))
            .set("inbound.0.sender_ip_addresses", toml::Value::Array(vec![]))
            .set("inbound.0.logins", vec!["*".to_owned()])
            .set("logins.file", path("accounts.toml"))
            .set("logins.tokens.issuer", "https://login.test/")
            .set("logins.tokens.audience", vec!["smtp".to_owned()])
            .set("logins.tokens.keys_file", path("keys.json"))
    }
}

fn usual() -> String {
    let ana = account("ana@sender.example", PASSWORD, &["sender.example"]);
    let cy = account("cy@sender.example", PASSWORD, &[]);
    format!("{ana}tokens = [\"4711\"]\n{cy}disabled = true\n")
}

/// An `[[account]]` as `chasqui login hash` makes it.
pub(crate) fn account(name: &str, password: &str, senders: &[&str]) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(["login", "hash", name]);
    for sender in senders {
        command.args(["--sender", sender]);
    }
    run(command, format!("{password}\n").as_bytes()).succeeded()
}

pub(crate) fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a private file");
}

/// The argument of `AUTH PLAIN`.
pub(crate) fn plain(name: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{name}\0{password}"))
}

/// Logs in by PLAIN.
pub(crate) fn log_in(session: &mut Smtp, name: &str, password: &str) -> Reply {
    session.command(&format!("AUTH PLAIN {}", plain(name, password)))
}
