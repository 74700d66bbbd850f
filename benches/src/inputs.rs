//! Inputs that look like what a relay gets, the same in every run.
#![expect(
    clippy::unwrap_used,
    reason = "fixed texts that parse; one that does not shall stop the measurement"
)]

use bytes::Bytes;
use mail::{Address, BodyType, Envelope, Origin, Recipient, ReversePath, Wishes};
use smtp_codec::DotStuffer;

/// A header as a relay inside an organisation sees it.
const HEADER: &str = "\
Received: from mx2.source.example (mx2.source.example [192.0.2.25])\r
\tby filter.source.example with ESMTPS id 06fz3k8q4r5s6t7v8w9x0y1z2a\r
\t(version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384)\r
\tfor <user@destination.example>; Sat, 21 Nov 2026 18:46:01 +0000\r
Received: from app14.source.example ([198.51.100.14])\r
\tby mx2.source.example with ESMTP id 4ZQk3p0vX1z9sT2;\r
\tSat, 21 Nov 2026 18:46:00 +0000\r
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=source.example; s=s1;\r
\tt=1795286760; h=from:to:subject:date:message-id:mime-version:content-type;\r
\tbh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=;\r
\tb=pCUQkq0Mqy0Vl0C7GQ7mBvQ8j7eYVYZz8fVYp6mZ0m9x2fU7d9o6b5H4k3l2J1h0\r
\tGf9Ee8Dd7Cc6Bb5Aa4Zz3Yy2Xx1Ww0Vv9Uu8Tt7Ss6Rr5Qq4Pp3Oo2Nn1Mm0Ll9Kk8\r
From: \"Orders of the Source\" <orders+2026-11@source.example>\r
To: A User <user@destination.example>\r
Subject: =?utf-8?Q?Your_order_48151623_is_on_its_way?=\r
Date: Sat, 21 Nov 2026 18:45:59 +0000\r
Message-ID: <48151623.1795286759.42@app14.source.example>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=utf-8; format=flowed\r
Content-Transfer-Encoding: 7bit\r
List-Unsubscribe: <https://source.example/u/8f14e45fceea167a>\r
X-Mailer: orders 7.3.1\r
\r
";

const WORDS: [&str; 16] = [
    "the",
    "runner",
    "takes",
    "a",
    "message,",
    "runs",
    "to",
    "the",
    "next",
    "hut",
    "and",
    "hands",
    "it",
    "on:",
    "0123456789",
    "https://source.example/track/48151623",
];

/// Contents of these sizes stand for a short mail, one with a long thread or markup, and one with an attachment.
pub const KIB: [usize; 3] = [2, 10, 100];

/// Which lines a content has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// None starts with a dot, as in nearly all mail.
    Plain,
    /// One in twenty starts with a dot.
    Dots,
}

/// An address.
pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// An envelope with so many recipients.
pub fn envelope(recipients: usize) -> Envelope {
    let recipient = |number| {
        let text = format!("first.last{number}@department.destination.example");
        Recipient::from(address(&text))
    };
    Envelope {
        sender: ReversePath::Address(address("orders+2026-11@source.example")),
        recipients: (0..recipients).map(recipient).collect(),
        body_type: BodyType::SevenBit,
        needs_smtputf8: false,
        wishes: Wishes::default(),
        origin: Origin {
            client: Some([192, 0, 2, 25].into()),
            helo: "mx2.source.example".into(),
            listener: "smtp".into(),
            connector: "applications".into(),
            tls: Some("TLS1_3 TLS_AES_256_GCM_SHA384".into()),
            login: None,
        },
        directions: None,
    }
}

/// The header of [`content`], with its empty line.
pub const fn header() -> &'static [u8] {
    HEADER.as_bytes()
}

/// A message of about `octets` octets, at least its header: lines of words, up to 76 octets each.
pub fn content(octets: usize, lines: Lines) -> Bytes {
    let mut content = HEADER.as_bytes().to_vec();
    let (mut random, mut number) = (1_u32, 0_usize);
    let mut line = String::new();
    while content.len() < octets {
        number += 1;
        line.clear();
        if lines == Lines::Dots && number.is_multiple_of(20) {
            line.push('.');
        }
        // Empty lines between paragraphs.
        while !number.is_multiple_of(9) {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let word = WORDS.get((random >> 28) as usize).copied().unwrap_or_default();
            if line.len() + word.len() >= 76 {
                break;
            }
            line.push_str(word);
            line.push(' ');
        }
        content.extend_from_slice(line.trim_end().as_bytes());
        content.extend_from_slice(b"\r\n");
    }
    content.into()
}

/// `content` as it comes behind DATA: with dots doubled, and its end.
pub fn stuffed(content: Bytes) -> Bytes {
    let mut stuffer = DotStuffer::new();
    let mut payload = stuffer.stuff(content).to_vec();
    payload.extend_from_slice(stuffer.end());
    payload.into()
}

/// `octets` as reads of a socket bring them.
pub fn reads(octets: &Bytes) -> Vec<Bytes> {
    const READ_OCTETS: usize = 64 * 1024;
    (0..octets.len())
        .step_by(READ_OCTETS)
        .map(|start| octets.slice(start..octets.len().min(start + READ_OCTETS)))
        .collect()
}

#[cfg(test)]
mod tests {
    use smtp_codec::{HeaderScan, LineScan};

    use super::*;

    #[test]
    fn contents_are_mail_of_the_size_that_was_asked_for() {
        for lines in [Lines::Plain, Lines::Dots] {
            let content = content(10 * 1024, lines);
            assert!((10 * 1024..10 * 1024 + 80).contains(&content.len()));
            let (mut line_scan, mut header_scan) = (LineScan::new(79), HeaderScan::new());
            line_scan.scan(&content);
            header_scan.scan(&content);
            assert!(!line_scan.has_bare_end() && !line_scan.has_long_line());
            assert_eq!((header_scan.received(), header_scan.is_ended()), (2, true));
            let dots = stuffed(content.clone()).len() - content.len() - 3;
            assert_eq!(dots > 0, lines == Lines::Dots, "{dots} dots");
        }
    }
}
