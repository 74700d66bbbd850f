//! Settings that are read again or changed while the relay runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use admin::Failure;
use admin::view::{
    Changes, Connectors, Direction, DomainReport, Edit, ExportFormat, Reloaded, Run, Trial, Tried,
};
use auth::{ReturnPaths, Signer};
use delivery::{Applications, Handshakes, Logins, Signing};
use mail::Domain;
use policy::{Live, Policy};
use resolver::Resolver;
use sasl::Authenticator;
use serde_json::Value;
use settings::{Finding, Loaded, Plan, Settings};
use telemetry::Causes;
use tokio::sync::Mutex;
use units::Clock;

use crate::domains::{self, Known};
use crate::files::{Failed, Files};
use crate::metrics::Metrics;
use crate::refused::{blocking, not_edited, not_loaded};
use crate::tryout::{self, Bench, Keys};
use crate::{logins, look, return_paths};

/// Sections and tables in them that take effect without a restart.
const LIVE: [&str; 13] = [
    "connectors_folder",
    "inbound",
    "outbound",
    "tls",
    "rule",
    "group",
    "expect",
    "domain",
    "plan",
    "rewrite",
    "dkim",
    "mail_auth.signing",
    "mail_auth.domains",
];

/// What can take other settings while the relay runs.
#[derive(Debug)]
pub(crate) struct Reloading {
    /// Where the settings are; none if they came from nowhere.
    pub(crate) file: Option<PathBuf>,
    /// The settings that the relay was started with.
    pub(crate) started: Settings,
    pub(crate) hostname: Domain,
    pub(crate) policy: Live,
    pub(crate) handshakes: Handshakes,
    pub(crate) logins: Logins,
    pub(crate) applications: Applications,
    pub(crate) return_paths: ReturnPaths,
    pub(crate) signing: Signing,
    pub(crate) files: Files,
    pub(crate) accounts: Arc<Authenticator>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) resolver: Resolver,
    /// Held by whoever changes or reads them.
    pub(crate) one_at_a_time: Mutex<()>,
}

/// All that takes effect together.
struct Opened {
    policy: Policy,
    handshakes: Handshakes,
    logins: Logins,
    applications: Applications,
    signer: Signer,
    return_paths: ReturnPaths,
}

/// What is needed to open what settings name. It is opened before files are changed, so that a change that cannot take
/// effect is none.
struct Opening {
    /// The name that the relay was started with: another one needs a restart.
    hostname: Domain,
    clock: Clock,
    signer: Signer,
}

impl Opening {
    fn open(&self, settings: &Settings, policy: Policy) -> Result<Opened, Vec<Finding>> {
        let logins = Logins::open(&settings.outbound, &self.clock);
        let applications = Applications::open(&settings.outbound, &self.clock);
        let signer = self.signer.reopened(&settings.mail_auth.signing, &settings.dkim);
        Ok(Opened {
            policy,
            handshakes: Handshakes::open(&settings.tls, &settings.outbound).map_err(of("tls"))?,
            logins: logins.map_err(of("outbound"))?,
            applications: applications.map_err(of("outbound"))?,
            signer: signer.map_err(of("dkim"))?,
            return_paths: return_paths::open(settings).map_err(of("rewrite"))?,
        })
    }
}

/// What cannot be opened; the error names the file.
fn of<E: Into<anyhow::Error>>(section: &str) -> impl FnOnce(E) -> Vec<Finding> {
    move |error| vec![Finding::about(section, format!("{:#}", error.into()))]
}

