//! Why parameters of MAIL and RCPT are refused.

use smtp_codec::ParamError;

/// Why parameters cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadParam {
    /// A parameter is not known, or its value is wrong.
    Value(ParamError),
    /// A parameter for those only who have logged in.
    LoginFirst,
    /// `BODY=BINARYMIME`, which is not offered here.
    BinaryMime,
    /// Both HOLDFOR and HOLDUNTIL.
    HoldTwice,
    /// A longer hold than is offered.
    HoldTooLong,
    /// Less time for delivery than is offered, or less than the hold takes.
    ByTooSoon,
}

impl BadParam {
    /// What `error` means if the parameters can be taken of a client that has logged in.
    pub(super) fn before_login(error: ParamError, is_known_then: impl FnOnce() -> bool) -> Self {
        if error == ParamError::Unknown && is_known_then() {
            Self::LoginFirst
        } else {
            Self::Value(error)
        }
    }
}

impl From<ParamError> for BadParam {
    fn from(error: ParamError) -> Self {
        Self::Value(error)
    }
}
