//! RocksDB behind the few operations that the spool needs. The only file that opens a database.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};
use rocksdb::{
    ColumnFamilyDescriptor, DB, DBRecoveryMode, ErrorKind, InfoLogger, LogLevel, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

use crate::faults::Faults;

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// Message → envelope and where the content is.
    Envelope,
    /// Message → small content.
    Body,
    /// Message and recipient → where that recipient stands.
    Progress,
    /// Family letter and key → a record that could not be read.
    Aside,
    /// Name → how many of something were counted on a day.
    Tally,
}

impl Family {
    pub(crate) const ALL: [Self; 5] =
        [Self::Envelope, Self::Body, Self::Progress, Self::Aside, Self::Tally];

    /// The name in the database, which is also the label of `corrupt_total`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Body => "body",
            Self::Progress => "progress",
            Self::Aside => "aside",
            Self::Tally => "tally",
        }
    }

    /// The key under which a record of this family is set aside.
    pub(crate) fn aside_key(self, key: &[u8]) -> Vec<u8> {
        let letter = self.name().as_bytes().first().copied().unwrap_or_default();
        [&[letter], key].concat()
    }
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(Family, Vec<u8>, bytes::Bytes),
    Delete(Family, Vec<u8>),
}

/// How far a write must get before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// On the device: a power cut loses nothing. What a 250 after DATA needs (RFC 5321 §6.1).
    Device,
    /// In the log's buffer: a power cut may lose it, and some delivery is then repeated.
    Buffer,
}

/// What the database says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("no space left on the device")]
    Full,
    #[error("{0}")]
    Corrupt(Box<str>),
    #[error("{0}")]
    Failed(Box<str>),
    #[error("the database is closed until the device takes writes again")]
    Closed,
}

impl From<rocksdb::Error> for EngineError {
    fn from(error: rocksdb::Error) -> Self {
        let words = error.as_ref();
        if words.contains("No space left") {
            return Self::Full;
        }
        if error.kind() == ErrorKind::Corruption {
            Self::Corrupt(words.into())
        } else {
            Self::Failed(words.into())
        }
    }
}

impl From<std::io::Error> for EngineError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            Self::Full
        } else {
            Self::Failed(error.to_string().into())
        }
    }
}

/// The database. After a failed write it must be reopened before the next one: what stands in the
/// log behind a torn record would be lost.
pub(crate) struct Engine {
    path: PathBuf,
    faults: Faults,
    db: RwLock<Option<DB>>,
    /// A write failed because the database found damage in its own tables while compacting them.
    is_damaged: AtomicBool,
}

/// Memory for rows not yet in tables: all families together, each row once more in the log.
const MEMTABLE_OCTETS: usize = 64 << 20;
/// Disk for the log: beyond it the oldest rows go to tables.
const LOG_OCTETS_MAX: u64 = 256 << 20;
/// Memory for rows of tables.
const BLOCK_CACHE_OCTETS: usize = 32 << 20;

/// How strictly the database treats its own damage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// Any damage in the background stops writes.
    Full,
    /// A damaged table is left as it is: its readable rows are read, the rest is set aside.
    Lenient,
}

impl Engine {
    /// Opens the database in `path`, making it if it is not there.
    pub(crate) fn open(path: &Path, faults: Faults) -> Result<Self, EngineError> {
        let db = open_any(path)?;
        Ok(Self {
            path: path.to_owned(),
            faults,
            db: RwLock::new(Some(db)),
            is_damaged: AtomicBool::new(false),
        })
    }

