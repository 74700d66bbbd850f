//! SMTP conversations as state machines: what a server says to a client, and a client to a server.
//!
//! **Takes** bytes, verdicts and the time, each by value. **Gives** steps: bytes to send, questions, content, commits.
//! **Never** touches a socket, a clock, a disk or a look-up; buffers no content.
//! RFC 5321, RFC 1870, RFC 2034, RFC 2852, RFC 2920, RFC 3030, RFC 3207, RFC 3461, RFC 4865, RFC 4954, RFC 6152,
//! RFC 6531, RFC 6710, RFC 8689, RFC 9422.

pub mod client;
pub mod server;
