//! Threads of applications: mail that belongs to one, replies to it, and the followers who get these.

use std::collections::HashSet;

use mail::header::{Edit, Field, FieldName, FieldValue, Header, Place, Which};
use mail::{Address, EnhancedStatus, Reply, ReversePath, ThreadName};

use crate::rules::{Canonical, encoded, header};

/// The field by which an application names the thread of a message.
pub const THREAD_FIELD: &str = "X-Chasqui-Thread";
/// Something in the content is wrong (RFC 3463 §3.7).
const CONTENT: EnhancedStatus = EnhancedStatus::new(5, 6, 0);
/// The field that shows a copy as such wherever it comes back from; lists on the way leave it alone, as they do not `List-Id`.
const LOOP_FIELD: &str = "X-Loop";
/// Fields that copies do not have: receipts would tell the author who the followers are, and signatures of others hold
/// no longer.
const LEFT_OUT: [&str; 7] = [
    "Sender",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "DKIM-Signature",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
];

/// The thread that an application's message names, if it does.
///
/// # Errors
/// What the client is told when the name is none.
pub fn named_thread(header: &[u8]) -> Result<Option<ThreadName>, Reply> {
    let refused = |words: &str| Reply::new(550, Some(CONTENT), format!("{THREAD_FIELD}: {words}"));
    let fields = Header::read(header).fields;
    let mut named = fields.iter().filter(|it| it.is(THREAD_FIELD));
    let Some(first) = named.next() else { return Ok(None) };
    if named.next().is_some() {
        return Err(refused("names more than one thread"));
    }
    let text = std::str::from_utf8(first.value().trim_ascii()).unwrap_or_default();
    ThreadName::parse(text).map(Some).map_err(|error| refused(&error.to_string()))
}

/// What makes replies to a message find its thread.
pub fn thread_edits(reply_to: &Address) -> Vec<Edit> {
    [removal(THREAD_FIELD), set("Reply-To", &encoded::mailbox(None, reply_to.as_str()))]
        .into_iter()
        .flatten()
        .collect()
}

/// Why a reply goes to no follower: a program wrote it, or it is one of the copies themselves. None if a person wrote it.
pub fn automatic(
    header: &[u8],
    sender: &ReversePath,
    application: &Address,
    is_application: impl Fn(&Address) -> bool,
) -> Option<&'static str> {
    let fields = Header::read(header).fields;
    let words = |name: &str| {
        let mut all = fields.iter().filter(|it| it.is(name)).map(header::decoded);
        all.next().map(|text| text.trim().to_ascii_lowercase())
    };
    let first_word = |text: String| text.split([';', ' ', '\t']).next().map(str::to_owned);
    let list = list_id(application).to_ascii_lowercase();
    let is_copy = fields.iter().any(|field| {
        let value = || header::decoded(field).to_ascii_lowercase();
        let own = application.as_str().to_ascii_lowercase();
        (field.is("List-Id") && value().contains(&list))
            || (field.is(LOOP_FIELD) && value().trim() == own)
    });
    let from = header::from(&fields);
    let mut authors = from.iter().filter_map(|it| Address::parse(&it.address).ok());
    if is_copy || authors.any(|author| is_application(&author)) {
        Some("loop")
    } else if sender.address().is_none() {
        Some("report")
    } else if words("Auto-Submitted").and_then(first_word).is_some_and(|it| it != "no") {
        Some("auto-submitted")
    } else if words("Precedence").is_some_and(|it| ["bulk", "junk", "auto_reply"].contains(&&*it)) {
        Some("bulk")
    } else {
        None
    }
}

/// Those of the `named` who get a copy of a reply: each once, and neither its author, nor who `has` it already or by To and Cc,
/// nor an address of an application.
pub fn followers<'a>(
    header: &[u8],
    sender: &ReversePath,
    named: &[Address],
    has: impl Iterator<Item = &'a Address>,
    is_application: impl Fn(&Address) -> bool,
) -> Vec<Address> {
    let fields = Header::read(header).fields;
    let mut known: HashSet<Canonical> = has.map(Canonical::of).collect();
    known.extend(sender.address().map(Canonical::of));
    for name in ["From", "Sender", "Reply-To", "To", "Cc"] {
        let mailboxes = header::mailboxes(&fields, name);
        known.extend(mailboxes.into_iter().map(|mailbox| mailbox.canonical));
    }
    let is_new = |address: &&Address| {
        address.domain().is_some()
            && !is_application(address)
            && known.insert(Canonical::of(address))
    };
    named.iter().filter(is_new).cloned().collect()
}

