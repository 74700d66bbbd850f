//! What the program does at a terminal, which is a pseudo-terminal of Python's.

use std::process::Command;

use crate::harness::process::run;
use crate::harness::relay::PROGRAM;

/// Types lines when a prompt stands there; says how the program ended, and what stood on the terminal.
const TYPE: &str = r#"
import json, os, subprocess, sys, termios
program, *lines = sys.argv[1:]
master, slave = os.openpty()
child = subprocess.Popen([program, "login", "hash", "ana@sender.example"], stdin=slave, stderr=slave,
                         stdout=subprocess.PIPE, start_new_session=True)
shows = lambda: bool(termios.tcgetattr(slave)[3] & termios.ECHO)
shown, silent = b"", []
for prompt, line in zip((b"password: ", b"once more: "), lines):
    while not shown.endswith(prompt):
        shown += os.read(master, 1000)
    silent.append(not shows())
    os.write(master, line.encode())
answer = child.stdout.read().decode()
status = child.wait()
again = shows()
os.close(slave)
try:
    while octets := os.read(master, 1000):
        shown += octets
except OSError:
    pass
print(json.dumps({"status": status, "answer": answer, "shown": shown.decode(), "silent": silent,
                  "shows_again": again}))
"#;

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let cases = [
        (["open-Sesame\n", "open-Sesame\n"].as_slice(), 0, "once more: "),
        (&["open-Sesame\n", "open-Sesami\n"], 1, "the two passwords are not the same"),
        (&["open-Sesame\n", "\u{4}"], 1, "no password was given"),
        // Ctrl-C leaves a terminal that shows what is typed.
        (&["\u{3}"], 1, "no password was given"),
        (&["open-Sesame\n", "open\u{3}"], 1, "no password was given"),
    ];
    for (lines, status, words) in cases {
        let mut command = Command::new("python3");
        command.args(["-c", TYPE, PROGRAM]).args(lines);
        let text = run(command, b"").succeeded();
        let seen: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(seen["status"], status, "{lines:?}: {seen}");
        assert_eq!(seen["silent"], serde_json::json!(vec![true; lines.len()]), "{lines:?}: {seen}");
        let shown = seen["shown"].as_str().expect("text");
        assert!(shown.contains(words) && !shown.contains("open"), "{lines:?}: {seen}");
        let answer = seen["answer"].as_str().expect("text");
        assert_eq!(answer.contains("[[account]]"), status == 0, "{lines:?}: {seen}");
        assert_eq!(seen["shows_again"], true, "{lines:?}: {seen}");
    }
}
