//! The parameters of MAIL that are offered.

use std::mem;

use mail::BodyType;
use smtp_codec::Params;

use crate::server::replies::{self, Line};

/// What MAIL said besides the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MailParams {
    pub(super) octets_declared: Option<u64>,
    pub(super) body_type: Option<BodyType>,
    pub(super) needs_smtputf8: bool,
}

/// RFC 1870 §3: up to twenty digits.
const SIZE_DIGITS_MAX: usize = 20;

impl MailParams {
    /// Reads the parameters; each may stand once. The error is the reply.
    pub(super) fn read(params: Params<'_>) -> Result<Self, Line> {
        let mut found = Self::default();
        for param in params.iter() {
            let is_again = if param.is("SIZE") {
                let octets = param.value.and_then(size).ok_or(replies::PARAMETER_MALFORMED)?;
                found.octets_declared.replace(octets).is_some()
            } else if param.is("BODY") {
                let body_type = body_type(param.value.ok_or(replies::PARAMETER_MALFORMED)?)?;
                found.body_type.replace(body_type).is_some()
            } else if param.is("SMTPUTF8") {
                mem::replace(&mut found.needs_smtputf8, true) || param.value.is_some()
            } else {
                return Err(replies::PARAMETER_UNKNOWN);
            };
            if is_again {
                return Err(replies::PARAMETER_MALFORMED);
            }
        }
        Ok(found)
    }
}

/// A number that no integer holds is as large as can be.
fn size(value: &str) -> Option<u64> {
    let is_number =
        value.len() <= SIZE_DIGITS_MAX && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

fn body_type(value: &str) -> Result<BodyType, Line> {
    if value.eq_ignore_ascii_case("7BIT") {
        Ok(BodyType::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Ok(BodyType::EightBitMime)
    } else {
        Err(replies::BODY_NOT_OFFERED)
    }
}
