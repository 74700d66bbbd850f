//! A 250 after the dot means: on the device. kill -9 cannot show that; the order of system calls and a
//! power cut can.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::harness::letter::{assert_same, behind_trace, letter};
use crate::harness::process::run;
use crate::harness::relay::{Plan, Relay};
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Received, Sink};
use crate::harness::smtp::Smtp;
use crate::harness::wait::{wait_for, wait_until};

/// What strace saw, one line per finished call, in order of their ends.
fn calls(trace: &str) -> Vec<String> {
    // `123 fdatasync(5</x> <unfinished ...>` … `123 <... fdatasync resumed>) = 0`
    let mut open: BTreeMap<&str, String> = BTreeMap::new();
    let mut done = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(head) = call.strip_suffix("<unfinished ...>") {
            open.insert(thread, head.to_owned());
        } else if let Some((_, tail)) =
            call.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>"))
        {
            done.push(open.remove(thread).unwrap_or_default() + tail);
        } else {
            done.push(call.to_owned());
        }
    }
    done
}

/// The places of the final 250 and of the syncs before it.
fn syncs_before_reply(calls: &[String], from: usize) -> (Vec<&str>, usize) {
    let is_reply = |call: &String| {
        (call.starts_with("write") || call.starts_with("send")) && call.contains("\"250 2.")
    };
    let start =
        from + calls[from..].iter().position(|call| call.contains("\"354 ")).expect("a 354");
    let end = start + calls[start..].iter().position(is_reply).expect("a 250");
    let is_sync = |call: &&String| call.contains("sync(") && call.ends_with("= 0");
    (calls[start..end].iter().filter(is_sync).map(String::as_str).collect(), end)
}

/// The log is synced before the 250; a large body's file and, when it is new, its folder before the log.
#[test]
fn the_sync_comes_before_the_250() {
    let sink = Sink::scripted(|_| Act::SayAndClose("421 4.3.2 later".to_owned()));
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let words = [
        "strace",
        "-DD",
        "-f",
        "-y",
        "-s",
        "64",
        "-e",
        "signal=none",
        "-e",
        "trace=fsync,fdatasync,write,writev,sendto,sendmsg",
        "-o",
    ];
    let mut wrapper: Vec<String> = words.map(str::to_owned).to_vec();
    wrapper.push(trace.display().to_string());
    // On threads, so that the calls are to be seen; a ring hides them.
    let settings =
        Settings::towards(sink.address()).set("spool.body_io", "threads").set("log.level", "error");
    let mut relay = Relay::start(Plan { wrapper, ..Plan::from(settings) });
    let mut session = relay.session();
    assert_eq!(
        session.deliver("ana@sender.example", &["bo@receiver.example"], &letter("small", 800)).code,
        250
    );
    assert_eq!(
        session
            .deliver("ana@sender.example", &["bo@receiver.example"], &letter("large", 800_000))
            .code,
        250
    );
    drop(session);
    relay.kill();
    let text = wait_for("the whole trace", || {
        let text = fs::read_to_string(&trace).ok()?;
        let (_, last) = text.rsplit_once("\"354 ")?;
        (text.matches("\"354 ").count() == 2 && last.contains("\"250 2.")).then_some(text)
    });
    let calls = calls(&text);
    let (small, end) = syncs_before_reply(&calls, 0);
    assert!(
        small.iter().any(|call| call.contains(".log>")),
        "no sync of the log before the 250: {small:?}"
    );
    let (large, _) = syncs_before_reply(&calls, end);
    let log = large
        .iter()
        .rposition(|call| call.contains(".log>"))
        .unwrap_or_else(|| panic!("no sync of the log: {large:?}"));
    let body = large.iter().position(|call| {
        !call.contains(".log>") && call.starts_with("fdatasync") || call.starts_with("fsync")
    });
    let body = body.unwrap_or_else(|| panic!("no sync of the body's file: {large:?}"));
    assert!(body < log, "the log names a body that is not on the device yet: {large:?}");
}

/// A file system on a file: what was not synced is not in the file.
struct Device {
    folder: TempDir,
    mounts: Vec<PathBuf>,
}

