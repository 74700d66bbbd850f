//! The copy of a reply that an application's followers get.

use mail::header::Edit;
use mail::{Address, Directions, Envelope, Notify, Origin, Recipient, ReversePath, Wishes};

/// The envelope of the copy: from the thread, so that bounces go to the application, which knows its followers. Its content
/// is that of the original, with these changes besides those that were decided for that.
pub(crate) fn copy(
    envelope: &Envelope,
    followers: Vec<Address>,
    thread: Address,
    edits: Vec<Edit>,
) -> Envelope {
    let needs_smtputf8 = envelope.needs_smtputf8 || followers.iter().any(|it| !it.is_ascii());
    let known = envelope.directions.as_deref();
    let mut all = known.map(|it| it.edits.clone()).unwrap_or_default();
    all.extend(edits);
    let directions = Directions {
        class: known.and_then(|it| it.class.clone()),
        edits: all,
        ..Directions::default()
    };
    let recipient = |address| Recipient {
        // A delay is nothing that a program would want to know.
        notify: Some(Notify::FAILURE),
        ..Recipient::from(address)
    };
    Envelope {
        sender: ReversePath::Address(thread),
        recipients: followers.into_iter().map(recipient).collect(),
        body_type: envelope.body_type,
        needs_smtputf8,
        wishes: Wishes { requires_tls: envelope.wishes.requires_tls, ..Wishes::default() },
        origin: Origin {
            client: None,
            helo: Box::default(),
            listener: Box::default(),
            connector: Box::default(),
            tls: None,
            login: None,
        },
        directions: Some(Box::new(directions)),
    }
}
