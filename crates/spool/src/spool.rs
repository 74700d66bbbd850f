//! The spool as the rest of the relay sees it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;

use mail::{Accepted, MessageId};
use parking_lot::Mutex;
use telemetry::Registry;
use tokio::sync::{Semaphore, oneshot};
use units::Clock;

use crate::body::{BodyIoKind, Lane};
use crate::committer::Committer;
use crate::config::Config;
use crate::engine::{Engine, EngineError, Family};
use crate::error::{Full, LoadError, OpenError, RecoverError, SettleError};
use crate::faults::Faults;
use crate::folder::{self, Folder};
use crate::ids::Ids;
use crate::inner::Inner;
use crate::keeper::{Keeper, Stop};
use crate::metrics::Metrics;
use crate::place::{Accounts, Counts, Health, Place};
use crate::record::extent::CONTENT_OCTETS_MAX;
use crate::record::tally;
use crate::request::{Claim, Request, Settle};
use crate::segments::Segments;
use crate::settlement::{Report, ReportContent, Settlement};
use crate::shared::Shared;
use crate::state::{Recovered, Recovery, Tally};
use crate::stored::{self, Stored};
use crate::warm::Warm;
use crate::writer::Writer;
use crate::{recover, scan};

/// Requests that wait for the committer; beyond it the caller waits.
const REQUESTS_WAITING_MAX: usize = 4096;
/// Cold messages read from the database at once.
const LOADS_MAX: usize = 8;

/// The durable truth: holds each message from its 250 until its last recipient is settled.
///
/// Cheap to clone. The last clone dropped stops the threads and closes the database; messages being
/// written or read count as clones.
#[derive(Clone, Debug)]
pub struct Spool {
    inner: Arc<Inner>,
}

impl Spool {
    /// Opens the spool in `config.path`, making it if it is not there. Blocks.
    ///
    /// Mail may be accepted at once; what was there before comes from [`Spool::recover`].
    pub fn open(
        config: &Config,
        clock: Clock,
        random_seed: u64,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        Self::open_with(config, clock, random_seed, (registry, Faults::default()))
    }

