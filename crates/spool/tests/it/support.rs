//! A spool in a temporary folder, and what tests do with it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mail::{
    Accepted, Address, BodyType, Envelope, Fate, MessageId, Origin, Recipient, ReversePath,
    Timestamp,
};
use spool::{
    BodyIo, CommitError, Config, Faults, RecipientState, Recovered, Recovery, Settlement, Spool,
};
use telemetry::Registry;
use tempfile::TempDir;
use units::{ByteSize, Clock};

pub(crate) const NOW: u64 = 1_795_286_760_000;

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) config: Config,
    pub(crate) faults: Faults,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Clock,
    seed: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            path: folder.path().join("spool"),
            segment_octets: ByteSize::mib(1),
            free_octets_min: ByteSize::octets(0),
            inline_octets_max: ByteSize::kib(16),
            body_io: BodyIo::Threads,
            ..Config::default()
        };
        let (faults, registry) = (Faults::default(), Arc::new(Registry::new()));
        Self { folder, config, faults, registry, clock: Clock::manual(NOW), seed: 1 }
    }

    /// Opens the spool as the next run of the relay would, with nothing scanned.
    pub(crate) fn open(&mut self) -> Spool {
        self.seed += 1;
        self.registry = Arc::new(Registry::new());
        let with = (&*self.registry, self.faults.clone());
        Spool::open_with(&self.config, self.clock.clone(), self.seed, with).unwrap()
    }

    /// Opens and scans.
    pub(crate) fn reopen(&mut self) -> (Spool, Vec<Found>, Recovery) {
        let spool = self.open();
        let mut all = Vec::new();
        let recovery = scan(&spool, |recovered| all.push(Found::from(recovered)));
        (spool, all, recovery)
    }

    pub(crate) fn database(&self) -> std::path::PathBuf {
        self.config.path.join("database")
    }

    pub(crate) fn segments(&self) -> Vec<std::path::PathBuf> {
        files(&self.config.path.join("segments"), "segment")
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.registry.render();
        let prefix = format!("chasqui_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }
}

/// Scans to the end.
pub(crate) fn scan(spool: &Spool, mut each: impl FnMut(Recovered<'_>)) -> Recovery {
    let mut each = |recovered: Recovered<'_>| {
        each(recovered);
        ControlFlow::Continue(())
    };
    spool.recover(&mut each).unwrap()
}

/// What the scan said of a message.
pub(crate) struct Found {
    pub(crate) id: MessageId,
    pub(crate) received_at: Timestamp,
    pub(crate) octets: u64,
    /// Recipient, tries, when it is tried next.
    pub(crate) waiting: Vec<(String, u16, Timestamp)>,
}

impl From<Recovered<'_>> for Found {
    fn from(recovered: Recovered<'_>) -> Self {
        let Recovered { id, received_at, octets, waiting, .. } = recovered;
        let waiting = waiting.iter().map(|it| (it.recipient.to_owned(), it.tries, it.next_try_at));
        Self { id, received_at, octets, waiting: waiting.collect() }
    }
}

/// Of `states`, what the scan says of a message.
pub(crate) fn left(states: &[RecipientState]) -> Vec<(String, u16, Timestamp)> {
    let one = |(at, state): (usize, &RecipientState)| match state {
        RecipientState::Waiting { tries, next_try_at, .. } => {
            Some((format!("r{at}@there.example"), *tries, *next_try_at))
        }
        RecipientState::Settled { .. } => None,
    };
    states.iter().enumerate().filter_map(one).collect()
}

pub(crate) fn files(folder: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    files.sort();
    files
}

pub(crate) fn envelope(recipients: usize) -> Envelope {
    let address = |text: String| Address::parse(&text).unwrap();
    let recipient = |n| Recipient::from(address(format!("r{n}@there.example")));
    Envelope {
        sender: ReversePath::Address(address("s@here.example".into())),
        recipients: (0..recipients).map(recipient).collect(),
        body_type: BodyType::EightBitMime,
        needs_smtputf8: false,
        wishes: mail::Wishes::default(),
        origin: Origin {
            client: Some("192.0.2.1".parse().unwrap()),
            helo: "client.example".into(),
            listener: "smtp".into(),
            connector: "applications".into(),
            tls: None,
            login: None,
        },
        directions: None,
    }
}

/// Octets that differ from place to place and from seed to seed.
pub(crate) fn content(octets: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..octets.div_ceil(8)).flat_map(|_| next()).take(octets).collect::<Vec<u8>>().into()
}

pub(crate) async fn store(spool: &Spool, content: &Bytes) -> Result<Accepted, CommitError> {
    store_for(spool, content, 1).await
}

/// Stores a message in pieces as a connection would bring them.
pub(crate) async fn store_for(
    spool: &Spool,
    content: &Bytes,
    recipients: usize,
) -> Result<Accepted, CommitError> {
    let place = spool.reserve(Some(content.len() as u64))?;
    let mut writer = spool.writer(place);
    let mut rest = content.clone();
    while !rest.is_empty() {
        writer.write(rest.split_to(rest.len().min(60_000))).await?;
    }
    let id = writer.id();
    let accepted = writer.commit(envelope(recipients), Timestamp::from_millis(NOW)).await?;
    assert_eq!(accepted.id, id);
    assert_eq!(accepted.octets, content.len() as u64);
    Ok(accepted)
}

pub(crate) async fn read(spool: &Spool, id: MessageId) -> Vec<u8> {
    let stored = spool.load(id).await.unwrap();
    let (mut content, mut octets) = (stored.content(), Vec::new());
    while let Some(chunk) = content.next().await.unwrap() {
        assert!(chunk.len() <= 256 << 10);
        octets.extend_from_slice(&chunk);
    }
    assert_eq!(octets.len() as u64, stored.octets);
    octets
}

pub(crate) fn delivered() -> RecipientState {
    RecipientState::Settled {
        fate: Fate::Delivered,
        at: Timestamp::from_millis(NOW + 5),
        reply: "250 2.0.0 ok".into(),
        owed: None,
    }
}

pub(crate) fn waiting(tries: u16) -> RecipientState {
    RecipientState::Waiting {
        tries,
        next_try_at: Timestamp::from_millis(NOW + 60_000),
        last: Some("451 4.3.0 later".into()),
        is_told: false,
    }
}

pub(crate) fn note(id: MessageId, recipients: Vec<(u32, RecipientState)>) -> Settlement {
    Settlement { id, recipients, is_finished: false, report: None, tally: None }
}

pub(crate) fn finish(id: MessageId) -> Settlement {
    Settlement {
        id,
        recipients: vec![(0, delivered())],
        is_finished: true,
        report: None,
        tally: None,
    }
}

/// The database itself, while no spool has it open.
pub(crate) fn database(bench: &Bench) -> rocksdb::DB {
    let families = ["default", "envelope", "body", "progress", "aside", "tally"];
    rocksdb::DB::open_cf(&rocksdb::Options::default(), bench.database(), families).unwrap()
}
