//! What a session runs on, in words.

use rustls::{CommonState, ConnectionCommon, ProtocolVersion, SideData};

/// Says what a finished handshake agreed on: `TLSv1.3 TLS_AES_256_GCM_SHA384`.
///
/// Takes a `ServerConnection` or a `ClientConnection` (both lend a `CommonState`); before the
/// handshake is done the text is empty.
pub fn facts(connection: &CommonState) -> Box<str> {
    let (Some(version), Some(suite)) =
        (connection.protocol_version(), connection.negotiated_cipher_suite())
    else {
        return Box::default();
    };
    let version = match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => "TLS",
    };
    // The IANA names of the TLS 1.3 suites begin with `TLS_`; rustls writes `TLS13_`.
    let suite = format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1);
    format!("{version} {suite}").into_boxed_str()
}

/// What ties a login to this session: `tls-exporter` (RFC 9266). None before TLS 1.3, where it is not unique for sure.
pub fn exporter<Side: SideData>(connection: &ConnectionCommon<Side>) -> Option<Box<[u8]>> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let octets = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]));
    octets.ok().map(Box::<[u8; 32]>::new).map(|octets| octets as Box<[u8]>)
}