impl Reloading {
    /// Reads settings and certificates again; with a problem in them all stays as it was.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Failure> {
        let _turn = self.one_at_a_time.lock().await;
        let reloaded = match &self.file {
            Some(file) => {
                let (file, opening) = (file.clone(), self.opening());
                let make = move |settings: &Settings| {
                    opening.open(settings, look::decided(settings, &opening.hostname)?)
                };
                let odd =
                    |settings: &Settings, opened: &Opened| look::odd(settings, &opened.policy);
                let loaded = blocking(move || settings::load_and_make(&file, make, odd));
                match loaded.await? {
                    Ok(Loaded { settings, made, odd }) => {
                        for warning in odd.iter().flat_map(settings::Problems::lines) {
                            tracing::warn!(warning, "settings are odd");
                        }
                        Ok(self.take(&settings, made))
                    }
                    Err(error) => Err(not_loaded(&error)),
                }
            }
            None => Ok(Reloaded::default()),
        };
        match &reloaded {
            Ok(_) => self.read_files().await,
            Err(failure) => {
                self.metrics.not_reloaded();
                tracing::error!(error = %failure, "settings not reloaded, old ones stay");
            }
        }
        reloaded
    }

    /// What opening needs to know.
    fn opening(&self) -> Opening {
        Opening {
            hostname: self.hostname.clone(),
            clock: self.clock.clone(),
            signer: self.signing.signer(),
        }
    }

    /// The one place where other settings take effect.
    fn take(&self, settings: &Settings, opened: Opened) -> Reloaded {
        let Opened { policy, handshakes, logins, applications, signer, return_paths } = opened;
        self.handshakes.replace(&handshakes);
        self.logins.replace(&logins);
        self.applications.replace(&applications);
        self.signing.replace(signer);
        self.return_paths.replace(&return_paths);
        // Last, so that no connector is used before what it needs is there.
        self.policy.put(policy);
        self.metrics.in_force(settings);
        let needs_restart = differences(&self.started, settings);
        tracing::info!(
            inbound = settings.inbound.len(),
            outbound = settings.outbound.len(),
            "settings reloaded"
        );
        for key in &needs_restart {
            tracing::warn!(key, "changed setting needs a restart");
        }
        Reloaded { needs_restart }
    }

    async fn read_files(&self) {
        let files = self.files.clone();
        let has_accounts = logins::reload(&self.accounts).await;
        match tokio::task::spawn_blocking(move || files.reload()).await {
            Ok(failed) if failed.is_empty() => tracing::info!("certificates reloaded"),
            Ok(failed) => {
                self.metrics.not_reloaded();
                for Failed { whose, error } in failed {
                    let error = Causes(&*error);
                    tracing::error!(of = whose, %error, "certificate not reloaded, old one stays");
                }
                return;
            }
            Err(error) => {
                self.metrics.not_reloaded();
                tracing::error!(%error, "certificates not reloaded");
                return;
            }
        }
        if has_accounts {
            self.metrics.reloaded();
        } else {
            self.metrics.not_reloaded();
        }
    }

    /// All connectors as they stand in the files.
    pub(crate) async fn connectors(&self) -> Result<Connectors, Failure> {
        let file = self.file()?.to_owned();
        let listed = blocking(move || settings::connectors(&file)).await?;
        Ok(Connectors { connectors: listed.map_err(|error| not_loaded(&error))? })
    }

    /// What the DNS says of a domain, held against the settings as they stand in the files.
    pub(crate) async fn examine(&self, domain: &str) -> Result<DomainReport, Failure> {
        let file = self.file()?.to_owned();
        let settings = blocking(move || settings::load(&file)).await?;
        let settings = settings.map_err(|error| not_loaded(&error))?;
        let report = domains::examine(settings, Known::default(), domain).await;
        report.map_err(|error| Failure::Broken(format!("{error:#}")))
    }

    /// Changes connectors in their files and puts them in force.
    pub(crate) async fn edit(&self, edits: Vec<Edit>, run: Run) -> Result<Changes, Failure> {
        let (file, opening) = (self.file()?.to_owned(), self.opening());
        let make = move |settings: &Settings| {
            opening.open(settings, look::all_as(settings, &opening.hostname)?)
        };
        let hostname = self.hostname.clone();
        let odd = move |settings: &Settings| look::odd_as(settings, &hostname);
        if run == Run::Dry {
            let planned = blocking(move || settings::plan(&file, &edits, make, odd));
            let plan = planned.await?.map_err(|error| not_edited(&error))?;
            let (changes, warnings) = (plan.changes, plan.odd);
            return Ok(Changes { changes, warnings, ..Changes::default() });
        }
        let _turn = self.one_at_a_time.lock().await;
        let edited = blocking(move || settings::apply_edits(&file, &edits, make, odd));
        let Plan { settings, made, changes, odd: warnings, .. } =
            edited.await?.map_err(|error| not_edited(&error))?;
        self.take(&settings, made);
        for change in &changes {
            tracing::info!(
                direction = %change.direction, connector = %change.name, change = %change,
                "connector changed"
            );
        }
        for warning in &warnings {
            tracing::warn!(warning, "settings are odd");
        }
        Ok(Changes { done: true, changes, warnings, ..Changes::default() })
    }

    /// Tries the outbound connector called `name`: what is in force with what deliveries use, and one that is disabled or
    /// would be changed with what its settings say.
    pub(crate) async fn test(&self, name: String, trial: Trial) -> Result<Tried, Failure> {
        let wish = tryout::read(&trial)?;
        let bench = Bench {
            hostname: self.hostname.clone(),
            clock: self.clock.clone(),
            resolver: self.resolver.clone(),
            signing: self.signing.clone(),
            return_paths: self.return_paths.clone(),
        };
        if trial.action.is_none() {
            let policy = self.policy.hold();
            let connector = tryout::find(policy.router.connectors(), &name)?;
            if connector.enabled {
                let keys = Keys {
                    handshakes: self.handshakes.clone(),
                    logins: self.logins.clone(),
                    applications: self.applications.clone(),
                };
                return bench.run((&policy, connector), keys, &wish).await;
            }
        }
        let file = self.file()?.to_owned();
        let edit = trial.action.map(|action| Edit {
            direction: Direction::Outbound,
            name: name.clone(),
            action,
        });
        let settings = blocking(move || tryout::settings(&file, edit)).await??;
        bench.run_of(settings, &name, &wish).await
    }

    /// The connectors in the words of another program.
    pub(crate) async fn export(&self, format: ExportFormat) -> Result<String, Failure> {
        Ok(settings::exchange::export(&self.connectors().await?.connectors, format))
    }

    /// Takes connectors over from another program's words.
    pub(crate) async fn import(&self, text: String, run: Run) -> Result<Changes, Failure> {
        let imported = settings::exchange::import(&text)
            .map_err(|error| Failure::wrong(error.to_string(), error.hint()))?;
        let changes = self.edit(imported.edits, run).await?;
        Ok(Changes { notes: imported.notes, ..changes })
    }

    fn file(&self) -> Result<&Path, Failure> {
        const HINT: &str = "start it with `chasqui serve --config FILE`";
        let file = self.file.as_deref();
        file.ok_or_else(|| Failure::wrong("this relay was started without a settings file", HINT))
    }
}

/// The keys that differ and take effect at the next start only.
fn differences(started: &Settings, now: &Settings) -> Vec<String> {
    let (started, now) = (flat(started), flat(now));
    let mut keys: Vec<String> = started.keys().chain(now.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| started.get(key) != now.get(key));
    keys
}

fn flat(settings: &Settings) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    // Settings that came from a file can be printed.
    if let Ok(Value::Object(sections)) = serde_json::to_value(settings) {
        for (name, section) in sections {
            flatten(name, section, &mut all);
        }
    }
    all.retain(|key, _| !LIVE.iter().any(|live| is_in(key, live)));
    all
}

/// Whether `key` is `table` or stands in it.
fn is_in(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn flatten(name: String, value: Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(format!("{name}.{key}"), value, all);
            }
        }
        value => {
            all.insert(name, value);
        }
    }
}
