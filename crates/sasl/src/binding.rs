//! What ties a login to the TLS session that it goes through.

use std::fmt;

use rsasl::prelude::ChannelBindingCallback;

/// The bindings that a TLS session has; none without TLS.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// `tls-exporter`: 32 octets of keying material for the label `EXPORTER-Channel-Binding` with an empty context
    /// (RFC 9266 §2). Only of TLS 1.3, or of 1.2 with the extended master secret.
    pub exporter: Option<Box<[u8]>>,
    /// `tls-server-end-point`: the hash of the server's certificate (RFC 5929 §4.1).
    pub end_point: Option<Box<[u8]>>,
}

const EXPORTER: &str = "tls-exporter";
const END_POINT: &str = "tls-server-end-point";

impl ChannelBindings {
    /// Whether there is one.
    pub const fn is_some(&self) -> bool {
        self.exporter.is_some() || self.end_point.is_some()
    }

    /// The name of the one that a client uses.
    pub(crate) const fn preferred(&self) -> Option<&'static str> {
        match self {
            Self { exporter: Some(_), .. } => Some(EXPORTER),
            Self { end_point: Some(_), .. } => Some(END_POINT),
            Self { .. } => None,
        }
    }
}

impl ChannelBindingCallback for ChannelBindings {
    fn get_cb_data(&self, name: &str) -> Option<&[u8]> {
        match name {
            EXPORTER => self.exporter.as_deref(),
            END_POINT => self.end_point.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Debug for ChannelBindings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = [(EXPORTER, self.exporter.is_some()), (END_POINT, self.end_point.is_some())];
        out.debug_set().entries(has.iter().filter(|(_, has)| *has).map(|(name, _)| name)).finish()
    }
}
