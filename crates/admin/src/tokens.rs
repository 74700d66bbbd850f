//! Bearer tokens: who holds one, and what for.

use std::io;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;

use crate::config::{Role, Token};

/// No file with a hash is longer.
const FILE_OCTETS_MAX: usize = 1024;
/// What a token begins with, so that scanners for secrets can find it.
const MARK: &str = "chasqui_";

/// The tokens of the settings.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Vec<Token>);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The name of the token.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) role: Role,
}

impl Tokens {
    pub(crate) const fn new(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token it is. The files are read each time, so that a token can be changed at any moment.
    pub(crate) async fn holder(&self, token: &str) -> Option<Holder> {
        let asked = hash(token);
        let mut found = None;
        for one in &self.0 {
            let Ok(octets) = tokio::fs::read(&one.hash_file).await else {
                tracing::warn!(token = %one.name, file = %one.hash_file.display(), "token hash not readable");
                continue;
            };
            let known = String::from_utf8_lossy(&octets);
            let known = known.trim().to_ascii_lowercase();
            let is_it = verify_slices_are_equal(known.as_bytes(), asked.as_bytes()).is_ok();
            if is_it && found.is_none() {
                found = Some(Holder { name: one.name.clone(), role: one.role });
            }
        }
        found
    }
}

impl Token {
    /// Why its file cannot be used, if it cannot. Blocks on the file.
    pub fn problem(&self) -> Option<String> {
        let octets = match std::fs::read(&self.hash_file) {
            Ok(octets) => octets,
            Err(error) => return Some(error.to_string()),
        };
        let text = String::from_utf8_lossy(&octets);
        let text = text.trim();
        let is_hash = octets.len() <= FILE_OCTETS_MAX
            && text.len() == SHA256.output_len * 2
            && text.chars().all(|c| c.is_ascii_hexdigit());
        (!is_hash).then(|| "holds no SHA-256 hash of 64 hexadecimal digits".to_owned())
    }
}

/// A new token and its hash.
pub fn new_token() -> io::Result<(String, String)> {
    let mut octets = [0; 32];
    rand::fill(&mut octets).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let token = format!("{MARK}{}", hex(&octets));
    let hash = hash(&token);
    Ok((token, hash))
}

fn hash(token: &str) -> String {
    hex(digest(&SHA256, token.as_bytes()).as_ref())
}

fn hex(octets: &[u8]) -> String {
    let digits = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
