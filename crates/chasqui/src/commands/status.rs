//! `chasqui status`.

use admin::view::Status;

use crate::arguments::Ask;
use crate::failure::Result;
use crate::output;
use crate::reach::client;

/// Does it.
pub(crate) async fn run(ask: &Ask) -> Result {
    let status = client(&ask.reach)?.status().await?;
    if ask.json {
        return output::json(&status);
    }
    output::line(text(&status))
}

fn text(status: &Status) -> String {
    let health = if status.health.ready {
        "takes mail".to_owned()
    } else {
        format!("refuses mail: {}", status.health.reasons.join("; "))
    };
    let (spool, queue) = (&status.spool, &status.queue);
    let mut lines = vec![
        format!(
            "{} {} (process {}), up {}",
            status.hostname,
            status.version,
            status.pid,
            output::span(status.uptime_seconds)
        ),
        format!("health     {health}"),
    ];
    for listener in &status.listeners {
        lines.push(format!("listener   {} on {}", listener.name, listener.address));
    }
    lines.push(format!(
        "spool      {} messages, {} in {}; bodies by {}",
        spool.messages,
        output::octets(spool.octets),
        spool.path.display(),
        spool.body_io,
    ));
    let oldest =
        queue.oldest_seconds.map_or(String::new(), |age| format!(", oldest {}", output::span(age)));
    lines.push(format!(
        "queue      {} messages for {} destinations: {} ready, {} in flight, {} resting or held{oldest}",
        queue.messages, queue.destinations, queue.ready, queue.in_flight, queue.resting,
    ));
    for channel in &status.channels {
        lines.push(format!("channel    {} {}/{}", channel.name, channel.depth, channel.capacity));
    }
    for one in &status.intakes {
        lines.push(format!("inbound    {}: {}", one.connector, one.intake));
    }
    for limit in &status.limits {
        let (last, count) = (output::span(limit.seconds_ago), limit.count);
        let what = format!("{} of {}", limit.cause, limit.listener);
        lines.push(format!("refusing   {what}: last {last} ago, {count} times since the start"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use admin::view::{Channel, Health, Intake, Limit, Listener, NamedIntake, Queue, Spool};

    use super::*;

    #[test]
    fn people_see_all_of_it() {
        let status = Status {
            version: "0.1.0".to_owned(),
            hostname: "relay.example".to_owned(),
            pid: 7,
            uptime_seconds: 61,
            health: Health { ready: false, reasons: vec!["no space left".to_owned()] },
            listeners: vec![Listener {
                name: "smtp".to_owned(),
                address: "127.0.0.1:25".parse().unwrap(),
            }],
            spool: Spool {
                path: PathBuf::from("/spool"),
                messages: 2,
                octets: 1536,
                body_io: "io-uring".to_owned(),
            },
            queue: Queue { messages: 2, oldest_seconds: Some(5), ..Queue::default() },
            channels: vec![Channel { name: "accepted".to_owned(), depth: 1, capacity: 8 }],
            limits: vec![Limit {
                listener: "smtp".to_owned(),
                cause: "message_rate".to_owned(),
                count: 12,
                seconds_ago: 3,
            }],
            intakes: vec![NamedIntake {
                connector: "acme".to_owned(),
                intake: Intake {
                    messages_today: 3,
                    daily_messages_max: Some(9),
                    ..Intake::default()
                },
            }],
        };
        assert_eq!(
            text(&status),
            "relay.example 0.1.0 (process 7), up 1m 1s\n\
             health     refuses mail: no space left\n\
             listener   smtp on 127.0.0.1:25\n\
             spool      2 messages, 1.5 KiB in /spool; bodies by io-uring\n\
             queue      2 messages for 0 destinations: 0 ready, 0 in flight, 0 resting or held, oldest 5s\n\
             channel    accepted 1/8\n\
             inbound    acme: 0 connections, 3 of 9 messages and 0 recipients today\n\
             refusing   message_rate of smtp: last 3s ago, 12 times since the start"
        );
    }
}
