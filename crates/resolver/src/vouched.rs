//! Look-ups of which it matters whether DNSSEC vouches for the answer.

use std::sync::Arc;

use hickory_resolver::config::ResolverOpts;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsHandle, NetError, RetryDnsHandle};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Message, Query};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, ResponseCache, TlsConfig, TtlConfig};
use units::Clock;

use crate::error::{LookupError, OpenError};
use crate::name;
use crate::servers::Setup;

/// Aliases that are followed within one answer.
const ALIASES_MAX: usize = 8;

/// Something, and whether DNSSEC vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched<T> {
    /// What was found.
    pub found: T,
    /// Whether a server that is trusted for it has validated the whole answer: the AD bit (RFC 6840 §5.8).
    pub is_secure: bool,
}

/// Records of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Never empty.
    pub(crate) records: Vec<RData>,
    /// Whose they are: the name that was asked for, or what it is an alias of.
    pub(crate) owner: Name,
    pub(crate) is_secure: bool,
}

/// Asks servers that are trusted to validate, and heeds what they say of it. Has a cache of its own, bounded and aged as
/// the other one: that one forgets the AD bit where it follows an alias itself.
#[derive(Clone)]
pub(crate) struct Validated {
    servers: RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>,
    options: Arc<ResolverOpts>,
    cache: ResponseCache,
    clock: Clock,
}

impl Validated {
    pub(crate) fn open(setup: Setup) -> Result<Self, OpenError> {
        let Setup { servers, options } = setup;
        let tls = TlsConfig::new().map_err(|error| OpenError::Setup(error.to_string().into()))?;
        let context = Arc::new(PoolContext::new(options.clone(), tls));
        let provider = TokioRuntimeProvider::default();
        let pool = NameServerPool::from_config(servers, context, provider);
        Ok(Self {
            servers: RetryDnsHandle::new(pool, options.attempts),
            cache: ResponseCache::new(options.cache_size, TtlConfig::from_opts(&options)),
            options: Arc::new(options),
            clock: Clock::system(),
        })
    }

    /// The records of one kind; [`LookupError::NoAddress`] means that there is none of the kind.
    pub(crate) async fn records(
        &self,
        name: &str,
        kind: RecordType,
        record: &'static str,
    ) -> Result<Answer, LookupError> {
        let query = Query::query(name::absolute(name)?, kind);
        let message = match self.cache.get(&query, self.clock.now()) {
            Some(kept) => kept,
            None => self.ask(query).await,
        };
        let message = message.map_err(|error| LookupError::of(&error, name, record))?;
        answer(&message, kind)
            .ok_or_else(|| LookupError::of_code(message.metadata.response_code, name, record))
    }

    async fn ask(&self, query: Query) -> Result<Message, NetError> {
        let mut options = DnsRequestOptions::default();
        options.case_randomization = self.options.case_randomization;
        options.edns_payload_len = self.options.edns_payload_len;
        // Either bit asks for AD in the reply; older servers know only the first one.
        options.edns_set_dnssec_ok = true;
        let mut request = DnsRequest::from_query(query.clone(), options);
        request.metadata.authentic_data = true;
        let answer = self.servers.send(request).first_answer().await;
        let answer = answer.map(|response| {
            let mut message = response.into_message();
            // Signatures were for the server to check.
            message.authorities.clear();
            message.additionals.clear();
            message.answers.retain(|it| it.record_type() != RecordType::RRSIG);
            message
        });
        self.cache.insert(query, answer.clone(), self.clock.now());
        answer
    }
}

/// The records of `kind` behind all aliases; none if there are none.
fn answer(message: &Message, kind: RecordType) -> Option<Answer> {
    let mut owner = message.queries.first()?.name();
    for _ in 0..ALIASES_MAX {
        let of_owner = message.answers.iter().filter(|record| record.name == *owner);
        let mut alias = None;
        let mut records = Vec::new();
        for record in of_owner {
            match &record.data {
                RData::CNAME(target) => alias = Some(&target.0),
                data if record.record_type() == kind => records.push(data.clone()),
                _ => {}
            }
        }
        if !records.is_empty() {
            let is_secure = message.metadata.authentic_data;
            return Some(Answer { records, owner: owner.clone(), is_secure });
        }
        owner = alias?;
    }
    None
}
