//! Why parameters of MAIL and RCPT are refused.

use smtp_codec::ParamError;

/// Why parameters cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadParam {
    /// A parameter is not known, or its value is wrong.
    Value(ParamError),
    /// `BODY=BINARYMIME`, which is not offered here.
    BinaryMime,
    /// Both HOLDFOR and HOLDUNTIL.
    HoldTwice,
    /// A longer hold than is offered.
    HoldTooLong,
    /// Less time for delivery than is offered, or less than the hold takes.
    ByTooSoon,
}

impl From<ParamError> for BadParam {
    fn from(error: ParamError) -> Self {
        Self::Value(error)
    }
}
