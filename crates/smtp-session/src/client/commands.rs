//! Who goes into a transaction, and what MAIL and RCPT say.

use std::collections::HashSet;

use bytes::BytesMut;
use mail::{BodyType, Domain, Recipient, Reply, Submitter};
use smtp_codec::{By, MailParam, RcptParam, write_mail, write_rcpt};

use crate::client::extensions::Extensions;
use crate::client::outgoing::Outgoing;
use crate::client::words;

/// MAIL and each RCPT as a transaction would say them, for who says them one by one; the lines come without their ends.
///
/// # Errors
/// Why the next hop cannot take this message.
pub fn envelope_commands(
    outgoing: &Outgoing,
    extensions: &Extensions,
) -> Result<Vec<String>, Reply> {
    if let Some(refusal) = words::refusal(outgoing, extensions) {
        return Err(refusal);
    }
    let mut line = BytesMut::new();
    write_mail(&mut line, &outgoing.sender, mail_params(outgoing, extensions));
    let mut lines = vec![line];
    for (recipient, fit) in outgoing.recipients.iter().zip(fits(outgoing, extensions)) {
        match fit {
            Fit::Goes => {
                let mut line = BytesMut::new();
                write_rcpt(&mut line, &recipient.address, rcpt_params(recipient, extensions));
                lines.push(line);
            }
            Fit::NeedsSmtpUtf8 => return Err(words::address_lacks_smtputf8()),
            Fit::TooMany => {}
        }
    }
    let text = |line: &BytesMut| String::from_utf8_lossy(line).trim_end().to_owned();
    Ok(lines.iter().map(text).collect())
}

/// What becomes of a recipient before anything is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// RCPT names it.
    Goes,
    /// The next hop takes no more recipients, or no more domains, at a time.
    TooMany,
    /// Its address needs SMTPUTF8.
    NeedsSmtpUtf8,
}

/// Sorts the recipients, in their order (RFC 9422, RFC 6531).
pub(super) fn fits(outgoing: &Outgoing, extensions: &Extensions) -> Vec<Fit> {
    let limits = &extensions.limits;
    let mut room = limits.recipients_max.unwrap_or(u32::MAX);
    let mut domains = limits.domains_max.map(|domains_max| (HashSet::new(), domains_max));
    let fit = |recipient: &Recipient| {
        if !extensions.smtputf8 && !recipient.address.is_ascii() {
            return Fit::NeedsSmtpUtf8;
        }
        if room == 0 {
            return Fit::TooMany;
        }
        if let Some((seen, domains_max)) = &mut domains {
            let domain: Option<Domain> = recipient.address.domain();
            let is_full = u32::try_from(seen.len()).unwrap_or(u32::MAX) >= *domains_max;
            if is_full && !seen.contains(&domain) {
                return Fit::TooMany;
            }
            seen.insert(domain);
        }
        room = room.saturating_sub(1);
        Fit::Goes
    };
    outgoing.recipients.iter().map(fit).collect()
}

/// The parameters of MAIL, as far as the next hop offers them.
pub(super) fn mail_params(
    outgoing: &Outgoing,
    extensions: &Extensions,
) -> impl Iterator<Item = MailParam> {
    let wishes = &outgoing.wishes;
    let is_wide = extensions.smtputf8 && outgoing.has_wide_address();
    let submitter = || MailParam::Submitter(wishes.submitter.clone().unwrap_or(Submitter::Unknown));
    let by = wishes.deliver_by.filter(|_| extensions.deliver_by.is_some());
    [
        extensions.size.map(|_| MailParam::Size(outgoing.octets)),
        Some(outgoing.body_type).filter(|it| *it != BodyType::SevenBit).map(MailParam::Body),
        (outgoing.needs_smtputf8 || is_wide).then_some(MailParam::SmtpUtf8),
        wishes.ret.filter(|_| extensions.dsn).map(MailParam::Ret),
        wishes.envelope_id.clone().filter(|_| extensions.dsn).map(MailParam::EnvelopeId),
        wishes.requires_tls.then_some(MailParam::RequireTls),
        by.map(|by| MailParam::DeliverBy(By::left(by, outgoing.now))),
        wishes.priority.filter(|_| extensions.mt_priority).map(MailParam::Priority),
        extensions.auth.then(submitter),
    ]
    .into_iter()
    .flatten()
}

/// The parameters of RCPT, if the next hop offers DSN (RFC 3461 §5.2.1).
pub(super) fn rcpt_params(
    recipient: &Recipient,
    extensions: &Extensions,
) -> impl Iterator<Item = RcptParam> {
    let recipient = extensions.dsn.then_some(recipient);
    let notify = recipient.and_then(|it| it.notify).map(RcptParam::Notify);
    let original = recipient.and_then(|it| it.original.as_ref()).and_then(RcptParam::original);
    [notify, original].into_iter().flatten()
}
