//! Asks milters, rspamd and HTTP hooks what they think of a client, an envelope, a message.
//!
//! **Takes** what the session knows at each stage, and content as octets.
//! **Gives** one verdict a stage: go on, refuse with a reply, accept, discard, hold, and changes to the header and recipients.
//! **Never** waits longer than a filter's time limit, and lets no filter's answer break out of a reply or a header field.