/// What makes a reply a copy for followers: it is from the thread, so that their answers and what the DMARC policy of
/// the author's domain says are no trouble, and a list's mail, which no program answers (RFC 3834 §2).
pub fn copy_edits(header: &[u8], thread: &Address, application: &Address) -> Vec<Edit> {
    let fields = Header::read(header).fields;
    let author = header::from(&fields).into_iter().next();
    let local = |address: &str| address.rsplit_once('@').map(|(local, _)| Box::from(local));
    let name = author.and_then(|it| it.name.or_else(|| local(&it.address)));
    let original = fields.iter().find(|field: &&Field<'_>| field.is("From"));
    let original = original.and_then(|field| FieldValue::parse(field.value()).ok());
    let original = original.and_then(|value| {
        let name = FieldName::parse("X-Original-From").ok()?;
        Some(Edit::Set { name, which: Which::All, value })
    });
    let edits = original.into_iter().chain(LEFT_OUT.iter().filter_map(|name| removal(name)));
    let set = [
        set("From", &encoded::mailbox(name.as_deref(), thread.as_str())),
        set("Reply-To", &encoded::mailbox(None, thread.as_str())),
        set("List-Id", &list_id(application)),
        set("Precedence", "list"),
    ];
    edits.chain(set.into_iter().flatten()).chain(loop_mark(application)).collect()
}

/// It is added, so that those of others stay.
fn loop_mark(application: &Address) -> Option<Edit> {
    let name = FieldName::parse(LOOP_FIELD).ok()?;
    let value = FieldValue::parse(application.as_str().as_bytes()).ok()?;
    Some(Edit::Add { name, value, at: Place::Bottom })
}

/// What its copies are known by (RFC 2919 §3).
fn list_id(application: &Address) -> String {
    let domain = application.domain();
    let domain = domain.as_ref().map_or("", |domain| domain.as_str());
    format!("<{}.{domain}>", application.local_part())
}

fn removal(name: &str) -> Option<Edit> {
    Some(Edit::Remove { name: FieldName::parse(name).ok()?, which: Which::All })
}

fn set(name: &str, value: &str) -> Option<Edit> {
    let (name, value) = (FieldName::parse(name).ok()?, FieldValue::parse(value.as_bytes()).ok()?);
    Some(Edit::Set { name, which: Which::All, value })
}

#[cfg(test)]
mod tests {
    use mail::header::apply;

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn changed(header: &str, edits: &[Edit]) -> String {
        String::from_utf8(apply(header.as_bytes(), edits)).unwrap()
    }

    #[test]
    fn a_message_belongs_to_the_thread_that_it_names() {
        let named =
            |header: &str| named_thread(header.as_bytes()).map_err(|reply| reply.to_string());
        assert_eq!(named("Subject: x\r\n\r\n"), Ok(None));
        let header = "Reply-To: old@app.example\r\nx-chasqui-thread:  Ticket-1 \r\n\r\n";
        assert_eq!(named(header).unwrap().unwrap().as_str(), "ticket-1");
        let edits = thread_edits(&address("reply+ticket-1.x@desk.example"));
        assert_eq!(changed(header, &edits), "Reply-To: <reply+ticket-1.x@desk.example>\r\n\r\n");
        for (bad, words) in [
            ("X-Chasqui-Thread: a b\r\n\r\n", "letters, digits"),
            ("X-Chasqui-Thread: \r\n\r\n", "letters, digits"),
            ("X-Chasqui-Thread: a\r\nX-Chasqui-Thread: a\r\n\r\n", "more than one"),
        ] {
            let said = named(bad).unwrap_err();
            assert!(
                said.starts_with("550 5.6.0 X-Chasqui-Thread: ") && said.contains(words),
                "{said}"
            );
        }
    }

    #[test]
    fn what_programs_write_goes_to_no_follower() {
        let application = address("reply@desk.example");
        let person = ReversePath::Address(address("ana@x.example"));
        for (header, sender, want) in [
            ("Subject: hello\r\n", &person, None),
            ("Auto-Submitted: no\r\n", &person, None),
            ("List-Id: Another <list.x.example>\r\n", &person, None),
            ("Subject: hello\r\n", &ReversePath::Null, Some("report")),
            ("Auto-Submitted: auto-replied; owner-email=x\r\n", &person, Some("auto-submitted")),
            ("precedence: Bulk\r\n", &person, Some("bulk")),
            ("List-Id: Desk <REPLY.desk.example>\r\n", &person, Some("loop")),
            ("X-Loop: other@x.example\r\nX-Loop: Reply@desk.example\r\n", &person, Some("loop")),
            ("X-Loop: other@x.example\r\n", &person, None),
            ("From: A <reply+2.x@crm.example>\r\n", &person, Some("loop")),
        ] {
            let is_application = |it: &Address| it.as_str().ends_with("@crm.example");
            let header = format!("{header}\r\n");
            assert_eq!(
                automatic(header.as_bytes(), sender, &application, is_application),
                want,
                "{header}"
            );
        }
    }

    #[test]
    fn a_copy_goes_to_each_follower_who_does_not_have_it() {
        let header = "From: Ana <Ana@x.example>\r\nTo: reply+1.a@desk.example\r\n\
                      Cc: bo@x.example, Cy <cy@x.example>\r\nReply-To: home@x.example\r\n\r\n";
        let sender = ReversePath::Address(address("bounce@x.example"));
        let named = [
            "ana@X.example",
            "bo@x.example",
            "di@x.example",
            "DI@x.example",
            "bounce@x.example",
            "home@x.example",
            "reply@desk.example",
            "reply+2.b@desk.example",
            "postmaster",
            "fay@x.example",
            "ed@x.example",
        ];
        let named: Vec<_> = named.iter().map(|it| address(it)).collect();
        let is_application = |it: &Address| it.as_str().ends_with("@desk.example");
        let got = followers(
            header.as_bytes(),
            &sender,
            &named,
            [address("Fay@x.example")].iter(),
            is_application,
        );
        let got: Vec<_> = got.iter().map(Address::as_str).collect();
        assert_eq!(got, ["di@x.example", "ed@x.example"]);
    }

    #[test]
    fn a_copy_is_from_the_thread() {
        let (thread, application) =
            (address("reply+1.a@desk.example"), address("reply@desk.example"));
        let copy =
            |header: &str| changed(header, &copy_edits(header.as_bytes(), &thread, &application));
        let seen = copy(
            "From: =?utf-8?q?J=C3=B6rg?= <j@x.example>\r\nSender: s@x.example\r\nReply-To: j@home.example\r\n\
             Disposition-Notification-To: j@x.example\r\nSubject: Re: 1\r\nList-Id: other\r\n\r\nbody\r\n",
        );
        assert_eq!(
            seen,
            "From: =?utf-8?q?J=C3=B6rg?= <reply+1.a@desk.example>\r\nReply-To: <reply+1.a@desk.example>\r\n\
             Subject: Re: 1\r\nList-Id: <reply.desk.example>\r\n\
             X-Original-From: =?utf-8?q?J=C3=B6rg?= <j@x.example>\r\nPrecedence: list\r\nX-Loop: reply@desk.example\r\n\r\nbody\r\n"
        );
        assert_eq!(
            automatic(seen.as_bytes(), &ReversePath::Address(thread.clone()), &application, |_| {
                false
            }),
            Some("loop")
        );
        assert!(
            copy("From: j@x.example\r\n\r\n")
                .starts_with("From: \"j\" <reply+1.a@desk.example>\r\n")
        );
        assert!(copy("Subject: x\r\n\r\n").contains("From: <reply+1.a@desk.example>\r\n"));
    }
}
