//! `chasqui queue`.

use std::collections::BTreeSet;

use admin::view::{Changed, Decided, Filter, Message, QueueEntry, QueueList, Selection};
use anyhow::anyhow;
use mail::Timestamp;
use units::Clock;

use crate::arguments::{self, Queue, QueueSelect, QueueShow};
use crate::failure::{Failure, Result};
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

/// Says what became of it. Naming what is not there is a mistake that a script must notice.
fn said(select: &QueueSelect, changed: Changed, what: &str) -> Result {
    if select.ask.json {
        output::json(&changed)?;
    }
    if changed.messages == 0 && changed.held == 0 && !select.all {
        return Err(Failure {
            hint: Some("`chasqui queue list` names what is queued".to_owned()),
            ..Failure::from(anyhow!("nothing in the queue is {}", named(select)))
        });
    }
    if select.ask.json {
        return Ok(());
    }
    let noun = |count| if count == 1 { "message" } else { "messages" };
    output::line(format!("{} {} {what}", changed.messages, noun(changed.messages)))?;
    if changed.held > 0 {
        let held = changed.held;
        output::line(format!(
            "{held} held {} not touched; name their ids to let them go",
            noun(held)
        ))?;
    }
    Ok(())
}

/// What a selection names.
fn named(select: &QueueSelect) -> String {
    let ids = match select.ids.as_slice() {
        [] => None,
        [id] => Some(format!("called {id}")),
        ids => Some(format!("one of these {} messages", ids.len())),
    };
    let destination = select.destination.as_ref().map(|name| format!("for the destination {name}"));
    ids.into_iter().chain(destination).collect::<Vec<_>>().join(" and ")
}

async fn list(list: &arguments::QueueList) -> Result {
    let filter = Filter {
        destination: list.destination.clone(),
        sender: list.sender.clone(),
        recipient: list.recipient.clone(),
        limit: list.limit,
    };
    let is_filtered =
        filter.destination.is_some() || filter.sender.is_some() || filter.recipient.is_some();
    let answer = client(&list.ask.reach)?.list(&filter).await?;
    if list.ask.json {
        return output::json(&answer);
    }
    let now = Timestamp::from_millis(Clock::system().unix_millis());
    let none = if is_filtered { "nothing in the queue fits" } else { "the queue is empty" };
    output::line(list_text(&answer, none, now))
}

/// Two lines for each message, of at most this many characters: its id and how it stands; where it goes and what was said.
const LINE_MAX: usize = 100;

/// `none` says that there is nothing.
fn list_text(list: &QueueList, none: &str, now: Timestamp) -> String {
    let looked_at = list.looked_at.map(|count| {
        format!("only the oldest {count} messages were looked at: a --destination has fewer")
    });
    if list.messages.is_empty() {
        return looked_at.map_or_else(|| none.to_owned(), |words| format!("{none}; {words}"));
    }
    let mut lines = vec![line_of(["id", "state", "age", "size", "tries", "next try", "from"])];
    for entry in &list.messages {
        lines.extend(entry_lines(entry, now));
    }
    if list.more {
        let larger = || "there are more: ask with a larger --limit".to_owned();
        lines.push(looked_at.unwrap_or_else(larger));
    }
    lines.join("\n")
}

fn line_of([id, state, age, size, tries, next, from]: [&str; 7]) -> String {
    let line = format!("{id:<26}  {state:<9}  {age:>7}  {size:>8}  {tries:>5}  {next:>8}  {from}");
    shortened(&line)
}

fn entry_lines(entry: &QueueEntry, now: Timestamp) -> [String; 2] {
    let time = |text: &str| Timestamp::from_rfc3339(text);
    let age = time(&entry.received_at).map(|at| output::span(now.since(at).as_secs()));
    // What is due already is tried as soon as there is room.
    let next =
        entry.next_try_at.as_deref().and_then(time).map(|at| match at.since(now).as_secs() {
            0 => "now".to_owned(),
            seconds => output::span(seconds),
        });
    let (size, tries) =
        (entry.octets.map(output::octets).unwrap_or_default(), entry.tries.to_string());
    let from = entry.sender.clone().map(angled).unwrap_or_default();
    let (age, next) = (age.unwrap_or_default(), next.unwrap_or_default());
    let recipients = match entry.recipients {
        Some(count) if count != 1 => format!(" ({count} recipients)"),
        _ => String::new(),
    };
    let said = entry.last_reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
    [
        line_of([&entry.id, &entry.state, &age, &size, &tries, &next, &from]),
        shortened(&format!("    to {}{recipients}{said}", entry.destination)),
    ]
}

