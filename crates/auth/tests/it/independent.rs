//! What other programs sign verifies here, and what is signed here verifies there.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use auth::Kind;
use auth::finding::Verdict;
use testkit::dns::DnsServer;

use crate::common::{crlf, evaluate_with, key, publish, signed, signer};

/// HTML mail often ends like this.
const MESSAGE: &str = "From: A <a@example.com>\nTo: b@c.example\nSubject: dinner  today\n\
    Date: Fri, 11 Jul 2003 21:00:37 -0700\nMessage-ID: <1@example.com>\n\n\
    Hello  there. \n.\n</html>\n   \n\t\n";

/// Runs a program with `input`, and gives back what it writes.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic_about(program, &error.to_string()));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        panic_about(program, &String::from_utf8_lossy(&output.stderr));
    }
    output.stdout
}

#[expect(clippy::panic, reason = "a test may stop")]
fn panic_about(program: &str, words: &str) -> ! {
    panic!("{program}: {words}")
}

/// dkimpy verifies signature number `at` with a key that the test hands it.
const VERIFY: &str = "
import sys, dkim
message = sys.stdin.buffer.read()
keys = dict(zip(sys.argv[1::2], sys.argv[2::2]))
def dns(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    return keys.get(name.rstrip('.'), '').encode() or None
for at in range(len(keys)):
    try:
        print(dkim.DKIM(message).verify(idx=at, dnsfunc=dns))
    except dkim.ValidationError as error:
        print(error.args[0].split(' (')[0])
";

#[test]
fn dkimpy_verifies_both_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let (rsa, rsa_made) = key(folder.path(), Kind::Rsa, "example.com", "r");
    let (ed, ed_made) = key(folder.path(), Kind::Ed25519, "example.com", "e");
    let signed = signed(&signer(&[rsa, ed]), &crlf(MESSAGE));
    let (rsa, ed) = (&rsa_made.record, &ed_made.record);
    let keys = ["-c", VERIFY, &rsa.name, &rsa.value, &ed.name, &ed.value];
    assert_eq!(String::from_utf8_lossy(&run("/usr/bin/python3", &keys, &signed)), "True\nTrue\n");
    let broken = [&signed[..], b"more\r\n"].concat();
    assert_eq!(
        String::from_utf8_lossy(&run("/usr/bin/python3", &keys, &broken)),
        "body hash mismatch\nbody hash mismatch\n"
    );
}

async fn verifies(folder: &Path, made: &auth::Made, message: &[u8]) {
    let server = DnsServer::start().await;
    publish(&server, made);
    let found = evaluate_with(&server, auth::Config::default(), "a@example.com", message).await;
    let results: Vec<_> = found.dkim.iter().map(|it| it.result).collect();
    assert_eq!(results, [Verdict::Pass], "{found:?} in {}", folder.display());
}

#[test]
fn opendkim_verifies_both_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let (rsa, rsa_made) = key(folder.path(), Kind::Rsa, "example.com", "r");
    let (ed, ed_made) = key(folder.path(), Kind::Ed25519, "example.com", "e");
    let signed = signed(&signer(&[rsa, ed]), &crlf(MESSAGE));
    let keys = [rsa_made.record, ed_made.record].map(|it| format!("{} {}\n", it.name, it.value));
    let file = |name: &str, octets: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, octets).unwrap();
        file.to_string_lossy().into_owned()
    };
    let keys = file("keys", keys.concat().as_bytes());
    let settings = file("settings", format!("Mode v\nTestPublicKeys {keys}\n").as_bytes());
    for (message, want) in
        [(signed.clone(), "dkim=pass"), ([signed, b"more\r\n".to_vec()].concat(), "dkim=fail")]
    {
        let message = file("message", &message);
        let said = run("/usr/sbin/opendkim", &["-t", &message, "-x", &settings, "-vvv"], b"");
        let said = String::from_utf8_lossy(&said);
        assert_eq!(said.matches(want).count(), 2, "{said}");
    }
}

/// dkimpy signs in the relaxed form, then seals as the first and the second hop of ARC.
const SEAL: &str = "
import sys, dkim
message = sys.stdin.buffer.read()
key = open(sys.argv[1], 'rb').read()
message = dkim.sign(message, b's1', b'example.com', key, canonicalize=(b'relaxed', b'relaxed')) + message
for hop in range(int(sys.argv[2])):
    found = b'Authentication-Results: example.com; arc=' + (b'pass' if hop else b'none') + b'\\r\\n'
    message = b''.join(dkim.arc_sign(found + message, b's1', b'example.com', key, b'example.com'))+ message
sys.stdout.buffer.write(message)
";

#[tokio::test]
async fn what_dkimpy_signs_and_seals_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let (key, made) = key(folder.path(), Kind::Rsa, "example.com", "s1");
    let file = key.key_file.to_string_lossy();
    let server = DnsServer::start().await;
    publish(&server, &made);
    for hops in [0, 1, 2] {
        let arguments = ["-c", SEAL, &file, &hops.to_string()];
        let message = run("/usr/bin/python3", &arguments, &crlf(MESSAGE));
        verifies(folder.path(), &made, &message).await;
        let config = auth::Config::default();
        let found = evaluate_with(&server, config.clone(), "a@example.com", &message).await;
        let want = if hops == 0 { Verdict::None } else { Verdict::Pass };
        assert_eq!((found.arc.result, found.arc.seals), (want, hops), "{found:?}");
        if hops > 0 {
            let text = String::from_utf8(message).unwrap();
            for (from, to) in [("Hello", "Hullo"), ("arc=none", "arc=pass"), ("i=1", "i=3")] {
                let changed = text.replacen(from, to, 1);
                assert_ne!(changed, text);
                let found =
                    evaluate_with(&server, config.clone(), "a@example.com", changed.as_bytes())
                        .await;
                assert_eq!(found.arc.result, Verdict::Fail, "{from} {found:?}");
            }
        }
    }
}
