//! The copy of a reply that an application's followers get.

use mail::header::Edit;
use mail::{Address, Directions, Envelope, Notify, Origin, Recipient, ReversePath, Wishes};

/// What is known of a reply that has followers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Original<'a> {
    pub(crate) envelope: &'a Envelope,
    /// The outbound connector of the application.
    pub(crate) connector: &'a str,
}

impl Original<'_> {
    /// The envelope of the copy: from the thread, so that bounces go to the application, which knows its followers.
    /// Its content is that of the original, with these changes besides those that were decided for that.
    pub(crate) fn copy(
        &self,
        followers: Vec<Address>,
        thread: Address,
        edits: Vec<Edit>,
    ) -> Envelope {
        let Self { envelope, connector } = *self;
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
            wishes: Wishes::default(),
            origin: Origin {
                client: None,
                helo: Box::default(),
                listener: Box::default(),
                connector: connector.into(),
                tls: None,
                login: None,
            },
            directions: Some(Box::new(directions)),
        }
    }
}
