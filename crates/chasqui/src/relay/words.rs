//! What the parts tell of themselves, in the words of the control API.

use admin::view;
use mail::{ByMode, Directions, ReversePath, Timestamp};
use policy::Router;
use queue::State;
use spool::RecipientState;

pub(super) fn intake(line: smtp_server::Intake) -> view::NamedIntake {
    let intake = view::Intake {
        connections: line.connections,
        connections_max: line.connections_max,
        messages_today: line.messages_today,
        daily_messages_max: line.daily_messages_max,
        recipients_today: line.recipients_today,
        daily_recipients_max: line.daily_recipients_max,
        full_until: line.full_until.map(|at| at.to_string()),
    };
    view::NamedIntake { connector: line.connector, intake }
}

pub(super) fn usage(line: &queue::LimitLine) -> view::Usage {
    view::Usage {
        sent_today: line.sent_today,
        daily_max: line.daily_max,
        full_until: line.full_until.map(|at| at.to_string()),
        is_spilling: line.is_spilling,
    }
}

/// The state of what rests because its sender wants it to go out later.
const HELD: &str = "held";

fn state_name(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Resting => "resting",
        State::InFlight => "in_flight",
    }
}

/// A time that somebody may wait for; what is held until an operator releases it waits for none.
fn time(at: Timestamp) -> Option<String> {
    (!at.is_by_hand()).then(|| at.to_string())
}

pub(super) fn entry(line: queue::Line) -> view::QueueEntry {
    view::QueueEntry {
        id: line.id.to_string(),
        state: if line.is_held { HELD } else { state_name(line.state) }.to_owned(),
        received_at: line.received_at.to_string(),
        octets: line.octets,
        sender: line.sender.as_ref().map(sender),
        recipients: line.recipients.map(u64::from),
        destination: line.destination.to_string(),
        tries: u32::from(line.tries),
        next_try_at: line.next_try_at.and_then(time),
        last_reply: line.last_reply.map(Into::into),
    }
}

fn sender(path: &ReversePath) -> String {
    path.address().map(ToString::to_string).unwrap_or_default()
}

pub(super) fn message(shown: queue::Shown, router: &Router) -> view::Message {
    let (envelope, origin) = (&shown.envelope, &shown.envelope.origin);
    let no_route = |it: &mail::Recipient| Some(router.route_of(it).err()?.to_string());
    let recipients = shown.recipients.into_iter().zip(&envelope.recipients);
    let wishes = &envelope.wishes;
    view::Message {
        id: shown.id.to_string(),
        sender: sender(&envelope.sender),
        received_at: shown.received_at.to_string(),
        octets: shown.octets,
        body_type: envelope.body_type.as_str().to_owned(),
        needs_smtputf8: envelope.needs_smtputf8,
        hold_until: wishes.hold_until.and_then(time),
        deliver_by: wishes.deliver_by.map(|by| view::DeliverBy {
            at: by.at.to_string(),
            mode: match by.mode {
                ByMode::Return => "return".to_owned(),
                ByMode::Notify => "notify".to_owned(),
            },
        }),
        decided: envelope.directions.as_deref().map(decided),
        origin: view::Origin {
            client: origin.client.map(|client| client.to_string()),
            helo: origin.helo.to_string(),
            listener: origin.listener.to_string(),
            connector: origin.connector.to_string(),
            tls: origin.tls.as_ref().map(ToString::to_string),
            login: origin.login.as_ref().map(ToString::to_string),
        },
        recipients: recipients.map(|(it, stored)| recipient(it, no_route(stored))).collect(),
    }
}

fn decided(directions: &Directions) -> view::Decided {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    view::Decided {
        class: text(&directions.class),
        held: text(&directions.held),
        certified: directions.is_certified,
        rules: directions.rules.iter().map(ToString::to_string).collect(),
        leaves_from: directions.sender.as_ref().map(ToString::to_string),
        header: directions.edits.iter().map(ToString::to_string).collect(),
    }
}

fn recipient(shown: queue::ShownRecipient, no_route: Option<String>) -> view::Recipient {
    let destination = shown.destination.map(|destination| destination.to_string());
    let address = shown.address.to_string();
    match shown.written {
        RecipientState::Waiting { tries, next_try_at, last, .. } => view::Recipient {
            address,
            state: match shown.state {
                Some(_) if shown.is_held => HELD,
                state => state.map_or("waiting", state_name),
            }
            .to_owned(),
            destination,
            no_route,
            tries: Some(u32::from(tries)),
            next_try_at: time(next_try_at),
            reply: last.or(shown.waits_for).map(Into::into),
        },
        RecipientState::Settled { fate, reply, .. } => view::Recipient {
            address,
            state: fate.to_string(),
            destination,
            no_route: None,
            tries: None,
            next_try_at: None,
            reply: Some(reply.into()),
        },
    }
}
