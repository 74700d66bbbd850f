//! Which way a recipient goes.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be set up shall stop")]

use std::hint::black_box;

use policy::Router;
use policy::config::{OutboundConnector, SmartHost};

use crate::case::{Amount, Case};
use crate::inputs;

/// Connectors to smart hosts, each with as many domains.
const CONNECTORS: usize = 30;

pub(super) fn cases() -> Vec<Case> {
    vec![
        route("exact", "first.last@customer7-9.example"),
        route("below", "first.last@a.b.customer3-8.example"),
        route("others", "first.last@department.destination.example"),
    ]
}

fn route(input: &'static str, recipient: &'static str) -> Case {
    Case::new("router", input, Amount::Elements(1), move || {
        let (router, recipient) = (router(), inputs::address(recipient));
        move || assert!(black_box(router.route(black_box(&recipient))).is_ok(), "there is no way")
    })
}

/// Every second domain with all that is below it.
fn router() -> Router {
    let pattern = |connector: usize, number: usize| {
        let below = if number.is_multiple_of(2) { "*." } else { "" };
        format!("{below}customer{connector}-{number}.example")
    };
    let connector = |place: usize| OutboundConnector {
        name: format!("customer{place}"),
        recipient_domains: (0..CONNECTORS).map(|number| pattern(place, number)).collect(),
        smart_hosts: vec![SmartHost { host: "mx.example".to_owned(), ..SmartHost::default() }],
        ..OutboundConnector::default()
    };
    let others = OutboundConnector { name: "internet".to_owned(), ..OutboundConnector::default() };
    Router::new((0..CONNECTORS).map(connector).chain([others]).collect()).unwrap()
}
