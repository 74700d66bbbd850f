//! What a rule does, ready to be done.

use std::sync::Arc;

use mail::header::{Edit, FieldName, FieldValue, Which};
use mail::{Address, Notify, Recipient, Reply};

use crate::rules::canonical::Canonical;
use crate::rules::encoded;
use crate::rules::judgement::{Judgement, Refusal};
use crate::rules::view::View;

/// One thing that a rule does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Route(Arc<str>),
    Reject(Reply),
    Hold,
    Edit(Edit),
    /// The new address and the names of the two fields that change.
    RewriteFrom(Box<Rewrite>),
    AddRecipients(Box<[Address]>),
    CopyTo(Box<[Address]>),
    SetClass(Box<str>),
    Certify,
}

/// A new address for `From`.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    pub(crate) address: Address,
    pub(crate) from: FieldName,
    pub(crate) reply_to: FieldName,
}

/// Addresses that a `Reply-To` gets at most.
const REPLY_TO_MAX: usize = 20;

impl Action {
    /// Does it for the recipients at `places`; none means all.
    pub(crate) fn apply(
        &self,
        rule: &Arc<str>,
        view: &View<'_>,
        places: Option<&[usize]>,
        judgement: &mut Judgement,
    ) {
        match self {
            Self::Route(connector) => route(connector, view, places, judgement),
            Self::Reject(reply) => {
                let refusal = Refusal { reply: reply.clone(), rule: Arc::clone(rule) };
                judgement.refusal = Some(refusal);
            }
            Self::Hold => judgement.held = Some(format!("held by rule `{rule}`").into()),
            Self::Edit(edit) => judgement.edits.push(edit.clone()),
            Self::RewriteFrom(rewrite) => rewrite.apply(view, &mut judgement.edits),
            Self::AddRecipients(addresses) => {
                for address in addresses {
                    add(address, None, view, judgement);
                }
            }
            Self::CopyTo(addresses) => {
                for address in addresses {
                    add(address, Some(Notify::NEVER), view, judgement);
                }
            }
            Self::SetClass(class) => judgement.class = Some(class.clone()),
            Self::Certify => judgement.certify = Some(Arc::clone(rule)),
        }
    }

    /// It in words.
    pub(crate) fn words(&self) -> String {
        let list = |addresses: &[Address]| {
            let texts: Vec<_> = addresses.iter().map(Address::as_str).collect();
            texts.join(", ")
        };
        match self {
            Self::Route(connector) => format!("route by {connector}"),
            Self::Reject(reply) => format!("reject with {reply}"),
            Self::Hold => "hold".to_owned(),
            Self::Edit(Edit::Add { name, .. }) => format!("add {name}"),
            Self::Edit(Edit::Set { name, .. }) => format!("set {name}"),
            Self::Edit(Edit::Remove { name, .. }) => format!("remove {name}"),
            Self::RewriteFrom(rewrite) => format!("rewrite From to {}", rewrite.address),
            Self::AddRecipients(addresses) => format!("add {}", list(addresses)),
            Self::CopyTo(addresses) => format!("copy to {}", list(addresses)),
            Self::SetClass(class) => format!("set class {class}"),
            Self::Certify => "certify".to_owned(),
        }
    }
}

impl Rewrite {
    /// Puts `address` into `From`.
    pub(crate) fn to(address: Address) -> Option<Self> {
        let name = |name: &str| FieldName::parse(name).ok();
        Some(Self { address, from: name("From")?, reply_to: name("Reply-To")? })
    }

    pub(crate) fn apply(&self, view: &View<'_>, edits: &mut Vec<Edit>) {
        let set = |name: &FieldName, value: String| {
            let value = FieldValue::parse(value.as_bytes()).ok()?;
            Some(Edit::Set { name: name.clone(), which: Which::All, value })
        };
        let mailboxes = view.from();
        let name = mailboxes.first().and_then(|mailbox| mailbox.name.as_deref());
        let is_reply_to = |edit: &Edit| matches!(edit, Edit::Set { name, .. } | Edit::Add { name, .. } if *name == self.reply_to);
        let has_reply_to = view.fields().iter().any(|field| field.is(self.reply_to.as_str()))
            || edits.iter().any(is_reply_to);
        let good = mailboxes.iter().filter(|mailbox| Address::parse(&mailbox.address).is_ok());
        let texts: Vec<_> = good
            .take(REPLY_TO_MAX)
            .map(|mailbox| encoded::mailbox(mailbox.name.as_deref(), &mailbox.address))
            .collect();
        if !has_reply_to && !texts.is_empty() {
            edits.extend(set(&self.reply_to, texts.join(", ")));
        }
        edits.extend(set(&self.from, encoded::mailbox(name, self.address.as_str())));
    }
}

fn route(
    connector: &Arc<str>,
    view: &View<'_>,
    places: Option<&[usize]>,
    judgement: &mut Judgement,
) {
    judgement.routes.resize(view.facts.recipients.len(), None);
    match places {
        None => judgement.routes.fill(Some(Arc::clone(connector))),
        Some(places) => {
            for place in places {
                if let Some(route) = judgement.routes.get_mut(*place) {
                    *route = Some(Arc::clone(connector));
                }
            }
        }
    }
}

/// Adds a recipient that the message does not have yet.
fn add(address: &Address, notify: Option<Notify>, view: &View<'_>, judgement: &mut Judgement) {
    let canonical = Canonical::of(address);
    let others = judgement.added.iter().chain(&judgement.copies);
    let is_known = view.recipients().contains(&canonical)
        || others.into_iter().any(|it| Canonical::of(&it.address) == canonical);
    if !is_known {
        let list = if notify.is_some() { &mut judgement.copies } else { &mut judgement.added };
        list.push(Recipient { notify, ..Recipient::from(address.clone()) });
    }
}
