//! Runs the program as its users do.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Hands every connection on to the sink as it is.
const FORWARDS: &str = r"
use IO::Socket::INET; use IO::Select;
$SIG{CHLD} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalAddr => '{listen}', Listen => 50) or die 'cannot listen';
while (my $client = $server->accept) {
    next if fork;
    my $sink = IO::Socket::INET->new('{sink_host}:{sink_port}') or exit;
    my $both = IO::Select->new($client, $sink);
    while (my @ready = $both->can_read) {
        for my $from (@ready) {
            sysread($from, my $octets, 65536) or exit;
            syswrite($from == $client ? $sink : $client, $octets);
        }
    }
}
";

/// Says 250 to everything and forgets it.
const FORGETS: &str = r#"
use IO::Socket::INET;
$SIG{CHLD} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalAddr => '{listen}', Listen => 50) or die 'cannot listen';
while (my $client = $server->accept) {
    next if fork;
    my $is_content = 0;
    print $client "220 here\r\n";
    while (my $line = <$client>) {
        next if $is_content and $line ne ".\r\n";
        $is_content = $line =~ /^DATA/;
        print $client $is_content ? "354 go on\r\n" : "250 gladly\r\n";
    }
    exit;
}
"#;

/// A place for a relay's file, its folder and reports.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mail")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the file of a relay that `script` is, started by `start`.
    fn relay(&self, script: &str, start: &str) -> String {
        let text = format!(
            "name = 'small'\nabout = 'A few lines of Perl'\ndurability = 'None at all.'\n\
             program = 'perl'\ninstall = 'install perl'\nversion = '{{program}} -e \"print 5\"'\n\
             start = '{start}'\n[[file]]\npath = 'relay.pl'\ntext = '''{script}'''\n"
        );
        let path = self.path("relay.toml");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chasqui-loadtest"));
        command.args(words).arg("--folder").arg(self.path("mail"));
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        let left: Vec<_> = fs::read_dir(self.path("mail")).unwrap().collect();
        assert!(left.is_empty(), "the relay's folder is still there: {left:?}");
        output
    }
}

const START: &str = "exec {program} {folder}/relay.pl";

