//! The outbound connector that a message itself names.

use std::sync::Arc;

use mail::header::{Edit, FieldName, Header, Which};
use mail::{Address, EnhancedStatus, Recipient, Reply};

use crate::live::Policy;
use crate::router::Router;
use crate::rules::Facts;

/// The field by which a message names the outbound connector that it leaves by.
pub const CONNECTOR_FIELD: &str = "X-Chasqui-Connector";

/// Every message refused for its From, or for the connector that it names.
pub(super) const WAY_REFUSED: EnhancedStatus = EnhancedStatus::new(5, 7, 1);

/// The connector that a message names, or what is wrong with the name.
pub(super) struct Named(Result<Arc<str>, &'static str>);

impl Named {
    /// Reads the field, if the client's inbound connector lets it name one, and sends the recipients for which no rule
    /// spoke that way.
    pub(super) fn read(
        policy: &Policy,
        facts: &Facts<'_>,
        recipients: &mut [(Recipient, Option<Arc<str>>)],
    ) -> Option<Self> {
        if !policy.admission.names_connector(facts.connector) {
            return None;
        }
        let fields = Header::read(facts.header).fields;
        let named = fields.iter().filter(|it| it.is(CONNECTOR_FIELD));
        let mut named = named.map(|it| it.value().trim_ascii());
        let first = named.next()?;
        if named.any(|other| other != first) {
            return Some(Self(Err("names more than one connector")));
        }
        let name = std::str::from_utf8(first).ok();
        let Some(connector) = name.and_then(|name| policy.router.connector(name)) else {
            return Some(Self(Err("names no outbound connector of this relay")));
        };
        let name: Arc<str> = connector.name.as_str().into();
        for (_, route) in recipients.iter_mut().filter(|(_, route)| route.is_none()) {
            *route = Some(Arc::clone(&name));
        }
        Some(Self(Ok(name)))
    }

    /// What takes the field out, once it is settled who the header is from.
    ///
    /// # Errors
    /// What the client is told when the connector cannot take the message.
    pub(super) fn removal(
        self,
        router: &Router,
        recipients: &[(Recipient, Option<Arc<str>>)],
        from: Option<&Address>,
    ) -> Result<Edit, Reply> {
        let name = self.0.map_err(refused)?;
        let is_sent = |route: &Option<Arc<str>>| {
            // A rule may have chosen the same connector, whatever fits.
            route.as_ref().is_some_and(|route| Arc::ptr_eq(route, &name))
        };
        for (recipient, _) in recipients.iter().filter(|(_, route)| is_sent(route)) {
            let to = &recipient.address;
            if let Some(obstacle) = router.obstacle(&name, to, from) {
                return Err(refused(&format!("{name} cannot take mail for {to}: {obstacle}")));
            }
        }
        let field = FieldName::parse(CONNECTOR_FIELD).map_err(|_| refused("is no field"))?;
        Ok(Edit::Remove { name: field, which: Which::All })
    }
}

fn refused(words: &str) -> Reply {
    Reply::new(550, Some(WAY_REFUSED), format!("{CONNECTOR_FIELD}: {words}"))
}
