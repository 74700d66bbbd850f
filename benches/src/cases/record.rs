//! The record of a message in the spool.

use std::hint::black_box;
use std::sync::Arc;

use mail::MessageId;
use spool::measured;

use crate::case::{Amount, Case};
use crate::inputs;

const RECIPIENTS: [usize; 2] = [1, 50];

pub(super) fn cases() -> Vec<Case> {
    RECIPIENTS.map(encode).into_iter().chain(RECIPIENTS.map(decode)).collect()
}

fn input(recipients: usize) -> String {
    format!("{recipients}_recipients")
}

const fn id() -> MessageId {
    MessageId::new(1_795_286_760_007, 0x00ab_cdef)
}

fn encode(recipients: usize) -> Case {
    Case::new("record_encode", input(recipients), Amount::Elements(1), move || {
        let envelope = Arc::new(inputs::envelope(recipients));
        move || {
            black_box(measured::encode(black_box(&envelope), id()));
        }
    })
}

fn decode(recipients: usize) -> Case {
    Case::new("record_decode", input(recipients), Amount::Elements(1), move || {
        let record = measured::encode(&Arc::new(inputs::envelope(recipients)), id());
        move || {
            let envelope = measured::decode(black_box(&record), id());
            assert!(black_box(envelope).is_some(), "the record is damaged");
        }
    })
}
