//! Which servers are asked, and how.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;

use crate::config::Config;
use crate::error::OpenError;

/// A "no" is not kept long, so that a mended zone is seen soon.
const NO_AGE_MAX: Duration = Duration::from_mins(5);
/// Questions under way over one TCP connection to a server.
const QUESTIONS_MAX: usize = 512;

/// What the settings come to.
pub(crate) struct Setup {
    pub(crate) servers: Vec<NameServerConfig>,
    pub(crate) options: ResolverOpts,
}

impl Setup {
    pub(crate) fn new(config: &Config) -> Result<Self, OpenError> {
        let (servers, mut options) = if config.servers.is_empty() {
            let (system, options) =
                read_system_conf().map_err(|error| OpenError::System(error.to_string().into()))?;
            (system.name_servers().to_vec(), options)
        } else {
            let servers = config.servers.iter().copied().map(server).collect();
            (servers, ResolverOpts::default())
        };
        options.timeout = config.answer_wait_max.as_duration();
        options.attempts = usize::from(config.tries_max.max(1));
        options.cache_size = u64::from(config.answers_max);
        options.positive_max_ttl = Some(config.answer_age_max.as_duration());
        options.negative_max_ttl = Some(NO_AGE_MAX.min(config.answer_age_max.as_duration()));
        options.max_active_requests = QUESTIONS_MAX;
        // Both kinds are asked for one by one; this only concerns hickory's own helper.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Ok(Self { servers, options })
    }
}

/// A resolver as the settings want it, with a cache of its own: for libraries that ask for more than mail hosts.
pub fn hickory(config: &Config) -> Result<TokioResolver, OpenError> {
    let Setup { servers, options } = Setup::new(config)?;
    // Without a search list: every name that is asked for is absolute.
    let servers = ResolverConfig::from_parts(None, Vec::new(), servers);
    let builder = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
    let built = builder.with_options(options).build();
    built.map_err(|error| OpenError::Setup(error.to_string().into()))
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    // The operator named it, so its "no" counts.
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}