    /// As [`Spool::open`], with faults on demand.
    #[doc(hidden)]
    pub fn open_with(
        config: &Config,
        clock: Clock,
        random_seed: u64,
        (registry, faults): (&Registry, Faults),
    ) -> Result<Self, OpenError> {
        let folder = Arc::new(Folder::open(&config.path)?);
        let engine_fault = |error: EngineError| OpenError::Engine(error.to_string().into());
        let folder_fault = |source| OpenError::Folder {
            path: config.path.display().to_string().into(),
            step: "read the folder",
            source,
        };
        let engine = Engine::open(&folder::database(&config.path), faults.clone());
        let engine = engine.map_err(engine_fault)?;
        let last_old = scan::last_message(&engine, Family::Envelope).map_err(engine_fault)?;
        let segments = Segments::open(
            folder::segments(&config.path),
            config.segment_octets.as_octets(),
            faults.clone(),
        );
        let segments = Arc::new(segments.map_err(folder_fault)?);
        let free_octets = folder.free_octets().map_err(folder_fault)?;
        // The threads of the lane hold nothing but files and end when the lane is dropped.
        let (lane, _) = Lane::start(config.body_io, faults)?;
        let shared = Arc::new(Shared {
            engine,
            segments,
            accounts: Arc::new(Accounts::new(config, free_octets)),
            warm: Arc::new(Warm::new(config.warm_octets_max.as_usize())),
            metrics: Metrics::register(registry),
            clock: clock.clone(),
            unclaimed: Arc::default(),
            unsaved_max: config.unsaved_settlements_max,
            broken: Arc::default(),
        });
        let Shared { accounts, warm, segments, .. } = &*shared;
        Metrics::register_readings(registry, (accounts, warm, segments), lane.kind());
        let (requests, receiver) = channel::bounded(REQUESTS_WAITING_MAX);
        let stop = Arc::new(Stop::default());
        let committer = Committer::new(Arc::clone(&shared));
        let committer = thread("spool-commit", move || committer.run(receiver))?;
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            folder: Arc::clone(&folder),
            requests: requests.clone(),
            stop: Arc::clone(&stop),
        };
        let keeper = thread("spool-keep", move || keeper.run())?;
        tracing::info!(path = %config.path.display(), body_io = %lane.kind(), "the spool is open");
        let inner = Inner {
            shared,
            lane,
            ids: Ids::new(clock, random_seed, last_old),
            memory: Arc::new(Semaphore::new(config.in_flight_octets_max.as_usize() >> 10)),
            inline_octets_max: config.inline_octets_max.as_usize().min(CONTENT_OCTETS_MAX),
            commit_wait_max: config.commit_wait_max.as_duration(),
            requests: Mutex::new(Some(requests)),
            loads: Semaphore::new(LOADS_MAX),
            last_old,
            scanned_to: Mutex::default(),
            stop,
            threads: Mutex::new(vec![keeper, committer]),
            _folder: folder,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What was counted with messages and settlements, by name. Blocks. A count that cannot be read begins anew.
    pub fn tallies(&self) -> Vec<Tally> {
        let engine = &self.inner.shared.engine;
        let page = scan::page(engine, Family::Tally, &[], None, usize::MAX);
        let page = page.unwrap_or_else(|error| {
            tracing::warn!(%error, "counts of earlier days cannot be read");
            scan::Page::default()
        });
        recover::report_damage(&self.inner, Family::Tally, page.damage);
        let decoded = page.rows.iter().filter_map(|(key, value)| {
            let decoded = tally::decode(value, key);
            if let Err(error) = &decoded {
                let name = String::from_utf8_lossy(key);
                self.inner.shared.metrics.corrupt_found(Family::Tally);
                tracing::warn!(%name, %error, "a count cannot be read, it begins anew");
            }
            decoded.ok()
        });
        decoded.collect()
    }

    /// Hands over every message that was there when the spool was opened, oldest first, until `each`
    /// breaks off. Blocks. Content is not read. Called again after an error, it goes on where it was.
    ///
    /// A record that cannot be read is set aside, counted and logged, and the scan goes on. Space that
    /// no message refers to is given back at the end.
    pub fn recover(
        &self,
        each: &mut dyn FnMut(Recovered<'_>) -> ControlFlow<()>,
    ) -> Result<Recovery, RecoverError> {
        recover::run(&self.inner, self.inner.last_old, each)
    }

    /// Takes a place for one message before its content comes.
    ///
    /// # Errors
    /// [`Full`] names the limit; answer 452 at MAIL or before 354.
    pub fn reserve(&self, octets_declared: Option<u64>) -> Result<Place, Full> {
        Place::take(&self.inner.shared.accounts, octets_declared.unwrap_or(0))
    }

    /// Begins a message.
    pub fn writer(&self, place: Place) -> Writer {
        Writer::new(Arc::clone(&self.inner), place)
    }

    /// Loads a message: from memory if it is fresh, else from the device.
    pub async fn load(&self, id: MessageId) -> Result<Stored, LoadError> {
        if let Some(stored) = stored::load_warm(&self.inner, id) {
            self.inner.shared.metrics.loaded_warm();
            return Ok(stored);
        }
        self.inner.shared.metrics.loaded_cold();
        let failed = |reason: &str| LoadError::Engine { id, reason: reason.into() };
        let _turn = self.inner.loads.acquire().await.map_err(|_| failed("the spool is closing"))?;
        let inner = Arc::clone(&self.inner);
        let found = tokio::task::spawn_blocking(move || stored::load_cold(&inner, id)).await;
        let found = found.map_err(|_| failed("the thread that read it panicked"))?;
        for (family, aside) in found.aside {
            // Boxed: it is rare, and each reader would hold room for it.
            Box::pin(self.inner.set_aside(family, aside)).await;
        }
        found.result
    }

    /// Writes down what became of recipients. With a report, returns the report's [`Accepted`], and
    /// both are on the device; without one it returns as soon as it is written in order, and while the
    /// device takes no writes, as soon as it is kept to be written later.
    ///
    /// May be repeated: settling what is settled does nothing, and a report that was stored although
    /// the call failed is returned instead of a second one.
    pub async fn settle(&self, settlement: Settlement) -> Result<Option<Accepted>, SettleError> {
        let Settlement { id, recipients, is_finished, report, tally } = settlement;
        let has_report = report.is_some();
        let failed = |words: &str| {
            let kind = if has_report { SettleError::Report } else { SettleError::Engine };
            kind(words.into())
        };
        let (report, copy) = match report {
            // However large the original is, its octets are copied: that takes its time.
            Some(copy @ Report { content: ReportContent::Of(_), .. }) => {
                (None, Some(self.prepare_report(copy).await?))
            }
            report => (report, None),
        };
        let deadline = tokio::time::Instant::now() + self.inner.commit_wait_max;
        let work = async {
            let report = match report {
                Some(report) => Some(self.prepare_report(report).await?),
                None => copy,
            };
            let (answer, answered) = oneshot::channel();
            let answer = Some(answer);
            let settle = Settle { id, recipients, is_finished, report, tally, answer, freed: None };
            let sent = self.inner.send(Request::Settle(settle)).await;
            sent.map_err(|()| failed("the spool is closing"))?;
            let claim = answered.await.map_err(|_| failed("the spool is closing"))??;
            Ok(claim.and_then(Claim::take))
        };
        // A report whose claim is dropped here is kept for the next call.
        let late = |_| failed("the device did not answer in time");
        tokio::time::timeout_at(deadline, work).await.map_err(late)?
    }

    async fn prepare_report(
        &self,
        report: Report,
    ) -> Result<crate::prepared::Prepared, SettleError> {
        let failed =
            |error: crate::error::WriteError| SettleError::Report(error.to_string().into());
        let mut writer = self.writer(Place::force(&self.inner.shared.accounts));
        match report.content {
            ReportContent::Written(octets) => writer.write(octets).await.map_err(failed)?,
            ReportContent::Of(original) => {
                let mut content = original.content();
                while let Some(piece) = content.next().await.map_err(SettleError::Unreadable)? {
                    writer.write(piece).await.map_err(failed)?;
                }
            }
        }
        writer.prepare(report.envelope, report.received_at).await.map_err(failed)
    }

    /// Does at once what is done every second: looks after trouble and freed space.
    #[doc(hidden)]
    pub async fn tick(&self) {
        let (answer, answered) = oneshot::channel();
        let _is_sent = self.inner.send(Request::Tick(Some(answer))).await.is_ok();
        // Dropped or answered, the tick is over.
        let _is_answered = answered.await.is_ok();
        self.inner.shared.segments.do_chores();
    }

    /// Waits until the thread that writes has ended by a fault in the program: then nothing is taken or settled any
    /// more until the process starts again. To be asked by one who waits.
    pub async fn broken(&self) {
        self.inner.shared.broken.notified().await;
    }

    /// Whether it takes mail; while it does not, no attempt should be begun either.
    pub fn health(&self) -> Health {
        self.inner.shared.accounts.health()
    }

    /// What writes large content.
    pub fn body_io(&self) -> BodyIoKind {
        self.inner.lane.kind()
    }

    /// How much it holds.
    pub fn counts(&self) -> Counts {
        self.inner.shared.accounts.counts()
    }

    /// Takes no more mail, writes what waits, and closes the database. What is still being written
    /// elsewhere fails from here on.
    pub async fn close(self) {
        self.inner.shared.accounts.close();
        let inner = Arc::clone(&self.inner);
        // A panic in there has been reported by its thread.
        drop(tokio::task::spawn_blocking(move || inner.stop()).await);
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name.into()).spawn(body).map_err(OpenError::Thread)
}