/// As much of a line as fits, without what a peer may have put in to move the cursor.
fn shortened(line: &str) -> String {
    let clean = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.take(LINE_MAX).collect();
    if line.chars().nth(LINE_MAX).is_some() {
        short.pop();
        short.push('…');
    }
    short
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
    let no_routes: BTreeSet<_> =
        message.recipients.iter().filter_map(|it| it.no_route.as_ref()).collect();
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
    ]
    .into_iter()
    .flatten()
    .chain(message.decided.iter().flat_map(decided))
    .chain(no_routes.into_iter().map(|why| format!("no route   {why}")))
    .chain([table.to_string()])
    .collect::<Vec<_>>()
    .join("\n")
}

/// What was decided about a message, a line each.
fn decided(decided: &Decided) -> impl Iterator<Item = String> {
    let Decided { class, held, certified, rules, leaves_from, header } = decided;
    let rules = (!rules.is_empty()).then(|| format!("rules      {}", rules.join(", ")));
    let lines = [
        class.as_ref().map(|class| format!("class      {class}")),
        held.as_ref().map(|why| format!("held       {why}; `chasqui queue retry` releases it")),
        certified.then(|| "certified  yes".to_owned()),
        rules,
        leaves_from.as_ref().map(|sender| format!("leaves as  {sender}")),
    ];
    let changes = header.iter().map(|change| format!("header     {change}"));
    lines.into_iter().flatten().chain(changes)
}

fn content(message: &Message) -> String {
    let utf8 = if message.needs_smtputf8 { ", SMTPUTF8" } else { "" };
    format!("{}{utf8}", message.body_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(reply: &str) -> QueueEntry {
        QueueEntry {
            id: "06fz0000000000000000000000".to_owned(),
            state: "in_flight".to_owned(),
            received_at: "2026-01-02T03:04:05Z".to_owned(),
            octets: Some(1536),
            sender: Some(String::new()),
            recipients: Some(2),
            destination: "internet/receiver.example".to_owned(),
            tries: 12,
            next_try_at: Some("2026-01-02T05:10:05Z".to_owned()),
            last_reply: Some(reply.to_owned()),
        }
    }

    #[test]
    fn a_list_fits_a_hundred_columns() {
        let now = Timestamp::from_rfc3339("2026-01-02T05:09:05Z").unwrap();
        let long = format!("450 4.2.0 \u{1b}[2Jlater {}", "x".repeat(200));
        let mut list = QueueList {
            messages: vec![entry("450 4.2.0 later"), entry(&long)],
            more: true,
            looked_at: None,
        };
        let text = list_text(&list, "the queue is empty", now);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "id                          state          age      size  tries  next try  from",
                "06fz0000000000000000000000  in_flight    2h 5m   1.5 KiB     12     1m 0s  <>",
                "    to internet/receiver.example (2 recipients): 450 4.2.0 later",
            ]
        );
        assert!(lines[4].ends_with("xx…") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(lines[5], "there are more: ask with a larger --limit");
        assert!(lines.iter().all(|line| line.chars().count() <= 100), "{text}");
        list.looked_at = Some(100_000);
        assert!(list_text(&list, "nothing in the queue fits", now).ends_with(
            "only the oldest 100000 messages were looked at: a --destination has fewer"
        ));
        list.messages.clear();
        assert!(
            list_text(&list, "nothing in the queue fits", now)
                .starts_with("nothing in the queue fits; only the oldest")
        );
        list.looked_at = None;
        assert_eq!(list_text(&list, "nothing in the queue fits", now), "nothing in the queue fits");
        assert_eq!(list_text(&list, "the queue is empty", now), "the queue is empty");
    }
}
