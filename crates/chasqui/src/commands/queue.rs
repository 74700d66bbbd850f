//! `chasqui queue`.

use admin::view::{Changed, Filter, Message, QueueList, Selection};
use comfy_table::ContentArrangement;

use crate::arguments::{self, Queue, QueueSelect, QueueShow};
use crate::failure::Result;
use crate::output;
use crate::reach::client;

/// Does it.
pub(crate) async fn run(queue: &Queue) -> Result {
    match queue {
        Queue::List(list) => self::list(list).await,
        Queue::Show(show) => self::show(show).await,
        Queue::Retry(select) => {
            let changed = client(&select.ask.reach)?.retry(&selection(select)).await?;
            said(select, changed, "will be tried now")
        }
        Queue::Cancel(select) => {
            let changed = client(&select.ask.reach)?.cancel(&selection(select)).await?;
            said(select, changed, "taken out of the queue")
        }
    }
}

fn selection(select: &QueueSelect) -> Selection {
    Selection { all: select.all, ids: select.ids.clone(), destination: select.destination.clone() }
}

fn said(select: &QueueSelect, changed: Changed, what: &str) -> Result {
    if select.ask.json {
        return output::json(&changed);
    }
    let noun = if changed.messages == 1 { "message" } else { "messages" };
    let hint =
        if changed.messages == 0 { "; `chasqui queue list` names what is queued" } else { "" };
    output::line(format!("{} {noun} {what}{hint}", changed.messages))
}

async fn list(list: &arguments::QueueList) -> Result {
    let filter = Filter { destination: list.destination.clone(), limit: list.limit };
    let answer = client(&list.ask.reach)?.list(&filter).await?;
    if list.ask.json {
        return output::json(&answer);
    }
    output::line(list_text(&answer))
}

fn list_text(list: &QueueList) -> String {
    if list.messages.is_empty() {
        return "the queue is empty".to_owned();
    }
    let mut table = output::table([
        "id",
        "state",
        "received",
        "size",
        "sender",
        "to",
        "destination",
        "tries",
        "next try",
        "last reply",
    ]);
    // One line each, however narrow the terminal: a broken id cannot be copied.
    table.set_content_arrangement(ContentArrangement::Disabled);
    for entry in &list.messages {
        let recipients = entry.recipients.map(|count| count.to_string());
        table.add_row([
            entry.id.clone(),
            entry.state.clone(),
            entry.received_at.clone(),
            entry.octets.map(output::octets).unwrap_or_default(),
            entry.sender.clone().map(angled).unwrap_or_default(),
            recipients.unwrap_or_default(),
            entry.destination.clone(),
            entry.tries.to_string(),
            entry.next_try_at.clone().unwrap_or_default(),
            entry.last_reply.clone().unwrap_or_default(),
        ]);
    }
    let more = if list.more { "\nthere are more: ask with a larger --limit" } else { "" };
    format!("{table}{more}")
}

fn angled(address: String) -> String {
    if address.is_empty() { "<>".to_owned() } else { address }
}

async fn show(show: &QueueShow) -> Result {
    let message = client(&show.ask.reach)?.show(&show.id).await?;
    if show.ask.json {
        return output::json(&message);
    }
    output::line(message_text(&message))
}

fn message_text(message: &Message) -> String {
    let origin = &message.origin;
    let mut table =
        output::table(["recipient", "state", "destination", "tries", "next try", "reply"]);
    for recipient in &message.recipients {
        table.add_row([
            recipient.address.clone(),
            recipient.state.clone(),
            recipient.destination.clone().unwrap_or_default(),
            recipient.tries.map(|tries| tries.to_string()).unwrap_or_default(),
            recipient.next_try_at.clone().unwrap_or_default(),
            recipient.reply.clone().unwrap_or_default(),
        ]);
    }
    let held = message.recipients.iter().any(|it| it.state == "held");
    let hold_until = message.hold_until.as_ref().filter(|_| held);
    let deliver_by = message.deliver_by.as_ref().map(|by| {
        let or_else = if by.mode == "return" { "it is returned" } else { "its sender is told" };
        format!("deliver by {}, or {or_else}", by.at)
    });
    [
        Some(format!("message    {}", message.id)),
        Some(format!("sender     {}", angled(message.sender.clone()))),
        Some(format!("received   {}", message.received_at)),
        hold_until.map(|at| format!("held until {at}, unless it is retried")),
        deliver_by,
        Some(format!("content    {}, {}", output::octets(message.octets), content(message))),
        Some(format!(
            "origin     {} ({}), listener {}, connector {}, {}{}",
            origin.client.as_deref().unwrap_or("this relay"),
            origin.helo,
            origin.listener,
            origin.connector,
            origin.tls.as_deref().unwrap_or("no TLS"),
            origin.login.as_ref().map(|login| format!(", login {login}")).unwrap_or_default(),
        )),
        Some(table.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("\n")
}

fn content(message: &Message) -> String {
    let utf8 = if message.needs_smtputf8 { ", SMTPUTF8" } else { "" };
    format!("{}{utf8}", message.body_type)
}
