//! A small message that is really sent.

use bytes::Bytes;
use mail::header::apply;
use mail::{Fate, Notify, Ret, Timestamp};
use policy::config::Protocol;
use smtp_session::client::Transaction;

use super::{Letter, Tester, Trial, Walk, words};
use crate::attempt::transaction::timeouts;
use crate::body::Body;
use crate::connection::Connection;
use crate::drive::{Driven, drive};
use crate::trail::Verdict;

impl Walk<'_> {
    /// Sends one, and asks for a report of its delivery where the host promises reports.
    pub(super) async fn probe(&self, connection: &mut Connection) {
        let edits = self.letter.directions.as_ref().map_or(&[][..], |it| &it.edits);
        let content = Bytes::from(apply(&self.letter.content, edits));
        let signatures = self.signatures(content.clone()).await;
        let octets = content.len() + signatures.len();
        let mut outgoing = self.outgoing(u64::try_from(octets).unwrap_or(u64::MAX));
        outgoing.wishes.ret = Some(Ret::Headers);
        for recipient in &mut outgoing.recipients {
            recipient.notify = Some(Notify::SUCCESS.with(Notify::FAILURE));
        }
        let begin = match self.connector.protocol {
            Protocol::Smtp => Transaction::new,
            Protocol::Lmtp => Transaction::lmtp,
        };
        let (extensions, now) = (connection.extensions, self.means.clock.now());
        let mut transaction = Box::new(begin(outgoing, extensions, timeouts(self.connector), now));
        let signed = if signatures.is_empty() { "not signed" } else { "signed" };
        let mut body = Body::of(content);
        body.put_on_top(signatures);
        let driven = drive(connection, &mut transaction, &mut body, &self.means.clock).await;
        let Driven::Ended(end) = driven else {
            return self.fail("probe", "the connection was lost", words::BROKEN);
        };
        let Some(answer) = end.recipients.first() else { return };
        if answer.fate != Fate::Delivered {
            let advice = if answer.fate == Fate::Deferred { words::LATER } else { words::PROBE };
            return self.fail("probe", &answer.reply.to_string(), advice);
        }
        let report = if extensions.dsn {
            "a report of its delivery was asked for (NOTIFY=SUCCESS,FAILURE)"
        } else {
            "no report of its delivery was asked for: the host does not offer DSN"
        };
        self.trail.note("probe", Verdict::Pass, &format!("{}; {signed}; {report}", answer.reply));
    }

    /// The fields that a delivery would put on top.
    async fn signatures(&self, content: Bytes) -> Bytes {
        let now = Timestamp::from_millis(self.means.clock.unix_millis());
        // What is in memory can be read.
        self.desk.signatures(self.id, Body::of(content), now).await.unwrap_or_default()
    }
}

impl Tester {
    /// The message that `trial` sends by `connector`; nothing is decided about it yet.
    pub fn letter(&self, connector: &str, trial: &Trial) -> Letter {
        let (hostname, millis) = (&self.hostname, self.clock.unix_millis());
        let now = Timestamp::from_millis(millis);
        let postmaster = format!("postmaster@{hostname}");
        let sender = trial.sender.address().map_or(&*postmaster, |address| address.as_str());
        let (recipient, lot) = (trial.recipient.as_str(), self.seed);
        let content = format!(
            "Date: {}\r\nFrom: <{sender}>\r\nTo: <{recipient}>\r\n\
             Subject: Probe of outbound connector {connector}\r\n\
             Message-ID: <probe-{millis:x}-{lot:x}@{hostname}>\r\nAuto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             An operator of {hostname} tries whether mail leaves by the connector {connector}.\r\n\
             Nothing needs to be done.\r\n",
            now.rfc5322()
        );
        Letter { content: content.into(), directions: None }
    }
}
