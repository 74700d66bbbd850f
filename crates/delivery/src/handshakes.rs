//! How TLS is started, connector by connector; read again at reload.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use policy::config::{self, OutboundConnector, TlsLevel, TlsVersion};
use tls::client::{Config, Connectors, Demands, Version};
use tls::{CertificateError, ClientCertificate, Description, client_certificate as read};

/// The TLS of all outbound connectors. Cheap to clone; clones are reloaded together.
#[derive(Clone, Debug)]
pub struct Handshakes(Arc<ArcSwap<Current>>);

#[derive(Debug)]
struct Current {
    config: Config,
    connectors: Arc<[OutboundConnector]>,
    common: Connectors,
    /// Those of connectors that ask for more.
    own: HashMap<Box<str>, Connectors>,
}

/// Why TLS cannot be set up; the operator mends the settings or a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakesError {
    /// What all connectors share.
    #[error("the roots of trust cannot be used")]
    Roots(#[source] Box<CertificateError>),
    /// What one connector asks for.
    #[error(transparent)]
    Connector(#[from] DemandError),
}

/// Why what one connector asks of TLS cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` of outbound connector `{connector}`")]
pub struct DemandError {
    /// Whose.
    pub connector: String,
    /// The key that is wrong, from the connector on.
    pub key: &'static str,
    /// What is wrong with it.
    pub source: Wrong,
}

/// What is wrong with a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// A file.
    #[error(transparent)]
    File(#[from] Box<CertificateError>),
    /// What stands there.
    #[error("{0}")]
    Value(&'static str),
}

impl Handshakes {
    /// Reads the roots of trust and the client certificates. Blocks on files.
    ///
    /// # Errors
    /// When the common roots cannot be used, or what one connector asks for.
    pub fn open(
        config: &Config,
        connectors: &[OutboundConnector],
    ) -> Result<Self, HandshakesError> {
        let current = Current::read(config, connectors.into())?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(current))))
    }

    /// Reads all files again; connections from now on use what they hold. Blocks on files.
    ///
    /// # Errors
    /// When one cannot be used: all stay as they were.
    pub fn reload(&self) -> Result<(), HandshakesError> {
        let current = self.0.load();
        let read = Current::read(&current.config, Arc::clone(&current.connectors))?;
        self.0.store(Arc::new(read));
        Ok(())
    }

    /// Uses what `other` was opened with from now on, as do all clones.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// How the connector called `name` starts TLS.
    pub(crate) fn of(&self, name: &str) -> Connectors {
        let current = self.0.load();
        current.own.get(name).unwrap_or(&current.common).clone()
    }

    /// Tries what one connector asks for; gives what its client certificate says. Blocks on files.
    pub fn look(connector: &OutboundConnector) -> Result<Option<Description>, DemandError> {
        if !connector.enabled {
            return Ok(None);
        }
        let nobody = Config { roots: None, trusts_system: false };
        let found = of_one(&nobody, connector)?;
        Ok(found.and_then(|(_, shown)| shown))
    }
}

impl Current {
    fn read(
        config: &Config,
        connectors: Arc<[OutboundConnector]>,
    ) -> Result<Self, HandshakesError> {
        let common =
            Connectors::open(config).map_err(|error| HandshakesError::Roots(error.into()))?;
        let mut own = HashMap::new();
        for connector in connectors.iter().filter(|connector| connector.enabled) {
            if let Some((connectors, _)) = of_one(config, connector)? {
                own.insert(connector.name.as_str().into(), connectors);
            }
        }
        Ok(Self { config: config.clone(), connectors, common, own })
    }
}

/// The TLS of one connector, if it is not that of all, and what its client certificate says.
fn of_one(
    config: &Config,
    connector: &OutboundConnector,
) -> Result<Option<(Connectors, Option<Description>)>, DemandError> {
    let wrong = |key, source: Wrong| {
        let connector = connector.name.clone();
        DemandError { connector, key, source }
    };
    let value = |key, words| wrong(key, Wrong::Value(words));
    let OutboundConnector { tls_domain, ca_file, tls_version_min, client_certificate, .. } =
        connector;
    if connector.tls != TlsLevel::Verify {
        const WORDS: &str = "has an effect only with tls = \"verify\"";
        if ca_file.is_some() {
            return Err(value("ca_file", WORDS));
        }
        if tls_domain.is_some() {
            return Err(value("tls_domain", WORDS));
        }
    }
    if tls_domain.as_deref().is_some_and(|name| !mail::Domain::is_host_pattern(name)) {
        return Err(value("tls_domain", "is neither a host name nor `*.` and a domain"));
    }
    let certificate = match client_certificate {
        Some(_) if connector.tls == TlsLevel::None => {
            return Err(value("client_certificate", "is never shown with tls = \"none\""));
        }
        Some(settings) => {
            let (key, source) =
                source(settings).map_err(|words| value("client_certificate", words))?;
            Some(read(source).map_err(|error| wrong(key, Box::new(error).into()))?)
        }
        None => None,
    };
    let lowest = match tls_version_min {
        TlsVersion::Tls12 => Version::Tls12,
        TlsVersion::Tls13 => Version::Tls13,
    };
    let is_common = tls_domain.is_none()
        && ca_file.is_none()
        && certificate.is_none()
        && lowest == Version::Tls12;
    if is_common {
        return Ok(None);
    }
    let shown = certificate.as_deref().and_then(Description::of);
    let name = tls_domain.as_deref().map(Box::from);
    let demands = Demands { name, lowest, certificate };
    let private = || Config { roots: ca_file.clone(), trusts_system: false };
    let config = if ca_file.is_some() { private() } else { config.clone() };
    let opened = Connectors::open_with(&config, &demands);
    let connectors = opened.map_err(|error| wrong("ca_file", Box::new(error).into()))?;
    Ok(Some((connectors, shown)))
}

/// Where the certificate is, and the key of the settings that says so.
fn source(
    settings: &config::ClientCertificate,
) -> Result<(&'static str, ClientCertificate<'_>), &'static str> {
    let config::ClientCertificate { certificate, key, pfx, password_file } = settings;
    match (certificate, key, pfx) {
        (Some(certificate), Some(key), None) if password_file.is_none() => {
            Ok(("client_certificate.certificate", ClientCertificate::Pem { certificate, key }))
        }
        (None, None, Some(file)) => {
            let password_file = password_file.as_deref();
            Ok(("client_certificate.pfx", ClientCertificate::Pfx { file, password_file }))
        }
        _ => Err("wants either `certificate` and `key`, or `pfx` with or without `password_file`"),
    }
}
