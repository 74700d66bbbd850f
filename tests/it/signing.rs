//! What leaves is signed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::corpus::corpus_folder;
use crate::dkim::verify;
use crate::harness::dns::{Dns, Record};
use crate::harness::letter::{behind_trace, letter};
use crate::harness::process::run;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Received, Sink};

/// The Ed25519 key of RFC 8463 A.2 behind what PKCS #8 writes before it.
const ED25519_PEM: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
/// Reads a message from standard input and the public keys from the arguments; says of each signature whether it holds.
const DKIMPY: &str = r#"
import sys, dkim
records = dict(zip(sys.argv[1::2], sys.argv[2::2]))
message = sys.stdin.buffer.read()
def text(name, timeout=5):
    return records[name.decode().rstrip(".")].encode()
count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.rfc822_parse(message)[0])
checked = dkim.DKIM(message)
print(*[checked.verify(idx=i, dnsfunc=text) for i in range(count)])
"#;

/// Key files for `rsa` and `ed` of `sender.example`.
pub(crate) struct Keys(TempDir);

impl Keys {
    pub(crate) fn new() -> Self {
        let keys = Self(tempfile::tempdir().expect("a folder"));
        let rsa = fs::read_to_string(corpus_folder().join("keys/rsa.pkcs8.base64"));
        write(&keys.file("rsa"), rsa.expect("a key").trim());
        write(&keys.file("ed"), ED25519_PEM);
        keys
    }

    fn file(&self, selector: &str) -> PathBuf {
        self.0.path().join(selector)
    }

    fn with(&self, settings: Settings, selector: &str, more: &str) -> Settings {
        let file = self.file(selector).display().to_string();
        let words = format!(
            "domain = \"sender.example\"\nselector = \"{selector}\"\nkey_file = \"{file}\"\n{more}"
        );
        settings.push("dkim", &words)
    }

    /// Both keys, whatever the DNS says.
    pub(crate) fn with_both(&self, settings: Settings) -> Settings {
        let settings = self.with(settings, "ed", "check_dns = false");
        self.with(settings, "rsa", "check_dns = false")
    }
}

fn write(file: &Path, base64: &str) {
    let text = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
    fs::write(file, text).expect("a key file");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("its mode");
}

fn rsa_record() -> String {
    let rsa = fs::read_to_string(corpus_folder().join("keys/rsa.public.base64")).expect("a key");
    format!("v=DKIM1; k=rsa; p={}", rsa.trim())
}

/// What Python's dkimpy says of each signature.
fn dkimpy(message: &[u8]) -> String {
    let ed = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", DKIMPY, "ed._domainkey.sender.example", ed]);
    command.args(["rsa._domainkey.sender.example", &rsa_record()]);
    run(command, message).succeeded().trim().to_owned()
}

fn signatures(message: &[u8]) -> usize {
    String::from_utf8_lossy(message).matches("DKIM-Signature:").count()
}

fn one(sink: &Sink) -> Received {
    sink.wait_accepted(1).remove(0)
}

/// The small message of a trial is signed as mail is, whether a relay runs or not.
#[test]
fn a_probe_is_signed_as_mail_is() {
    let (sink, keys) = (Sink::start(), Keys::new());
    let mut relay = Relay::start(keys.with_both(Settings::towards(sink.address())));
    for number in 1..=2 {
        let words = ["connector", "test", "next-hop", "--probe", "--to", "bo@receiver.example"];
        let words = [&words[..], &["--from", "ana@sender.example"]].concat();
        let text = relay.cli(&words).succeeded();
        assert!(text.contains("; signed; "), "{text}");
        let probe = sink.wait_accepted(number).remove(number - 1);
        assert_eq!(verify(&probe.content), [true, true]);
        if number == 1 {
            relay.terminate();
        }
    }
}

/// Both kinds of signatures hold, by two implementations, for a small and a large message; SIZE counts them.
#[test]
fn da_22_signatures_verify() {
    let (sink, keys) = (Sink::start(), Keys::new());
    let relay = Relay::start(keys.with_both(Settings::towards(sink.address())));
    for octets in [900, 700_000] {
        let original = letter("signed", octets);
        relay.submit("ana@sender.example", &["bo@receiver.example"], &original);
    }
    for message in sink.wait_accepted(2) {
        assert!(message.content.starts_with(b"DKIM-Signature: v=1; a=rsa-sha256;"));
        assert_eq!(signatures(&message.content), 2);
        assert_eq!(verify(&message.content), [true, true]);
        assert_eq!(dkimpy(&message.content), "True True");
        let mut changed = message.content.to_vec();
        let last = changed.len() - 4;
        changed[last] ^= 1;
        assert_eq!(verify(&changed), [false, false]);
    }
    sink.assert_clean();
}

