//! The program `chasqui`.

use std::process::ExitCode;

/// Also serves RocksDB's C++ side; fragments less than the system's under many threads.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    chasqui::main()
}
