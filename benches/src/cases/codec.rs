//! Commands and replies.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use mail::{EnhancedStatus, Reply, ReversePath};
use smtp_codec::{
    Command, LineReader, MailParam, ReplyReader, write_mail, write_rcpt, write_reply,
};

use crate::case::{Amount, Case};
use crate::inputs;

const MAIL: &str = "MAIL FROM:<orders+2026-11@source.example> SIZE=10240 BODY=8BITMIME\r\n";
const RCPT: &str = "RCPT TO:<first.last@department.destination.example>\r\n";
const SESSION: &str = "EHLO mx2.source.example\r\n\
    MAIL FROM:<orders+2026-11@source.example> SIZE=10240 BODY=8BITMIME\r\n\
    RCPT TO:<first.last@department.destination.example>\r\n\
    RCPT TO:<User.Name@Destination.Example>\r\n\
    DATA\r\n\
    RSET\r\n\
    NOOP\r\n\
    QUIT\r\n";

const EHLO_REPLY: &str = "250-relay.destination.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n\
    250-STARTTLS\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 CHUNKING\r\n";
const TRANSACTION_REPLIES: &str = "250 2.1.0 sender OK\r\n250 2.1.5 recipient OK\r\n\
    354 end with CRLF.CRLF\r\n250 2.0.0 OK queued as 06fz3k8q4r5s6t7v8w9x0y1z2a\r\n";
const REFUSAL: &str = "550-5.7.26 Unauthenticated mail from source.example is not taken because of\r\n\
    550-5.7.26 the DMARC policy of its domain. Please ask the administrator of\r\n\
    550 5.7.26 source.example; see https://destination.example/help d8-20020a170906c2-1si\r\n";

pub(super) fn cases() -> Vec<Case> {
    vec![
        parse("mail", MAIL),
        parse("rcpt", RCPT),
        parse("session", SESSION),
        Case::new("command_write", "mail_and_rcpt", Amount::Elements(2), write_commands),
        read("ehlo", EHLO_REPLY, 1),
        read("transaction", TRANSACTION_REPLIES, 4),
        read("refusal", REFUSAL, 1),
        Case::new("reply_write", "refusal", Amount::Elements(1), write_refusal),
    ]
}

/// Lines out of a burst, each read as a command.
fn parse(input: &'static str, burst: &'static str) -> Case {
    let commands = burst.matches("\r\n").count();
    Case::new("command_parse", input, Amount::Elements(commands), move || {
        let mut lines = LineReader::new(4096);
        move || {
            let mut octets = black_box(Bytes::from_static(burst.as_bytes()));
            let mut read = 0;
            while let Some(Ok(line)) = lines.read(&mut octets) {
                read += usize::from(black_box(Command::parse(&line)).is_ok());
            }
            assert_eq!(read, commands, "a command was not read");
        }
    })
}

fn write_commands() -> impl FnMut() {
    let sender = ReversePath::Address(inputs::address("orders+2026-11@source.example"));
    let recipient = inputs::address("first.last@department.destination.example");
    let mut out = BytesMut::with_capacity(512);
    move || {
        out.clear();
        write_mail(&mut out, black_box(&sender), [MailParam::Size(10_240)]);
        write_rcpt(&mut out, black_box(&recipient), []);
        black_box(&out);
    }
}

fn read(input: &'static str, burst: &'static str, replies: usize) -> Case {
    Case::new("reply_read", input, Amount::Elements(replies), move || {
        let mut reader = ReplyReader::new();
        move || {
            let mut octets = black_box(Bytes::from_static(burst.as_bytes()));
            let mut read = 0;
            while let Some(Ok(reply)) = reader.read(&mut octets) {
                black_box(reply);
                read += 1;
            }
            assert_eq!(read, replies, "a reply was not read");
        }
    })
}

fn write_refusal() -> impl FnMut() {
    let text = "no outbound connector takes mail for destination.example";
    let reply = Reply::new(550, Some(EnhancedStatus::new(5, 4, 4)), text);
    let mut out = BytesMut::with_capacity(512);
    move || {
        out.clear();
        write_reply(&mut out, black_box(&reply));
        black_box(&out);
    }
}