/// Others' mail is not signed.
#[test]
fn only_mail_of_the_domain_is_signed() {
    let (sink, keys) = (Sink::start(), Keys::new());
    let relay = Relay::start(keys.with_both(Settings::towards(sink.address())));
    let original = b"From: a@else.example\r\nSubject: one\r\n\r\nBody.\r\n";
    relay.submit("ana@sender.example", &["bo@receiver.example"], original);
    assert_eq!(behind_trace(&one(&sink).content), original);
}

/// What was rewritten is what is signed.
#[test]
fn da_08_the_rewritten_from_is_signed() {
    let (sink, keys) = (Sink::start(), Keys::new());
    let settings = keys
        .with_both(Settings::towards(sink.address()))
        .set("outbound.0.from_filter", vec!["sender.example"])
        .set("rewrite.default_from", "notifications")
        .set("rewrite.alias_domain", "sender.example");
    let relay = Relay::start(settings);
    let original = b"From: a@else.example\r\nSubject: one\r\n\r\nBody.\r\n";
    relay.submit("a@else.example", &["bo@receiver.example"], original);
    let message = one(&sink);
    let text = String::from_utf8_lossy(&message.content);
    assert!(text.contains("notifications@sender.example"), "{text}");
    assert_eq!(dkimpy(&message.content), "True True", "{text}");
}

/// The signature covers what is left after a conversion.
#[test]
fn converted_content_is_signed_as_it_leaves() {
    let (sink, keys) = (Sink::start(), Keys::new());
    sink.set_extensions(&["PIPELINING", "SIZE"]);
    let relay = Relay::start(keys.with_both(Settings::towards(sink.address())));
    let original = "From: Ana <ana@sender.example>\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\
        Subject: one\r\n\r\ngr\u{fc}n\r\n";
    relay.submit("ana@sender.example", &["bo@receiver.example"], original.as_bytes());
    let message = one(&sink);
    assert!(message.content.is_ascii());
    assert_eq!(verify(&message.content), [true, true]);
}

/// However many transactions an attempt takes, its content is converted once and signed once.
#[test]
fn content_is_made_ready_once_for_all_transactions() {
    let (sink, keys) = (Sink::start(), Keys::new());
    sink.set_extensions(&["PIPELINING", "SIZE"]);
    let settings = Settings::towards(sink.address())
        .set("outbound.0.limits.recipients_per_transaction_max", 1);
    let mut relay = Relay::start(keys.with_both(settings));
    let original = "From: Ana <ana@sender.example>\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\
        Subject: one\r\n\r\ngr\u{fc}n\r\n";
    let recipients: Vec<_> = (0..5).map(|number| format!("r{number}@receiver.example")).collect();
    let named: Vec<_> = recipients.iter().map(String::as_str).collect();
    relay.submit("ana@sender.example", &named, original.as_bytes());
    for message in sink.wait_accepted(recipients.len()) {
        assert!(message.content.is_ascii());
        assert_eq!(verify(&message.content), [true, true]);
        assert!(!message.mail_parameters.contains("8BITMIME"), "{message:?}");
    }
    assert!((relay.metric_sum("chasqui_dkim_signed_total") - 2.0).abs() < 0.5, "once by each key");
    relay.terminate();
    assert_eq!(relay.log().matches("content converted to 7 bits").count(), 1);
}

/// A key that the DNS does not have is not used, and the log says so.
#[test]
fn a_key_that_is_not_published_is_not_used() {
    let (sink, keys) = (Sink::start(), Keys::new());
    let name = "rsa._domainkey.sender.example";
    let dns = Dns::start(&[(name, Record::Txt(rsa_record()))]);
    let settings =
        Settings::towards(sink.address()).set("resolver.servers", vec![dns.address().to_string()]);
    let relay = Relay::start(keys.with(keys.with(settings, "ed", ""), "rsa", ""));
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("published", 900));
    let message = one(&sink);
    assert_eq!(signatures(&message.content), 1);
    assert_eq!(verify(&message.content), [true]);
    relay.log_with("ed._domainkey.sender.example is not published");
}
