//! How the parts are joined: the only place that sees them all.
//!
//! ```text
//! socket → smtp-server ─ Accepted ─▶ queue ─ Attempt ─▶ delivery → socket
//!              │ commit                ▲ │ settle           │ load
//!              ▼                       │ ▼                  ▼
//!            spool                     └─ AttemptEnd ◀──────┘
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use admin::view;
use anyhow::{Context, Result};
use auth::ReturnPaths;
use channel::{Receiver, Sender};
use delivery::{Applications, Handshakes, Logins, Signing};
use filters::Filters;
use mail::{Accepted, Attempt, AttemptEnd, Domain};
use policy::{Live, Policy};
use resolver::Resolver;
use sasl::Authenticator;
use settings::Settings;
use spool::Spool;
use telemetry::Registry;
use tokio::sync::watch;
use units::Clock;

use crate::files::Files;
use crate::logins;
use crate::metrics::Metrics;
use crate::random::random;
use crate::relay::{Channels, Facts, ORDINARY_OCTETS, Operated};
use crate::reload::Reloading;
use crate::running::Running;
use crate::services::Services;
use crate::upkeep::{broken, cut_off, upkeep};
use crate::{return_paths, signing};

/// Messages that the spool holds and the queue has not seen. Nearly full: reception answers MAIL with 452 4.3.1.
const ACCEPTED_MAX: usize = 8192;
/// Attempts that delivery has not begun. Full: the queue hands out no more until one is begun.
const ATTEMPTS_MAX: usize = 1024;
/// Ends of attempts that the queue has not seen. Full: connections wait before their next message.
const ENDS_MAX: usize = 1024;
/// Questions of operators. Full: a question waits until another is answered.
const REQUESTS_MAX: usize = 64;

/// What every part is handed.
struct Common {
    hostname: Domain,
    clock: Clock,
    registry: Arc<Registry>,
    metrics: Metrics,
    spool: Spool,
    policy: Live,
    filters: Arc<Filters>,
    logins: Arc<Authenticator>,
    return_paths: ReturnPaths,
    resolver: Resolver,
}

/// Builds every part, joins them and sets them going. When this returns, every listener accepts.
///
/// `file` is where the settings came from: from there they are read again at reload, and changed by edits of
/// connectors.
pub async fn start(
    (settings, policy): (Settings, Policy),
    file: Option<PathBuf>,
    clock: Clock,
) -> Result<Running> {
    let common = common(&settings, policy, clock).await?;
    let Common { clock, registry, spool, .. } = &common;

    let (accepted_in, accepted_out) = channel::bounded(ACCEPTED_MAX);
    let (attempts_in, attempts_out) = channel::bounded(ATTEMPTS_MAX);
    let (ends_in, ends_out) = channel::bounded(ENDS_MAX);
    let (requests_in, requests_out) = channel::bounded(REQUESTS_MAX);
    let channels = Channels::new(vec![
        ("accepted", accepted_in.depth()),
        ("attempts", attempts_in.depth()),
        ("ends", ends_in.depth()),
        ("requests", requests_in.depth()),
    ]);
    channels.register(registry);
    let accepted = accepted_in.depth();

    let admin = admin::Server::bind(&settings.admin).await?;
    let server = reception(&settings, &common, accepted_in)?;
    let signing = signing::open(&settings, &common.clock, &common.registry)?;
    let delivery = delivery(&settings, &common, &signing, (attempts_out, ends_in))?;
    let queue = queue::Parts {
        config: settings.queue.clone(),
        hostname: common.hostname.clone(),
        spool: spool.clone(),
        policy: common.policy.clone(),
        clock: clock.clone(),
        random_seed: random(),
        accepted: accepted_out,
        attempts: attempts_in,
        ends: ends_out,
        requests: requests_out,
        transactions_max: usize::try_from(settings.delivery.transactions_max).unwrap_or(usize::MAX),
        registry: Arc::clone(registry),
    };

    let (stop, stopped) = watch::channel(false);
    let (stop_admin, admin_stopped) = watch::channel(false);
    let drain_wait_max = settings.stop.drain_wait_max.as_duration();
    let reloading = reloading((&settings, file), &common, (&server, &delivery, signing));
    let relay = Arc::new(Operated {
        reloading,
        facts: Arc::new(facts(settings, &server, clock)),
        queue: queue::Handle::new(requests_in),
        spool: spool.clone(),
        accepted,
        channels,
        clock: clock.clone(),
        logins: Arc::clone(&common.logins),
        stopped: stopped.clone(),
    });
    let (admin_address, admin_socket) = (admin.address(), admin.socket().to_owned());

    let mut services = Services::default();
    let delivering = delivery::run(delivery, stopped.clone());
    services.start("delivery", cut_off(delivering, stopped.clone(), drain_wait_max));
    services.start("queue", queue::run(queue, stopped.clone()));
    services.start("reception", server.run(stopped.clone(), drain_wait_max));
    services.start("spool", broken(spool.clone(), stopped.clone()));
    services.start("upkeep", upkeep(Arc::clone(registry), Arc::clone(&relay), stopped));
    let admin = tokio::spawn(admin.run(Arc::clone(&relay), Arc::clone(registry), admin_stopped));
    Ok(Running {
        admin_address,
        admin_socket,
        registry: common.registry,
        relay,
        spool: common.spool,
        services,
        admin,
        stop,
        stop_admin,
        drain_wait_max,
    })
}

