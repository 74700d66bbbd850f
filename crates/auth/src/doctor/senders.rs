//! Whether mail can be sent in a domain's name at all.

use super::check::Party;
use super::relay::Relay;
use crate::config::KeyState;
use crate::dmarc;
use crate::dns::{Dns, LookupError, a_labels, is_within};
use crate::finding::Policy;

/// Why mail with `From` of `domain` through this relay would be distrusted, in one sentence; none if nothing speaks
/// against it.
///
/// Free-mail providers say by DMARC that only they send for their users, so this asks the DNS and knows no list. A domain
/// that a key signs for, or whose zone the operator keeps, is safe.
pub async fn unsafe_sender(
    dns: &Dns,
    relay: &Relay,
    domain: &str,
) -> Result<Option<String>, LookupError> {
    let name = a_labels(domain).ok_or_else(|| LookupError::BadName(domain.to_owned()))?;
    let signs =
        relay.keys.iter().any(|key| key.state == KeyState::Active && is_within(&name, &key.domain));
    if signs || relay.party(&name) == Party::Operator {
        return Ok(None);
    }
    let Some(policy) = dmarc::policy(dns, &name).await? else { return Ok(None) };
    let follows = match policy.disposition() {
        Policy::None => return Ok(None),
        Policy::Quarantine => "treat as suspicious",
        Policy::Reject => "refuse",
    };
    Ok(Some(format!(
        "{name} asks all receivers to {follows} mail that it did not send itself (DMARC at {}); send from a domain of your own, with this address in Reply-To",
        policy.found_at
    )))
}
