//! What a milter is told by name besides each command (`SMFIC_MACRO`).

use crate::milter::packet;
use crate::question::Question;

const VERSION: &str = concat!("Chasqui ", env!("CARGO_PKG_VERSION"));

/// Writes the macros that belong to a command, as Sendmail and Postfix name them; those that have no value are left out.
pub(crate) fn write(out: &mut Vec<u8>, command: u8, question: &Question<'_>) {
    let facts = question.facts;
    let mut list = List(vec![command]);
    match command {
        b'C' => {
            list.add("j", &facts.relay);
            list.add("{daemon_name}", &facts.scope);
            list.add("v", VERSION);
            if let Some(local) = facts.local {
                list.add("{daemon_addr}", &local.ip().to_canonical().to_string());
                list.add("{daemon_port}", &local.port().to_string());
            }
            if let Some(client) = facts.client {
                let address = client.ip().to_canonical().to_string();
                let name = facts.client_name.as_deref();
                list.add("_", &format!("{} [{address}]", name.unwrap_or("unknown")));
                list.add("{client_addr}", &address);
                list.add("{client_port}", &client.port().to_string());
                list.add("{client_name}", name.unwrap_or("unknown"));
                list.add("{client_ptr}", name.unwrap_or("unknown"));
            }
        }
        b'H' => {
            let tls = facts.tls.as_deref().unwrap_or_default();
            let (version, cipher) = tls.split_once(' ').unwrap_or((tls, ""));
            list.add("{tls_version}", version);
            list.add("{cipher}", cipher);
        }
        b'M' => {
            id(&mut list, question);
            if let Some(login) = &facts.login {
                list.add("{auth_type}", &login.mechanism);
                list.add("{auth_authen}", &login.account);
            }
            let sender = question.transaction.and_then(|it| it.sender.address());
            list.add("{mail_addr}", sender.map_or("", |address| address.as_str()));
            let domain = sender.and_then(mail::Address::domain);
            list.add("{mail_host}", domain.as_ref().map_or("", |domain| domain.as_str()));
            list.add("{mail_mailer}", "esmtp");
        }
        b'R' => {
            id(&mut list, question);
            if let Some(recipient) = question.recipient {
                list.add("{rcpt_addr}", recipient.address.as_str());
                let domain = recipient.address.domain();
                list.add("{rcpt_host}", domain.as_ref().map_or("", |domain| domain.as_str()));
                list.add("{rcpt_mailer}", "esmtp");
            }
        }
        _ => id(&mut list, question),
    }
    packet::write(out, b'D', &list.0);
}

fn id(list: &mut List, question: &Question<'_>) {
    if let Some(message) = question.facts.message {
        list.add("i", &message.to_string());
    }
}

struct List(Vec<u8>);

impl List {
    fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            add_text(&mut self.0, name.as_bytes());
            add_text(&mut self.0, value.as_bytes());
        }
    }
}

/// Adds a text and the NUL that ends it; a NUL in it goes.
pub(crate) fn add_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().filter(|byte| **byte != 0));
    out.push(0);
}