async fn common(settings: &Settings, policy: Policy, clock: Clock) -> Result<Common> {
    crate::panics::watch();
    let registry = Arc::new(Registry::new());
    let metrics = Metrics::register(&registry, settings, &clock);
    let hostname = Domain::parse(&settings.hostname).context("hostname")?;
    let policy = Live::new(policy);
    let filters = filters(settings, &clock, &registry).await?;
    let logins = logins::open(settings, &clock, &registry).await?;
    let spool = open_spool(settings, &clock, &registry).await?;
    let resolver = Resolver::open(&settings.resolver, random(), &registry).context("resolver")?;
    let return_paths = return_paths::open(settings)?;
    Ok(Common {
        hostname,
        clock,
        registry,
        metrics,
        spool,
        policy,
        filters,
        logins,
        return_paths,
        resolver,
    })
}

fn reception(
    settings: &Settings,
    common: &Common,
    accepted: Sender<Accepted>,
) -> Result<smtp_server::Server> {
    let server = smtp_server::Server::bind(smtp_server::Parts {
        listeners: settings.listener.clone(),
        policy: common.policy.clone(),
        filters: Arc::clone(&common.filters),
        return_paths: common.return_paths.clone(),
        authenticator: Some(authenticator(settings, common)?),
        resolver: common.resolver.clone(),
        spool: common.spool.clone(),
        accepted,
        logins: Arc::clone(&common.logins),
        clock: common.clock.clone(),
        hostname: settings.hostname.as_str().into(),
        registry: &common.registry,
    });
    Ok(server?)
}

fn delivery(
    settings: &Settings,
    common: &Common,
    signing: &Signing,
    (attempts, ends): (Receiver<Attempt>, Sender<AttemptEnd>),
) -> Result<delivery::Parts> {
    Ok(delivery::Parts {
        config: settings.delivery.clone(),
        hostname: settings.hostname.as_str().into(),
        clock: common.clock.clone(),
        seed: random(),
        registry: Arc::clone(&common.registry),
        spool: common.spool.clone(),
        policy: common.policy.clone(),
        resolver: common.resolver.clone(),
        handshakes: Handshakes::open(&settings.tls, &settings.outbound)?,
        logins: Logins::open(&settings.outbound, &common.clock)?,
        applications: Applications::open(&settings.outbound, &common.clock)?,
        return_paths: common.return_paths.clone(),
        filters: Arc::clone(&common.filters),
        signing: Some(signing.clone()),
        attempts,
        ends,
    })
}

fn reloading(
    (settings, file): (&Settings, Option<PathBuf>),
    common: &Common,
    (server, delivery, signing): (&smtp_server::Server, &delivery::Parts, Signing),
) -> Reloading {
    Reloading {
        file,
        started: settings.clone(),
        hostname: common.hostname.clone(),
        policy: common.policy.clone(),
        handshakes: delivery.handshakes.clone(),
        logins: delivery.logins.clone(),
        applications: delivery.applications.clone(),
        return_paths: common.return_paths.clone(),
        signing,
        files: Files::new(server.certificates(), &delivery.handshakes),
        accounts: Arc::clone(&common.logins),
        metrics: common.metrics.clone(),
        clock: common.clock.clone(),
        resolver: common.resolver.clone(),
        one_at_a_time: tokio::sync::Mutex::new(()),
    }
}

/// Who finds out who may have sent a message.
fn authenticator(settings: &Settings, common: &Common) -> Result<auth::Authenticator> {
    let resolver = resolver::hickory(&settings.resolver).context("resolver")?;
    let (config, clock) = (settings.mail_auth.clone(), common.clock.clone());
    let host = &settings.hostname;
    Ok(auth::Authenticator::new(resolver, config, host, clock, &common.registry))
}

fn facts(settings: Settings, server: &smtp_server::Server, clock: &Clock) -> Facts {
    let addresses = server.addresses().into_iter();
    Facts {
        hostname: settings.hostname,
        listeners: addresses.map(|(name, address)| view::Listener { name, address }).collect(),
        spool_path: settings.spool.path,
        ordinary_octets: ORDINARY_OCTETS.min(settings.spool.octets_max.as_octets()),
        started_at: clock.now(),
        limits: server.limits(),
        intakes: server.intakes(),
    }
}

async fn open_spool(settings: &Settings, clock: &Clock, registry: &Arc<Registry>) -> Result<Spool> {
    let (config, clock, registry) = (settings.spool.clone(), clock.clone(), Arc::clone(registry));
    let open = move || Spool::open(&config, clock, random(), &registry);
    let path = settings.spool.path.display();
    let opened = tokio::task::spawn_blocking(open).await.context("the spool's start broke")?;
    opened.with_context(|| format!("the spool in {path} cannot be opened"))
}

async fn filters(
    settings: &Settings,
    clock: &Clock,
    registry: &Arc<Registry>,
) -> Result<Arc<Filters>> {
    let (configs, clock) = (settings.filter.clone(), clock.clone());
    let registry = Arc::clone(registry);
    let read = move || Filters::new(&configs, &registry, &clock);
    let filters = tokio::task::spawn_blocking(read).await.context("the filters' start broke")?;
    Ok(Arc::new(filters?))
}
