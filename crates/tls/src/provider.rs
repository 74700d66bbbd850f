//! The one crypto provider.

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Older versions are not to be spoken (RFC 8996).
pub(crate) const VERSIONS: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

const NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum Version {
    /// TLS 1.2 (RFC 5246) and newer.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

impl Version {
    /// All from this one on.
    pub(crate) const fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => VERSIONS,
            Self::Tls13 => NEWEST,
        }
    }

    /// What is spoken, in words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2 and 1.3 are spoken here",
            Self::Tls13 => "only 1.3 is spoken here",
        }
    }
}

/// AWS-LC, named on purpose: with two providers in the tree, the process-wide default panics.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