#[track_caller]
fn check_code(output: &Output, want: i32) {
    assert_eq!(output.status.code(), Some(want), "{output:?}");
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_relay_is_started_measured_and_stopped() {
    let room = Room::new();
    let relay = room.relay(FORWARDS, START);
    let out = room.path("report").display().to_string();
    let words = [
        "run",
        "--peer",
        &relay,
        "--messages",
        "40",
        "--connections",
        "4",
        "--recipients",
        "2",
        "--json",
        "--out",
        &out,
    ];
    let output = room.run(&words);
    check_code(&output, 0);
    let value = json(&output);
    for (key, want) in
        [("messages", 40), ("accepted", 40), ("delivered", 80), ("lost", 0), ("doubled", 0)]
    {
        assert_eq!(value[key], want, "{key}: {value}");
    }
    assert_eq!((&value["relay"], &value["relays"][0]["version"]), (&"small".into(), &"5".into()));
    assert!(value["cost"]["memory_peak_octets"].as_u64().unwrap() > 0, "{value}");
    let page = fs::read_to_string(Path::new(&out).join("report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 3);
}

#[test]
fn without_a_scenario_file_the_options_say_what_is_sent() {
    // Source and sink at one address: there is no relay between. The word `run` may be left out.
    let words = "--messages 10 --connections 2 --size 1KiB --per-connection 3 --recipients 2 --domains 3 \
                 --pipelining --target 127.0.0.1:0 --sink 127.0.0.1:0 --settle-wait-max 60s --json";
    let output =
        Room::new().run(&words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>());
    check_code(&output, 0);
    let value = json(&output);
    assert_eq!((&value["relay"], &value["delivered"]), (&"direct".into(), &20.into()), "{value}");
}

#[test]
fn next_hops_that_a_relay_cannot_know_are_an_error() {
    let output =
        Room::new().run(&["run", "failing", "--target", "127.0.0.1:1", "--sink", "127.0.0.1:0"]);
    check_code(&output, 2);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("scenario failing, relay relay: it has next hops of its own"), "{said}");
}

#[test]
fn a_relay_that_is_not_there_is_an_error() {
    // The port is taken and never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap().to_string();
    let output = Room::new().run(&[
        "--messages",
        "5",
        "--target",
        &target,
        "--sink",
        "127.0.0.1:0",
        "--settle-wait-max",
        "1ms",
    ]);
    check_code(&output, 2);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("5 of 5 messages were given up"), "{said}");
}

#[test]
fn a_relay_that_forgets_is_found_out() {
    let room = Room::new();
    let relay = room.relay(FORGETS, START);
    let words =
        ["run", "small", "--peer", &relay, "--messages", "20", "--settle-wait-max", "5s", "--json"];
    let output = room.run(&words);
    check_code(&output, 1);
    let value = json(&output);
    assert_eq!((&value["accepted"], &value["lost"]), (&20.into(), &20.into()), "{value}");
}

#[test]
fn a_relay_that_does_not_start_is_quoted() {
    let room = Room::new();
    let relay = room.relay("", "echo no licence for that; exit 3");
    let output = room.run(&["run", "--peer", &relay, "--messages", "1"]);
    check_code(&output, 2);
    let said = String::from_utf8(output.stderr).unwrap();
    for want in ["small does not start", "no licence for that", "exit status: 3"] {
        assert!(said.contains(want), "{want}: {said}");
    }
}

#[test]
fn relays_are_compared_and_missing_ones_named() {
    let room = Room::new();
    let relay = room.relay(FORWARDS, START);
    let away = room.path("away.toml");
    let text = fs::read_to_string(&relay).unwrap();
    fs::write(&away, text.replace("'small'", "'away'").replace("'perl'", "'no-such-perl'"))
        .unwrap();
    let out = room.path("report");
    let peers = format!("{relay},second={relay},{}", away.display());
    let (peers, folder) = (peers.as_str(), out.display().to_string());
    let words = [
        "compare",
        "--peers",
        peers,
        "--scenarios",
        "small,reused",
        "--messages",
        "30",
        "--rounds",
        "2",
        "--repeats",
        "0",
        "--out",
        &folder,
    ];
    let output = room.run(&words);
    check_code(&output, 0);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("away is not on this machine: install perl"), "{said}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("small over second") && table.contains("## reused"), "{table}");
    let whole: Value =
        serde_json::from_str(&fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
    // Two rounds of two scenarios, each with two relays and with none.
    assert_eq!(whole["runs"].as_array().unwrap().len(), 12);
    assert_eq!(whole["device"].as_array().unwrap().len(), 2);
    let markdown = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(markdown.contains("Left out: away"), "{markdown}");
}

#[test]
fn no_relay_outlives_a_load_test_that_is_killed() {
    let room = Room::new();
    let pipe = room.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // The relay holds the pipe open for as long as it lives, and so does each of its children.
    let start = format!("exec 3>{}; echo up >&3; {START}", pipe.display());
    let relay = room.relay(FORWARDS, &start);
    let mut load = room.command(&["run", "--peer", &relay, "--messages", "10000000"]);
    let mut load = load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut pipe = BufReader::new(File::open(&pipe).unwrap());
    let mut line = String::new();
    pipe.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    load.kill().unwrap();
    load.wait().unwrap();
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the pipe ended with the relay");
}

#[test]
fn what_is_shipped_is_listed() {
    let output = Command::new(env!("CARGO_BIN_EXE_chasqui-loadtest")).arg("list").output().unwrap();
    check_code(&output, 0);
    let said = String::from_utf8(output.stdout).unwrap();
    for want in ["scenarios", "  reused ", "relays", "  chasqui ", "  postfix "] {
        assert!(said.contains(want), "{want}: {said}");
    }
}
