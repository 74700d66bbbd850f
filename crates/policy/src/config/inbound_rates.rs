//! How much comes by an inbound connector in a time, as an operator writes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Rate};

/// How much is taken from all clients of the connector together, on all listeners, in a time. What is left out is not
/// limited.
///
/// Each is an amount and a time, such as `100/1m`: so many may come at once, and from then on as many as fit the time. A
/// reply that refuses says which limit it is and when to come back. Begins anew at each start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InboundRates {
    /// Messages, such as `200/1h`. MAIL for one more is refused with 452 4.7.1.
    pub messages: Option<Rate>,
    /// Recipients. RCPT for one more is refused with 452 4.7.1.
    pub recipients: Option<Rate>,
    /// Octets of accepted content, such as `500MiB/1h`. Past it, the next MAIL is refused with 452 4.7.1.
    pub octets: Option<Rate<ByteSize>>,
}
