//! A place.
/// Room for one message; given back when dropped.
#[derive(Debug)]
pub struct Place {}