impl Device {
    /// An ext4 that writes by itself only every five minutes.
    fn format() -> Self {
        let folder =
            tempfile::Builder::new().prefix("chasqui-device-").tempdir().expect("a folder");
        let image = folder.path().join("image");
        fs::File::create(&image).expect("a file").set_len(512 << 20).expect("room");
        let mut format = Command::new("mkfs.ext4");
        format.args(["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"]).arg(&image);
        run(format, b"").succeeded();
        Self { folder, mounts: Vec::new() }
    }

    fn mount(&mut self, image: &str) -> PathBuf {
        let place = self.folder.path().join(format!("{image}-mounted"));
        fs::create_dir(&place).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop,commit=300"]).arg(self.folder.path().join(image)).arg(&place);
        run(mount, b"").succeeded();
        self.mounts.push(place.clone());
        place
    }

    /// What the device holds now.
    fn copy(&self, name: &str) {
        let mut copy = Command::new("cp");
        copy.args(["--sparse=always"])
            .arg(self.folder.path().join("image"))
            .arg(self.folder.path().join(name));
        run(copy, b"").succeeded();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for mount in &self.mounts {
            let mut unmount = Command::new("umount");
            unmount.arg("--lazy").arg(mount);
            unmount.status().ok();
        }
    }
}

fn settings_on(place: &Path, sink: &Sink, body_io: &str) -> Settings {
    Settings::towards(sink.address())
        .set("spool.path", place.join("spool").display().to_string())
        .set("spool.free_octets_min", "1MiB")
        .set("spool.segment_octets", "16MiB")
        .set("spool.body_io", body_io)
}

/// Clients send until the power goes; what they were promised must be on the device.
fn cut_the_power(body_io: &str) {
    let sink = Sink::scripted(|_| Act::SayAndClose("421 4.3.2 later".to_owned()));
    let mut device = Device::format();
    let place = device.mount("image");
    let mut relay = Relay::start(settings_on(&place, &sink, body_io));
    let promised: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let server = relay.smtp();
    let client = |client: usize| {
        let (promised, stop) = (Arc::clone(&promised), Arc::clone(&stop));
        thread::spawn(move || {
            let mut session = Smtp::open(server);
            for number in 0..400 {
                let id = format!("c{client}-n{number}");
                let octets = if number % 5 == 4 { 200_000 } else { 700 + number };
                let reply = session.try_deliver(
                    "ana@sender.example",
                    &["bo@receiver.example"],
                    &letter(&id, octets),
                );
                // The relay may be stopped with the reply unsent: no promise then.
                let Ok(reply) = reply else { return };
                if stop.load(Ordering::SeqCst) || reply.code != 250 {
                    return;
                }
                promised.lock().expect("the promises").insert(id, octets);
            }
        })
    };
    let clients: Vec<_> = (0..3).map(client).collect();
    wait_until("some promises", || promised.lock().expect("the promises").len() >= 60);
    relay.process().signal("STOP");
    // What was promised up to here counts; later replies cannot come, the relay stands still.
    let kept = promised.lock().expect("the promises").clone();
    device.copy("after-the-cut");
    stop.store(true, Ordering::SeqCst);
    relay.kill();
    for client in clients {
        client.join().expect("a client");
    }
    let place = device.mount("after-the-cut");
    relay.set_settings(settings_on(&place, &sink, body_io));
    sink.set_script(|_| Act::Go);
    relay.restart();
    sink.wait_letters(kept.keys());
    let received = sink.accepted();
    for message in
        received.iter().filter(|message| kept.contains_key(&message.id().unwrap_or_default()))
    {
        let id = message.id().expect("an id");
        assert_same(&id, behind_trace(&message.content), &letter(&id, kept[&id]));
    }
    let ids: Vec<String> = received.iter().filter_map(Received::id).collect();
    eprintln!("power cut ({body_io}): promised {}, arrived {}", kept.len(), ids.len());
    relay.kill();
}

#[test]
fn a_power_cut_loses_nothing_that_was_promised() {
    cut_the_power("auto");
}

#[test]
fn a_power_cut_loses_nothing_that_was_promised_without_io_uring() {
    cut_the_power("threads");
}
