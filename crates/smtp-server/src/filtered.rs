//! The filters of one connection.

/// The filters of a connection.
pub(crate) struct Filtered {
    pub(crate) session: filters::Session,
    /// What the client called itself when they were asked, and whether that was under TLS.
    pub(crate) helo: Option<(Box<str>, bool)>,
}
