//! Reads content to its final dot and compares it with what was sent, without keeping it.

use std::time::Duration;

use anyhow::ensure;

use crate::content;
use crate::envelope;
use crate::load::Verify;
use crate::plan::Plan;
use crate::wire::Wire;

/// The number stands among the first headers, behind at most a few trace headers.
const HEAD_OCTETS: usize = 16 * 1024;

/// No more of a report is read for the recipients that it names.
const REPORT_OCTETS: usize = 256 * 1024;

/// A read of content takes up to so much.
const READ_OCTETS: usize = 64 * 1024;

/// Of what was read so much is kept, because the final dot's line may be cut.
const TAIL: usize = 4;

/// What was in a content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// The message, if it is of this run.
    pub(crate) number: Option<u64>,
    /// It differs from what was sent.
    pub(crate) is_damaged: bool,
}

/// How content is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) plan: &'a Plan,
    /// 0 for as fast as it comes.
    pub(crate) octets_per_second: u64,
}

impl Reader<'_> {
    /// Reads one content; its end is used up too.
    ///
    /// # Errors
    /// If the connection ends before.
    pub(crate) async fn read(self, wire: &mut Wire) -> anyhow::Result<Content> {
        let Some(head) = self.head(wire).await? else {
            skip(self, wire).await?;
            return Ok(Content::default());
        };
        let number = content::number(wire.unread().get(..head).unwrap_or_default(), self.plan.run)
            .filter(|number| *number < self.plan.messages);
        // The last octets of the header stay, so that the search for the end may begin at any time.
        wire.take(head - TAIL);
        let is_damaged = match number {
            Some(number) if self.plan.verify == Verify::All => {
                !self.compare(wire, self.plan.body(number)).await?
            }
            _ => false,
        };
        skip(self, wire).await?;
        Ok(Content { number, is_damaged })
    }

    /// Reads a report and gives the recipients that it names.
    pub(crate) async fn read_report(self, wire: &mut Wire) -> anyhow::Result<Vec<envelope::Place>> {
        let mut text = Vec::new();
        // Pretends that a line ended before, so that an empty content ends too.
        let mut tail = b"\r\n".to_vec();
        loop {
            let unread = wire.unread();
            tail.extend_from_slice(unread);
            let end = memchr::memmem::find(&tail, b"\r\n.\r\n");
            let seen = tail.len() - unread.len();
            let used = end.map_or(unread.len(), |end| (end + 5).saturating_sub(seen));
            if text.len() < REPORT_OCTETS {
                text.extend_from_slice(unread.get(..used).unwrap_or_default());
            }
            wire.take(used);
            if end.is_some() {
                return Ok(final_recipients(&text));
            }
            tail.drain(..tail.len().saturating_sub(TAIL));
            self.more(wire).await?;
        }
    }

    /// Waits for the whole header and gives its length; none if there is no end to it.
    async fn head(self, wire: &mut Wire) -> anyhow::Result<Option<usize>> {
        loop {
            let unread = wire.unread();
            if let Some(end) = memchr::memmem::find(unread, b"\r\n\r\n") {
                return Ok(Some(end + 4));
            }
            let is_over = unread.starts_with(b".\r\n")
                || memchr::memmem::find(unread, b"\r\n.\r\n").is_some();
            if is_over || unread.len() > HEAD_OCTETS {
                return Ok(None);
            }
            self.more(wire).await?;
        }
    }

    /// Compares what comes with `body` and the final dot behind it; stops before what differs. The octets behind the
    /// first [`TAIL`] unread ones are compared; so many stay unread before those that were.
    async fn compare(self, wire: &mut Wire, mut body: &[u8]) -> anyhow::Result<bool> {
        loop {
            let come = wire.unread().get(TAIL..).unwrap_or_default();
            let (here, rest) = body.split_at(come.len().min(body.len()));
            if !come.starts_with(here) {
                return Ok(false);
            }
            let compared = here.len();
            if rest.is_empty() && come.len() >= compared + 3 {
                let is_end = come.get(compared..compared + 3) == Some(b".\r\n");
                wire.take(compared);
                return Ok(is_end);
            }
            wire.take(compared);
            body = rest;
            self.more(wire).await?;
        }
    }

    async fn more(self, wire: &mut Wire) -> anyhow::Result<()> {
        // A slow reader takes ten bites a second.
        let bite = match self.octets_per_second {
            0 => READ_OCTETS,
            slow => usize::try_from(slow / 10).unwrap_or(READ_OCTETS).clamp(1, READ_OCTETS),
        };
        ensure!(wire.fill(bite).await?, "the relay closed in the middle of a message");
        if self.octets_per_second > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

/// Reads up to the final dot. The unread begins with the end of a line, or with the content itself.
async fn skip(reader: Reader<'_>, wire: &mut Wire) -> anyhow::Result<()> {
    if wire.unread().starts_with(b".\r\n") {
        wire.take(3);
        return Ok(());
    }
    loop {
        let unread = wire.unread();
        if let Some(end) = memchr::memmem::find(unread, b"\r\n.\r\n") {
            wire.take(end + 5);
            return Ok(());
        }
        wire.take(unread.len().saturating_sub(TAIL));
        reader.more(wire).await?;
    }
}

/// The recipients that the fields of a report name (RFC 3464 §2.3.2).
fn final_recipients(report: &[u8]) -> Vec<envelope::Place> {
    let lines = report.split(|octet| *octet == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim_end();
        let (name, value) = line.split_once(':')?;
        let (_, address) = value.split_once(';')?;
        if name.eq_ignore_ascii_case("Final-Recipient") {
            envelope::recipient(address.trim())
        } else {
            None
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::load::Load;
    use crate::size::Sizes;

    /// A connection over which `octets` come, in pieces of `piece`.
    async fn wire(octets: Vec<u8>, piece: usize) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move {
            for piece in octets.chunks(piece) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        Wire::new(listener.accept().await.unwrap().0)
    }

    fn plan(verify: Verify) -> Arc<Plan> {
        let size = Sizes::Fixed(units::ByteSize::kib(3));
        Arc::new(Plan::new(&Load { size, verify, ..Load::default() }, &[], 0xab).unwrap())
    }

    fn message(plan: &Plan, number: u64) -> Vec<u8> {
        let mut octets = b"Received: from source\r\n\tby relay\r\n".to_vec();
        plan.push_head(&mut octets, number);
        octets.extend_from_slice(plan.body(number));
        octets.extend_from_slice(b".\r\n");
        octets
    }

    async fn check(octets: Vec<u8>, plan: &Plan, want: Content) {
        for piece in [1, 7, 1_000_000] {
            let behind = [octets.clone(), b"QUIT\r\n".to_vec()].concat();
            let mut wire = wire(behind, piece).await;
            let reader = Reader { plan, octets_per_second: 0 };
            assert_eq!(reader.read(&mut wire).await.unwrap(), want, "pieces of {piece}");
            while wire.unread() != b"QUIT\r\n" {
                assert!(wire.fill(10).await.unwrap(), "the end was not found: {piece}");
            }
        }
    }

    #[tokio::test]
    async fn what_was_sent_is_whole() {
        let plan = plan(Verify::All);
        let want = Content { number: Some(17), is_damaged: false };
        check(message(&plan, 17), &plan, want).await;
    }

    #[tokio::test]
    async fn each_kind_of_damage_is_seen() {
        let plan = plan(Verify::All);
        let whole = message(&plan, 17);
        let end = whole.len() - 3;
        let changed = |at: usize| {
            let mut octets = whole.clone();
            octets[at] = if octets[at] == b'x' { b'y' } else { b'x' };
            octets
        };
        let cut = [&whole[..end - 78], b".\r\n"].concat();
        let longer = [&whole[..end], b"one line more\r\n.\r\n"].concat();
        let other = {
            let mut octets = Vec::new();
            plan.push_head(&mut octets, 17);
            octets.extend_from_slice(plan.body(18));
            octets.extend_from_slice(b".\r\n");
            octets
        };
        let body = end - plan.body(17).len();
        for octets in [changed(body), changed(end - 3), cut, longer, other] {
            check(octets, &plan, Content { number: Some(17), is_damaged: true }).await;
        }
    }

    #[tokio::test]
    async fn without_comparison_only_the_number_is_read() {
        let plan = plan(Verify::None);
        let mut octets = message(&plan, 17);
        let at = octets.len() - 10;
        octets[at] = b'x';
        check(octets, &plan, Content { number: Some(17), is_damaged: false }).await;
    }

    #[tokio::test]
    async fn other_mail_has_no_number() {
        let plan = plan(Verify::All);
        let beyond = message(&plan, 10_000);
        for other in
            [b".\r\n".to_vec(), b"Subject: x\r\n.\r\n".to_vec(), b"\r\nx\r\n.\r\n".to_vec(), beyond]
        {
            check(other, &plan, Content::default()).await;
        }
    }

    #[tokio::test]
    async fn a_report_names_its_recipients() {
        let plan = plan(Verify::All);
        let report = b"Subject: no\r\n\r\nFinal-Recipient: rfc822;user2.ab.17@d3.slow.example\r\n\
            Action: failed\r\n\r\nfinal-recipient: RFC822; user0.ab.4@d1.example\r\n.\r\n";
        for piece in [1, 5, 1_000_000] {
            let mut wire = wire(report.to_vec(), piece).await;
            let reader = Reader { plan: &plan, octets_per_second: 0 };
            let places = reader.read_report(&mut wire).await.unwrap();
            let places: Vec<_> = places.iter().map(|place| (place.number, place.nth)).collect();
            assert_eq!(places, [(17, 2), (4, 0)], "pieces of {piece}");
            assert!(wire.unread().is_empty());
        }
    }
}
