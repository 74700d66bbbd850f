//! Who signs what leaves.

use anyhow::{Context, Result};
use auth::{Dns, Signer};
use delivery::Signing;
use settings::Settings;
use telemetry::Registry;
use units::Clock;

/// Who signs; without keys too, since a reload may bring some.
pub(crate) fn open(settings: &Settings, clock: &Clock, registry: &Registry) -> Result<Signing> {
    let (config, keys) = (&settings.mail_auth.signing, &settings.dkim);
    let signer = Signer::open(config, keys, clock.clone(), registry)?;
    let dns = Dns::new(resolver::hickory(&settings.resolver).context("resolver")?);
    Ok(Signing::new(signer, dns))
}
