//! What must hold of any input that comes from outside.
//!
//! **Takes** octets. **Gives** nothing: what does not hold is a panic. **Never** depends on time, chance or files.
//!
//! `make fuzz` gives each target inputs of libFuzzer's making; `tests/corpus.rs` gives it those in `corpus/`.

#![expect(clippy::panic, reason = "a panic is a finding")]

mod codec;
mod cut;
mod kept;
mod proxied;
mod sessions;

/// Something that octets are given to.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    check: fn(&[u8]),
}

impl Target {
    /// Panics if what must hold does not hold of `input`.
    pub fn hold(self, input: &[u8]) {
        (self.check)(input);
    }
}

/// Everything that is fuzzed.
pub const TARGETS: [Target; 12] = [
    Target { name: "address", check: codec::address },
    Target { name: "bdat", check: codec::bdat },
    Target { name: "command", check: codec::command },
    Target { name: "content", check: codec::content },
    Target { name: "data", check: codec::data },
    Target { name: "next_hop", check: sessions::next_hop },
    Target { name: "proxy", check: proxied::proxy },
    Target { name: "record", check: kept::record },
    Target { name: "reply", check: codec::reply },
    Target { name: "session", check: sessions::session },
    Target { name: "settings", check: kept::settings },
    Target { name: "xclient", check: proxied::xclient },
];

/// The target with this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// All names, for a message.
pub fn names() -> String {
    TARGETS.map(|target| target.name).join(", ")
}
