//! The relay as a program: arguments, wiring, signals and exit codes.
//!
//! **Takes** a command line. **Gives** a running relay, or one command's answer and exit code.
//! **Never** holds a rule of mail: it builds the parts, hands them to each other (`wire`) and waits.
//! systemd's `sd_notify(3)`, sysexits(3).

mod arguments;
mod certificates;
mod commands;
mod decisions;
mod descriptors;
mod domains;
mod failure;
mod files;
mod given;
mod keys;
mod least;
mod log;
mod logins;
mod look;
mod metrics;
mod notify;
mod output;
mod panics;
mod password;
mod private_file;
mod random;
mod reach;
mod ready;
mod refused;
mod relay;
mod reload;
mod return_paths;
mod rules;
mod running;
mod services;
mod signals;
mod signing;
mod trial;
mod tryout;
mod upkeep;
mod wire;

use std::process::ExitCode;

use clap::Parser;

pub use arguments::Arguments;
pub use least::families;
pub use running::Running;
pub use wire::start;

/// Reads the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match commands::run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(failure.to_string());
            failure.code.into()
        }
    }
}