    /// Opens the database to look at it: nothing in it is changed.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, EngineError> {
        let open = |strictness| {
            let mut options = options(strictness);
            options.create_if_missing(false);
            // One that an earlier version made may lack some.
            let there = DB::list_cf(&options, path)?;
            let is_there = |it: &ColumnFamilyDescriptor| there.iter().any(|name| name == it.name());
            let families = families(strictness).into_iter().filter(is_there);
            DB::open_cf_descriptors_read_only(&options, path, families, false)
        };
        let db = open(Strictness::Full).or_else(|_| open(Strictness::Lenient))?;
        Ok(Self {
            path: path.to_owned(),
            faults: Faults::default(),
            db: RwLock::new(Some(db)),
            is_damaged: AtomicBool::new(false),
        })
    }

    /// How many rows a family has, about.
    pub(crate) fn rows(&self, family: Family) -> u64 {
        let rows = || {
            let db = self.db().ok()?;
            let handle = family_of(&db, family).ok()?;
            db.property_int_value_cf(&handle, "rocksdb.estimate-num-keys").ok()?
        };
        rows().unwrap_or(0)
    }

    /// Closes the database and opens it again. The log is replayed and what it held is in synced
    /// tables afterwards, so whatever can be read then is on the device.
    pub(crate) fn reopen(&self) -> Result<(), EngineError> {
        let mut db = self.db.write();
        // Closed before it is opened: one process holds the lock file once.
        drop(db.take());
        let mut opened = open_any(&self.path)?;
        if self.is_damaged.load(Ordering::Relaxed) {
            // Opened strictly first, so that the log was replayed without passing over anything.
            drop(opened);
            opened = open_with(&self.path, Strictness::Lenient)?;
        }
        *db = Some(opened);
        Ok(())
    }

    /// Closes the database for good.
    pub(crate) fn close(&self) {
        drop(self.db.write().take());
    }

    /// Octets that a reopening may write: what the log holds goes to tables.
    pub(crate) fn reopen_octets(&self) -> u64 {
        let of = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.ok()?;
            let is_log = entry.path().extension().is_some_and(|it| it == "log");
            entry.metadata().ok().filter(|_| is_log).map(|it| it.len())
        };
        let logs: u64 =
            std::fs::read_dir(&self.path).map_or(0, |folder| folder.filter_map(of).sum());
        logs.min(MEMTABLE_OCTETS as u64 * 2) + (4 << 20)
    }

    /// Writes `changes` all or none.
    pub(crate) fn write(
        &self,
        changes: &[Change],
        durability: Durability,
    ) -> Result<(), EngineError> {
        self.faults.wait_released();
        self.faults.before_write()?;
        let mut batch = WriteBatch::default();
        let db = self.db()?;
        for change in changes {
            match change {
                Change::Put(family, key, value) => {
                    batch.put_cf(&family_of(&db, *family)?, key, value);
                }
                Change::Delete(family, key) => batch.delete_cf(&family_of(&db, *family)?, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Device);
        if let Err(error) = db.write_opt(batch, &options).map_err(EngineError::from) {
            if matches!(error, EngineError::Corrupt(_)) {
                self.is_damaged.store(true, Ordering::Relaxed);
            }
            return Err(error);
        }
        Ok(self.faults.after_write()?)
    }

    /// Puts all that was written so far on the device.
    pub(crate) fn sync(&self) -> Result<(), EngineError> {
        self.faults.before_write()?;
        self.db()?.flush_wal(true)?;
        Ok(self.faults.after_write()?)
    }

    /// Reads one value. In a damaged block the sound rows are still read: each row has its own
    /// checksum, which the caller checks.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let db = self.db()?;
        let family = family_of(&db, family)?;
        match db.get_cf(&family, key) {
            Err(error) if error.kind() == ErrorKind::Corruption => {
                let mut options = ReadOptions::default();
                options.set_verify_checksums(false);
                Ok(db.get_cf_opt(&family, key, &options)?)
            }
            read => Ok(read?),
        }
    }

    /// Whether a test wants the device to be full.
    pub(crate) fn is_full(&self) -> bool {
        self.faults.is_full()
    }

    /// The open database, for as long as the guard is held.
    pub(crate) fn db(&self) -> Result<parking_lot::MappedRwLockReadGuard<'_, DB>, EngineError> {
        RwLockReadGuard::try_map(self.db.read(), Option::as_ref).map_err(|_| EngineError::Closed)
    }
}

pub(crate) fn family_of(
    db: &DB,
    family: Family,
) -> Result<std::sync::Arc<rocksdb::BoundColumnFamily<'_>>, EngineError> {
    db.cf_handle(family.name()).ok_or(EngineError::Closed)
}

/// Opens strictly; if that fails for damage in the tables, once more leniently.
///
/// The strict try comes first because it alone replays the log without passing over a bad record.
fn open_any(path: &Path) -> Result<DB, EngineError> {
    match open_with(path, Strictness::Full) {
        Err(EngineError::Corrupt(reason)) => {
            tracing::error!(error = %reason, "the spool database is damaged, what can be read is used");
            open_with(path, Strictness::Lenient)
        }
        other => other,
    }
}

fn open_with(path: &Path, strictness: Strictness) -> Result<DB, EngineError> {
    let options = options(strictness);
    Ok(DB::open_cf_descriptors(&options, path, families(strictness))?)
}

fn families(strictness: Strictness) -> [ColumnFamilyDescriptor; Family::ALL.len()] {
    let cache = rocksdb::Cache::new_lru_cache(BLOCK_CACHE_OCTETS);
    Family::ALL.map(|family| {
        let mut options = family_options(family, &cache);
        // Compacting a damaged table fails, again and again.
        options.set_disable_auto_compactions(strictness == Strictness::Lenient);
        ColumnFamilyDescriptor::new(family.name(), options)
    })
}

fn options(strictness: Strictness) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(strictness == Strictness::Full);
    // The first bad record ends the replay: a torn tail is dropped, nothing is passed over.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A used log file keeps its blocks, so that a sync does not have to write its length as well.
    options.set_recycle_log_file_num(4);
    options.set_max_total_wal_size(LOG_OCTETS_MAX);
    options.set_db_write_buffer_size(MEMTABLE_OCTETS);
    options.set_max_background_jobs(2);
    options.set_max_open_files(512);
    options.set_max_manifest_file_size(16 << 20);
    options.set_bytes_per_sync(1 << 20);
    options.set_keep_log_file_num(2);
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, |level, words| {
        if matches!(level, LogLevel::Error | LogLevel::Fatal) {
            tracing::warn!(error = %words.trim(), "the spool database reports an error");
        } else {
            tracing::debug!(error = %words.trim(), "the spool database warns");
        }
    }));
    options
}

fn family_options(family: Family, cache: &rocksdb::Cache) -> Options {
    let mut options = Options::default();
    let mut table = rocksdb::BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_format_version(5);
    // Rows are written once, read once, deleted: a filter spares the read of what is gone.
    table.set_bloom_filter(10.0, false);
    // Their indexes and filters stay in memory, some ten octets a message: kept in the cache instead, with
    // rows, they cost a message that goes out cold two fifths more.
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(MEMTABLE_OCTETS / 2);
    // Uncompressed, a damaged block loses the damaged rows only: each row has its own checksum.
    options.set_compression_type(rocksdb::DBCompressionType::None);
    // A run of tombstones is compacted away before scans stumble over it.
    options.add_compact_on_deletion_collector_factory(1000, 500, 0.5);
    if family == Family::Body {
        // Content that stays is moved to blob files, so that compaction does not copy it again.
        options.set_enable_blob_files(true);
        options.set_min_blob_size(4096);
        options.set_enable_blob_gc(true);
        options.set_blob_gc_age_cutoff(0.5);
    }
    options
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Engine({})", self.path.display())
    }
}
