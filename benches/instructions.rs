//! Counts the instructions of each case under valgrind and holds them against the accepted counts.
//!
//! **Takes** `instructions.toml` beside it. **Gives** a table, and failure when a case costs too much more.
//! **Never** depends on how busy the machine is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use benches::baseline::{Baseline, Comparison};
use benches::case::{Amount, Case, Measured};
use benches::cases;
use clap::Parser;

/// The relay's own allocator, since allocations are among what is counted.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Counts the instructions of each case and compares them with the accepted counts.
#[derive(Debug, Parser)]
#[command(name = "instructions")]
struct Arguments {
    /// Only cases with this in their name.
    part: Option<String>,
    /// Accept the new counts.
    #[arg(long)]
    accept: bool,
    /// Run one case, for valgrind.
    #[arg(long, hide = true)]
    alone: Option<String>,
    /// What cargo says to all benchmarks.
    #[arg(long, hide = true)]
    bench: bool,
}

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml");
/// What callgrind wrote stays here, for `callgrind_annotate`.
const PROFILES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/instructions");
/// Turns that go before, until caches and buffers have their size.
const WARM_UP_TURNS: u64 = 10;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.alone {
        Some(name) => run_alone(name),
        None => count(&arguments),
    };
    done.unwrap_or_else(|error| {
        drop(writeln!(std::io::stderr(), "instructions: {error:#}"));
        ExitCode::FAILURE
    })
}

fn counted_cases() -> impl Iterator<Item = Case> {
    cases::all().into_iter().filter(|case| case.measured == Measured::Always)
}

fn run_alone(name: &str) -> Result<ExitCode> {
    let case = counted_cases().find(|case| case.name() == name).context("no such case")?;
    let mut turn = case.prepare();
    for _ in 0..WARM_UP_TURNS {
        turn();
    }
    counted_turns(&mut turn, turns(&case));
    Ok(ExitCode::SUCCESS)
}

/// Callgrind counts inside this function only, so it must not be inlined.
#[inline(never)]
fn counted_turns(turn: &mut dyn FnMut(), turns: u64) {
    for _ in 0..turns {
        turn();
    }
}

/// So many that what the allocator does now and then does not show.
const fn turns(case: &Case) -> u64 {
    match case.amount {
        Amount::Elements(1000..) => 40,
        Amount::Elements(_) | Amount::Octets(_) => 400,
    }
}

fn count(arguments: &Arguments) -> Result<ExitCode> {
    let toolchain = toolchain()?;
    let mut baseline = match fs::read_to_string(BASELINE) {
        Ok(text) => Baseline::read(&text).with_context(|| format!("{BASELINE} is malformed"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Baseline::default(),
        Err(error) => return Err(error).context(BASELINE),
    };
    fs::create_dir_all(PROFILES).context(PROFILES)?;
    let cases: Vec<_> = counted_cases().collect();
    let mut counts = Vec::new();
    for case in &cases {
        let name = case.name();
        if arguments.part.as_ref().is_none_or(|part| name.contains(part.as_str())) {
            let total = instructions(&name)?;
            counts.push((name, total / turns(case)));
        }
    }
    let comparison = Comparison::new(baseline.accepted(&toolchain), &counts);
    let mut out = std::io::stdout().lock();
    write!(out, "\n{toolchain}\n{comparison}\n")?;
    if arguments.accept {
        baseline.accept(&toolchain, counts.into_iter().collect());
        baseline.retain(&toolchain, |name| cases.iter().any(|case| case.name() == name));
        fs::write(BASELINE, baseline.text()?).context(BASELINE)?;
        writeln!(out, "accepted: commit benches/instructions.toml")?;
        return Ok(ExitCode::SUCCESS);
    }
    if baseline.accepted(&toolchain).is_none() {
        writeln!(
            out,
            "warning: no counts are accepted for this toolchain, so nothing was compared;"
        )?;
        writeln!(out, "`make bench-accept` adds them to benches/instructions.toml")?;
    }
    match comparison.regressions() {
        0 => Ok(ExitCode::SUCCESS),
        regressions => {
            writeln!(
                out,
                "too slow: {regressions} of the cases cost over 5 % more than accepted;"
            )?;
            writeln!(
                out,
                "see where by `callgrind_annotate {PROFILES}/CASE.out`, CASE with _ for /;"
            )?;
            writeln!(
                out,
                "if it must be so, `make bench-accept` and commit benches/instructions.toml"
            )?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Instructions of all counted turns of a case.
fn instructions(name: &str) -> Result<u64> {
    let profile = Path::new(PROFILES).join(format!("{}.out", name.replace('/', "_")));
    let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
    out_file.push(&profile);
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--toggle-collect=*counted_turns*"])
        .arg(out_file)
        .arg(own_path()?)
        .args(["--alone", name])
        // Settings of the C library would change the counts, and so would memory given back when time has passed.
        .env_clear()
        .env("MALLOC_CONF", "dirty_decay_ms:-1,muzzy_decay_ms:-1")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output()
        .context("valgrind cannot be run; install it: apt-get install valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed under valgrind: {said}");
    let text = fs::read_to_string(&profile).with_context(|| profile.display().to_string())?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 =
        total.and_then(|total| total.parse().ok()).context("callgrind gave no total")?;
    ensure!(total > 0, "callgrind counted nothing of {name}");
    Ok(total)
}

fn own_path() -> Result<PathBuf> {
    std::env::current_exe().context("this program does not find itself")
}

/// What the counts depend on besides our code.
fn toolchain() -> Result<String> {
    let rustc = said("rustc", &["--version"])?;
    let rustc = rustc.split(" (").next().unwrap_or_default();
    let libc = said("getconf", &["GNU_LIBC_VERSION"])?;
    Ok(format!("{rustc}, {libc}, {}", vectors()))
}

fn said(program: &str, words: &[&str]) -> Result<String> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("{program} cannot be run"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Searches and copies take the widest vectors that the machine has.
#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    if is_x86_feature_detected!("avx2") { "x86_64 with AVX2" } else { "x86_64 without AVX2" }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    std::env::consts::ARCH
}
