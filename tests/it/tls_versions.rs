//! Which versions of TLS clients may speak, asked by OpenSSL.

use std::process::Command;

use crate::harness::process::{Output, run};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::Smtp;
use crate::harness::tls::Certificate;
use crate::harness::wait::wait_until;

/// A session inside TLS. Lower-case verbs: OpenSSL takes a line that begins with Q or R for an order to itself.
const SESSION: &[u8] = b"ehlo client.test\r\nmail from:<ana@sender.example>\r\nrcpt to:<bo@receiver.example>\r\nrset\r\nquit\r\n";

/// Tries one version at one listener. At its ordinary security level OpenSSL would not even offer the old ones.
fn client(relay: &Relay, certificate: &Certificate, listener: &str, version: &str) -> Output {
    let server = relay.listener(listener).to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server, "-servername", "localhost", version]);
    command.args(["-cipher", "DEFAULT@SECLEVEL=0", "-ign_eof", "-verify_return_error", "-CAfile"]);
    command.arg(&certificate.certificate);
    if listener == "submission" {
        command.args(["-starttls", "smtp"]);
    }
    run(command, SESSION)
}

/// RFC 8996: TLS 1.0 and 1.1 are refused; 1.2 and 1.3 carry a session.
#[test]
fn only_tls_1_2_and_1_3_are_spoken() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let listener = |name: &str, kind: &str| {
        format!(
            "name = \"{name}\"\naddress = \"127.0.0.1:0\"\ntls = \"{kind}\"\ncertificate = {:?}\nkey = {:?}",
            certificate.certificate, certificate.key
        )
    };
    let settings = Settings::towards(sink.address())
        .push("listener", &listener("submission", "starttls"))
        .push("listener", &listener("submissions", "implicit"));
    let relay = Relay::start(settings);
    for listener in ["submission", "submissions"] {
        for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let output = client(&relay, &certificate, listener, version);
            let case = format!("{listener} {version}: {output:?}");
            assert!(output.status.success(), "{case}");
            assert!(output.stdout.contains(&format!("New, {name}, Cipher is ")), "{case}");
            assert!(output.stdout.contains("Verify return code: 0 (ok)"), "{case}");
            for reply in ["250 2.1.0 ", "250 2.1.5 ", "221 2.0.0 "] {
                assert!(output.stdout.contains(reply), "{reply}: {case}");
            }
        }
        for version in ["-tls1", "-tls1_1"] {
            let output = client(&relay, &certificate, listener, version);
            let case = format!("{listener} {version}: {output:?}");
            assert!(!output.status.success(), "{case}");
            // The relay's own word (handshake failure or protocol version): the client did offer the version.
            let alerts = ["SSL alert number 40", "SSL alert number 70"];
            assert!(alerts.iter().any(|alert| output.stderr.contains(alert)), "{case}");
            assert!(output.stdout.contains("New, (NONE), Cipher is (NONE)"), "{case}");
            assert!(!output.stdout.contains("250 2.1.0 "), "{case}");
        }
    }
    let family = "chasqui_reception_tls_handshakes_total";
    wait_until("all handshakes counted", || relay.metric_sum(family) > 7.5);
    for listener in ["submission", "submissions"] {
        for result in ["done", "failed"] {
            let series = format!("{family}{{listener=\"{listener}\",result=\"{result}\"}}");
            relay.assert_metric(&series, 2.0);
        }
    }
}

/// `OC_16`: a device with nothing newer than TLS 1.1 can use the listener that permits clear text, and no other; what it
/// spoke is counted.
#[test]
fn oc_16_an_old_device_has_clear_text_only_and_is_counted() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let listener = |name: &str, more: &str| {
        format!(
            "name = \"{name}\"\naddress = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\n{more}",
            certificate.certificate, certificate.key
        )
    };
    let settings = Settings::towards(sink.address())
        .push("listener", &listener("submission", "tls = \"starttls\"\nrequires_tls = true"))
        .push("listener", &listener("submissions", "tls = \"implicit\"\ntls_min = \"1.3\""));
    let relay = Relay::start(settings);
    for (listener, version) in [
        ("submission", "-tls1"),
        ("submission", "-tls1_1"),
        ("submission", "-tls1_1"),
        ("submissions", "-tls1"),
        ("submissions", "-tls1_2"),
    ] {
        let output = client(&relay, &certificate, listener, version);
        assert!(!output.status.success(), "{output:?}");
        assert!(!output.stdout.contains("250 2.1.0 "), "{output:?}");
    }
    let family = "chasqui_reception_tls_too_old_total";
    wait_until("all counted", || relay.metric_sum(family) > 4.5);
    for (listener, offered, count) in [
        ("submission", "1.0", 1.0),
        ("submission", "1.1", 2.0),
        ("submission", "1.2", 0.0),
        ("submissions", "1.0", 1.0),
        ("submissions", "1.2", 1.0),
    ] {
        let series = format!("{family}{{listener=\"{listener}\",offered=\"{offered}\"}}");
        relay.assert_metric(&series, count);
    }
    // In clear it gets nothing in where TLS is asked for, and is served where it is not.
    let mut session = Smtp::open(relay.listener("submission"));
    session.expect("MAIL FROM:<ana@sender.example>", 530);
    let mut session = Smtp::open(relay.listener("smtp"));
    let reply =
        session.deliver("ana@sender.example", &["bo@receiver.example"], b"Subject: x\r\n\r\n");
    assert_eq!(reply.code, 250, "{reply:?}");
    sink.wait_accepted(1);
}
