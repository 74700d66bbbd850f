//! The nouns of mail: what RFC 5321, 3461 and 3463 talk about, and the values one stage hands to the next.
//!
//! **Takes** parsed parts. **Gives** small immutable values that keep their original spelling.
//! **Never** touches a socket, a disk or a clock; parses no commands (`smtp-codec` does).
//! RFC 5321 §2.3, RFC 5322 §2.2, RFC 2852, RFC 3461, RFC 3463, RFC 6531, RFC 6710.

mod address;
mod destination;
mod directions;
mod domain;
mod envelope;
mod handoff;
pub mod header;
mod id;
mod network;
mod outcome;
mod reply;
mod status;
mod thread;
mod time;
mod wishes;

pub use address::{Address, AddressError, ReversePath};
pub use destination::Destination;
pub use directions::Directions;
pub use domain::{Domain, DomainError};
pub use envelope::{BodyType, Envelope, Origin, Recipient};
pub use handoff::{Accepted, Attempt, AttemptEnd};
pub use id::{IdError, MessageId};
pub use network::{HOST_BITS_V6, host_of, network_of};
pub use outcome::{Fate, Outcome, Peer, RecipientOutcome};
pub use reply::Reply;
pub use status::EnhancedStatus;
pub use thread::{ThreadName, ThreadNameError};
pub use time::Timestamp;
pub use wishes::{
    ByMode, DeliverBy, EnvelopeId, Notify, OriginalRecipient, Priority, Ret, Submitter, Wishes,
};
