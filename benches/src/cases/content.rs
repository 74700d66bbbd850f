//! Content: dots out and in, chunks, and the looks at header and lines.

use std::hint::black_box;

use bytes::Bytes;
use smtp_codec::{BdatDecoder, DataDecoder, Decoded, DotStuffer, HeaderScan, LineScan};

use crate::case::{Amount, Case};
use crate::inputs::{self, KIB, Lines};

pub(super) fn cases() -> Vec<Case> {
    let plain = |kib: usize| inputs::content(kib * 1024, Lines::Plain);
    let dots = |kib: usize| inputs::content(kib * 1024, Lines::Dots);
    let mut cases = Vec::new();
    let sizes = || KIB.into_iter().map(|kib| (format!("{kib}KiB"), plain(kib)));
    let all = || sizes().chain([("100KiB_dots".to_owned(), dots(100))]);
    cases.extend(all().map(|(input, content)| decode(input, content)));
    cases.extend(all().map(|(input, content)| stuff(input, content)));
    cases.extend(sizes().map(|(input, content)| count_out(input, content)));
    cases.push(scan_header(Bytes::from_static(inputs::header())));
    cases.extend(sizes().map(|(input, content)| scan_lines(input, content)));
    cases
}

fn decode(input: String, content: Bytes) -> Case {
    Case::new("data_decode", input, Amount::Octets(content.len()), move || {
        let reads = inputs::reads(&inputs::stuffed(content.clone()));
        let octets = content.len();
        move || {
            let (mut decoder, mut decoded) = (DataDecoder::new(), 0);
            for read in black_box(&reads) {
                let mut read = read.clone();
                while let Some(Decoded::Payload(piece)) = decoder.decode(&mut read) {
                    decoded += black_box(piece).len();
                }
            }
            assert_eq!(decoded, octets, "the content is not whole");
        }
    })
}

fn stuff(input: String, content: Bytes) -> Case {
    Case::new("dot_stuff", input, Amount::Octets(content.len()), move || {
        let content = content.clone();
        move || {
            let mut stuffer = DotStuffer::new();
            black_box(stuffer.stuff(black_box(content.clone())));
            black_box(stuffer.end());
        }
    })
}

fn count_out(input: String, content: Bytes) -> Case {
    Case::new("bdat_decode", input, Amount::Octets(content.len()), move || {
        let (octets, reads) = (content.len() as u64, inputs::reads(&content));
        move || {
            let mut decoder = BdatDecoder::new(octets);
            for read in black_box(&reads) {
                let mut read = read.clone();
                while let Some(piece) = decoder.decode(&mut read) {
                    black_box(piece);
                }
            }
            assert!(decoder.is_whole(), "the chunk is not whole");
        }
    })
}

fn scan_header(header: Bytes) -> Case {
    Case::new("header_scan", "22_lines", Amount::Octets(header.len()), move || {
        let header = header.clone();
        move || {
            let mut scan = HeaderScan::new();
            scan.scan(black_box(&header));
            assert!(black_box(scan).is_ended(), "the header did not end");
        }
    })
}

fn scan_lines(input: String, content: Bytes) -> Case {
    Case::new("line_scan", input, Amount::Octets(content.len()), move || {
        let content = content.clone();
        move || {
            let mut scan = LineScan::new(1 << 20);
            scan.scan(black_box(&content));
            assert!(!black_box(scan).has_bare_end(), "a line does not end with CRLF");
        }
    })
}
