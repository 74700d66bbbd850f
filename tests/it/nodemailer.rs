//! Nodemailer, by which programs in JavaScript send mail.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::accounts::{Accounts, PASSWORD};
use crate::harness::letter::split_first_field;
use crate::harness::process::run;
use crate::harness::relay::Relay;
use crate::harness::sink::Sink;

const NAME: &str = "ana@sender.example";

const SCRIPT: &str = r#"
const fs = require("fs"), assert = require("assert"), nodemailer = require("nodemailer");
const [starttls, implicit, certificate, name, password, token] = process.argv.slice(1);
const ca = fs.readFileSync(certificate);
const octets = Buffer.from(Array.from({ length: 100000 }, (_, place) => (place * 7) % 256));

function transport(secure, auth, more) {
    const port = Number(secure ? implicit : starttls);
    return nodemailer.createTransport({ host: "localhost", port, secure, requireTLS: true, tls: { ca }, auth, ...more });
}
function letter(id, more) {
    const to = ["bo@receiver.example", "Cy <cy@receiver.example>"];
    return { from: `Ana <${name}>`, to, subject: id, text: "body\n.\n..\n", headers: { "X-Letter": id }, ...more };
}

(async () => {
    const withPassword = { user: name, pass: password };
    const withToken = { type: "OAuth2", user: name, accessToken: token };
    for (const secure of [false, true]) {
        const place = secure ? "implicit" : "starttls";
        for (const [method, auth] of [["PLAIN", withPassword], ["LOGIN", withPassword], ["XOAUTH2", withToken]]) {
            const sender = transport(secure, auth, { authMethod: method });
            assert(await sender.verify());
            const sent = await sender.sendMail(letter(`${method}-${place}`));
            assert.deepStrictEqual(sent.accepted, ["bo@receiver.example", "cy@receiver.example"]);
            sender.close();
        }
        const wrong = transport(secure, { user: name, pass: "wrong" });
        await assert.rejects(wrong.sendMail(letter("wrong")), (error) => error.responseCode === 535);
    }
    // Several in one session, with what else there is to say.
    const pool = transport(false, withPassword, { pool: true, maxConnections: 1 });
    const attachments = [{ filename: "gr\u00fc\u00dfe.bin", content: octets }];
    await pool.sendMail(letter("attachment", { html: "<p>body</p>", attachments }));
    const sender = "an\u00e4@sender.example", recipient = "b\u00f6@receiver.example";
    await pool.sendMail(letter("utf8", { from: sender, to: recipient, subject: "\u4f60\u597d" }));
    const dsn = { id: "QQ+314", return: "headers", notify: ["success", "failure"], recipient: "first@receiver.example" };
    await pool.sendMail(letter("dsn", { to: "dsn@receiver.example", dsn }));
    const foreign = pool.sendMail(letter("foreign", { from: "ana@other.example" }));
    await assert.rejects(foreign, (error) => error.responseCode === 553);
    pool.close();
    console.log("done");
})();
"#;

#[test]
fn nodemailer_sends_all_it_knows() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    sink.set_extensions(&["PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN"]);
    let relay = Relay::start(accounts.settings(&sink));
    let mut command = Command::new("node");
    command.env("NODE_PATH", "/usr/share/nodejs").args(["-e", SCRIPT]);
    command.args(["submission", "submissions"].map(|name| relay.listener(name).port().to_string()));
    command.arg(&accounts.certificate.certificate);
    command.args([NAME, PASSWORD, &accounts.token("4711")]);
    assert_eq!(run(command, b"").succeeded(), "done\n", "{}", relay.log_tail());

    let received = sink.wait_accepted(9);
    assert_eq!(received.len(), 9);
    for message in &received {
        let field = String::from_utf8_lossy(split_first_field(&message.content).0).into_owned();
        let id = message.id().expect("an id");
        let with = if id == "utf8" { "with UTF8SMTPSA\r\n" } else { "with ESMTPSA\r\n" };
        assert!(field.contains(with), "{id}: {field}");
        let text = String::from_utf8_lossy(&message.content).into_owned();
        if id != "attachment" {
            assert!(text.ends_with("\r\n\r\nbody\r\n.\r\n..\r\n"), "{id}: {text}");
        }
    }
    let find = |id: &str| {
        received.iter().find(|message| message.id().as_deref() == Some(id)).expect("a letter")
    };
    let octets: Vec<u8> = (0..100_000_u32).map(|place| (place * 7).to_le_bytes()[0]).collect();
    let text = String::from_utf8_lossy(&find("attachment").content).replace("\r\n", "");
    assert!(text.contains(&STANDARD.encode(octets)), "the attachment is damaged");
    let utf8 = find("utf8");
    assert_eq!(utf8.sender, "an\u{e4}@sender.example");
    assert_eq!(utf8.recipients, ["b\u{f6}@receiver.example"]);
    assert!(utf8.mail_parameters.contains("SMTPUTF8"), "{}", utf8.mail_parameters);
    let dsn = &find("dsn").mail_parameters;
    assert!(dsn.contains("RET=HDRS") && dsn.contains("ENVID=QQ+2B314"), "{dsn}");
    let parameters = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@receiver.example";
    assert_eq!(sink.count(&format!("RCPT TO:<dsn@receiver.example> {parameters}")), 1);
    sink.assert_clean();
}
