//! Runs one target under libFuzzer.
//!
//! **Takes** the target's name from `FUZZ_TARGET` and libFuzzer's own options. **Gives** the input that breaks it.
//! **Never** checks anything itself: what must hold is in the crate `fuzz`.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    fuzz::target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET is one of {}", fuzz::names()))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.hold(input));
