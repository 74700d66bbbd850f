//! Bytes to commands, replies and payload, and back.
//!
//! **Takes** bytes as they come from a socket, cut anywhere. **Gives** lines, commands, payload slices and replies.
//! **Never** touches a socket or a clock, keeps no state beyond framing, takes nothing but CRLF as the end of a line.
//! RFC 5321 §4.1 and §4.5, RFC 3030, RFC 6152, RFC 6531.
