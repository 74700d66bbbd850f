//! What both sides agree on before anything else (`SMFIC_OPTNEG`).

use bytes::{Buf, Bytes};

use crate::error::AskError;

/// The version that is offered; a milter may answer with an older one, down to 2.
const VERSION: u32 = 6;
const VERSION_MIN: u32 = 2;

/// What a milter may do to a message. Replacing the body (2) and naming the macros it wants (0x100) are not offered.
pub(crate) mod action {
    pub(crate) const ADD_HEADERS: u32 = 0x01;
    pub(crate) const ADD_RECIPIENTS: u32 = 0x04;
    pub(crate) const DELETE_RECIPIENTS: u32 = 0x08;
    pub(crate) const CHANGE_HEADERS: u32 = 0x10;
    pub(crate) const QUARANTINE: u32 = 0x20;
    pub(crate) const CHANGE_SENDER: u32 = 0x40;
    pub(crate) const ADD_RECIPIENTS_WITH_PARAMETERS: u32 = 0x80;
}

const ACTIONS: u32 = action::ADD_HEADERS
    | action::ADD_RECIPIENTS
    | action::DELETE_RECIPIENTS
    | action::CHANGE_HEADERS
    | action::QUARANTINE
    | action::CHANGE_SENDER
    | action::ADD_RECIPIENTS_WITH_PARAMETERS;

/// What a milter may wish not to hear of, not to answer, or to have done otherwise.
pub(crate) mod step {
    pub(crate) const NO_CONNECT: u32 = 0x01;
    pub(crate) const NO_HELO: u32 = 0x02;
    pub(crate) const NO_MAIL: u32 = 0x04;
    pub(crate) const NO_RCPT: u32 = 0x08;
    pub(crate) const NO_BODY: u32 = 0x10;
    pub(crate) const NO_HEADERS: u32 = 0x20;
    pub(crate) const NO_END_OF_HEADERS: u32 = 0x40;
    pub(crate) const SILENT_HEADERS: u32 = 0x80;
    pub(crate) const NO_UNKNOWN: u32 = 0x100;
    pub(crate) const NO_DATA: u32 = 0x200;
    pub(crate) const SKIP: u32 = 0x400;
    pub(crate) const SILENT_CONNECT: u32 = 0x1000;
    pub(crate) const SILENT_HELO: u32 = 0x2000;
    pub(crate) const SILENT_MAIL: u32 = 0x4000;
    pub(crate) const SILENT_RCPT: u32 = 0x8000;
    pub(crate) const SILENT_DATA: u32 = 0x1_0000;
    pub(crate) const SILENT_UNKNOWN: u32 = 0x2_0000;
    pub(crate) const SILENT_END_OF_HEADERS: u32 = 0x4_0000;
    pub(crate) const SILENT_BODY: u32 = 0x8_0000;
    pub(crate) const LEADING_SPACE: u32 = 0x10_0000;
}

/// All of them; recipients that were refused (0x800) are not told.
const STEPS: u32 = step::NO_CONNECT
    | step::NO_HELO
    | step::NO_MAIL
    | step::NO_RCPT
    | step::NO_BODY
    | step::NO_HEADERS
    | step::NO_END_OF_HEADERS
    | step::SILENT_HEADERS
    | step::NO_UNKNOWN
    | step::NO_DATA
    | step::SKIP
    | step::SILENT_CONNECT
    | step::SILENT_HELO
    | step::SILENT_MAIL
    | step::SILENT_RCPT
    | step::SILENT_DATA
    | step::SILENT_UNKNOWN
    | step::SILENT_END_OF_HEADERS
    | step::SILENT_BODY
    | step::LEADING_SPACE;

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    actions: u32,
    steps: u32,
}

/// What is offered.
pub(crate) fn offer() -> [u8; 12] {
    let mut offer = [0; 12];
    let numbers = [VERSION, ACTIONS, STEPS].map(u32::to_be_bytes);
    for (place, byte) in offer.iter_mut().zip(numbers.as_flattened()) {
        *place = *byte;
    }
    offer
}

impl Agreement {
    /// Before anything is agreed on.
    pub(crate) const fn none() -> Self {
        Self { actions: 0, steps: 0 }
    }

    /// Reads what the milter makes of the offer. What follows the three numbers are names of macros, which do not matter:
    /// it hears all.
    pub(crate) fn read(mut content: Bytes) -> Result<Self, AskError> {
        let mut number = || content.try_get_u32().map_err(|_| wrong("its options are cut off"));
        let (version, actions, steps) = (number()?, number()?, number()?);
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(wrong(format!("it speaks version {version}")));
        }
        if actions & !ACTIONS != 0 {
            let words = format!("it wants to do what is not offered ({:#x})", actions & !ACTIONS);
            return Err(wrong(words));
        }
        if steps & !STEPS != 0 {
            let words = format!("it wants steps that are not offered ({:#x})", steps & !STEPS);
            return Err(wrong(words));
        }
        Ok(Self { actions, steps })
    }

    /// Whether the milter said that it may do this.
    pub(crate) const fn allows(self, action: u32) -> bool {
        self.actions & action != 0
    }

    /// Whether the milter wants it so.
    pub(crate) const fn wants(self, step: u32) -> bool {
        self.steps & step != 0
    }
}

fn wrong(words: impl Into<String>) -> AskError {
    AskError::protocol(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: u32, actions: u32, steps: u32) -> Result<Agreement, AskError> {
        let numbers = [version, actions, steps].map(u32::to_be_bytes);
        Agreement::read(Bytes::copy_from_slice(numbers.as_flattened()))
    }

    #[test]
    fn only_what_is_offered_is_agreed_on() {
        assert_eq!(offer(), [0, 0, 0, 6, 0, 0, 0, 0xfd, 0, 0x1f, 0xf7, 0xff]);
        let agreement = read(2, 0x11, step::NO_HELO | step::SKIP).unwrap();
        assert!(agreement.allows(action::ADD_HEADERS) && !agreement.allows(action::QUARANTINE));
        assert!(agreement.wants(step::NO_HELO) && !agreement.wants(step::NO_MAIL));
        assert!(Agreement::read(Bytes::copy_from_slice(&offer())).is_ok());
        for (version, actions, steps) in
            [(1, 0, 0), (7, 0, 0), (6, 2, 0), (6, 0x100, 0), (6, 0, 0x800)]
        {
            assert!(read(version, actions, steps).is_err(), "{version} {actions} {steps}");
        }
        assert!(Agreement::read(Bytes::from_static(&[0; 11])).is_err());
    }
}
