//! `chasqui route`.

use anyhow::anyhow;
use auth::ReturnPaths;
use mail::{Address, Recipient, Reply};
use policy::config::OutboundConnector;
use policy::{Decision, Ending, Policy, Protection, Standing, Verdict};
use serde::Serialize;
use settings::{Loaded, Settings};
use smtp_server::Writers;

use super::explain_connection::{self, Admitted, Asking};
use crate::arguments::{self, Client, Dmarc};
use crate::failure::{Code, Failure, Result};
use crate::trial::Trial;
use crate::{look, output, return_paths};

/// What `route --json` says.
#[derive(Debug, Serialize)]
struct Route {
    /// How the client comes in, if one was named.
    inbound: Option<Admitted>,
    rules: Vec<Rule>,
    /// What the client is told, if the message is not taken.
    refusal: Option<String>,
    /// The rule that wants it so.
    refused_by: Option<String>,
    /// The domain whose DMARC policy decides, which `--dmarc` tells.
    needs_dmarc_of: Option<String>,
    class: Option<String>,
    held: Option<String>,
    /// Whether it is certified.
    certified: bool,
    /// The From by the time it leaves.
    from: Option<String>,
    /// The sender by the time it leaves, if it is another one.
    sender: Option<String>,
    /// Changes to the header.
    header: Vec<String>,
    recipients: Vec<Way>,
}

#[derive(Debug, Serialize)]
struct Rule {
    name: String,
    ending: &'static str,
    mode: &'static str,
    why: String,
    actions: String,
}

/// The way of one recipient.
#[derive(Debug, Default, Serialize)]
struct Way {
    address: String,
    /// What the client is told at RCPT, if it is not taken.
    refusal: Option<String>,
    connector: Option<String>,
    why: Option<String>,
    next_hops: Vec<String>,
    /// Where connections come from; empty: as the system chooses.
    source_addresses: Vec<String>,
    tls: Option<String>,
    connections_max: Option<u32>,
    recipients_per_transaction_max: Option<u32>,
    daily_messages_max: Option<u32>,
    rate_max: Option<String>,
    /// The other connectors, and why it is none of them.
    others: Vec<Other>,
}

#[derive(Debug, Serialize)]
struct Other {
    connector: String,
    why: &'static str,
}

/// Does it.
pub(crate) fn run(route: &arguments::Route) -> Result {
    let Loaded { settings, made: policy, .. } =
        settings::load_and_make(&route.file.config, look::without_expectations, |_, _| Vec::new())?;
    let said = said(route, &settings, &policy)?;
    if route.file.json {
        output::json(&said)?;
    } else {
        output::line(text(&said))?;
    }
    taken(&said)
}

/// Whether the message and each of its recipients are taken, for the shell.
fn taken(said: &Route) -> Result {
    let all = said.recipients.len();
    let refused = said.recipients.iter().filter(|way| way.refusal.is_some()).count();
    let words = match (&said.refusal, refused) {
        (Some(_), _) => "the message is refused".to_owned(),
        (None, 0) => return Ok(()),
        (None, _) => format!("refused for {refused} of {all} recipients"),
    };
    Err(Failure::from(anyhow!(words)))
}

fn said(route: &arguments::Route, settings: &Settings, policy: &Policy) -> Result<Route> {
    let Client { ip, cert, account, listener, .. } = &route.client;
    let may_log_in = explain_connection::may_log_in(settings, listener.as_deref())?;
    let certificate = explain_connection::certificate(&route.client);
    let is_client_known = ip.is_some() || !cert.is_empty() || account.is_some();
    let client = is_client_known.then(|| explain_connection::who(&route.client, &certificate));
    let sender = explain_connection::sender(&route.from)?;
    let answers = policy::Answers { spf: route.client.spf };
    let (admission, certificate, sender) = (&policy.admission, &certificate, Some(&sender));
    let asking = |who| Asking { admission, who, certificate, sender, answers, may_log_in };
    let inbound = client.map(|who| asking(who).admitted());
    if let Some(field) = route.header.iter().find(|field| !field.contains(':')) {
        let error = anyhow!("`{field}` is no field of a header; write a name, a colon and a value");
        return Err(Failure::from(error).code(Code::Arguments));
    }
    let subject = route.subject.as_ref().map(|subject| format!("Subject: {subject}"));
    let fields: Vec<_> = subject.into_iter().chain(route.header.iter().cloned()).collect();
    let mut trial = Trial::new(&route.from, &route.to, &fields)
        .map_err(|error| Failure::from(error).code(Code::Arguments))?;
    trial.client = client;
    trial.listener = listener.as_deref().unwrap_or_default();
    trial.protection = route.dmarc.map(|policy| match policy {
        Dmarc::None => Protection::Open,
        Dmarc::Quarantine | Dmarc::Reject => Protection::Protected,
    });
    trial.connector = inbound.as_ref().and_then(|it| it.connector.as_deref()).unwrap_or_default();
    let paths = return_paths::open(settings).unwrap_or_default();
    let to = (policy, &paths);
    let is_open = |it: &Recipient| writers(to, &it.address) == Ok(Writers::Everybody);
    let takes_everybody = trial.recipients.iter().all(is_open);
    let (refused, by_suffix) = recipients(to, trial.connector, &mut trial.recipients);
    let decision = trial.decide(policy);
    let from = trial.from(&decision);
    let mut said = outline(&decision, from.as_ref());
    said.recipients.extend(decision.recipients.iter().map(|it| way(policy, it, from.as_ref())));
    said.recipients.extend(refused);
    if said.recipients.is_empty()
        && said.refused_by.is_none()
        && let Some(refusal) = &said.refusal
    {
        // No connector takes its From: why none of them does.
        let way = |it: &Recipient| no_way((policy, from.as_ref()), &it.address, refusal.clone());
        said.recipients = trial.recipients.iter().map(way).collect();
    }
    if let Err(denied) = policy.admission.may_be_from(trial.connector, &trial.sender, &trial.header)
    {
        // That is asked before rules are.
        said.refusal = Some(format!("{} ({})", denied.reply(), denied.reason()));
        said.refused_by = None;
        said.rules.clear();
    }
    let mut inbound = inbound;
    if let Some(inbound) = inbound.as_mut().filter(|_| takes_everybody) {
        // Who may not relay may write to an application all the same.
        inbound.refusal = None;
    }
    if let Some(refusal) = inbound.as_ref().and_then(|it| it.refusal.clone()) {
        said.refusal = Some(refusal);
    }
    Ok(Route { inbound, certified: said.certified || by_suffix, ..said })
}

/// Who may write to an address, as RCPT sees it.
fn writers(
    (policy, paths): (&Policy, &ReturnPaths),
    address: &Address,
) -> std::result::Result<Writers, Reply> {
    Writers::of(address, paths, &policy.router)
}

/// Puts in place of each recipient who gets the mail, as RCPT does; gives those that are refused, and whether one was
/// named under the suffix for certified mail.
fn recipients(
    (policy, paths): (&Policy, &ReturnPaths),
    connector: &str,
    all: &mut Vec<Recipient>,
) -> (Vec<Way>, bool) {
    let (mut refused, mut is_certified) = (Vec::new(), false);
    all.retain_mut(|it| {
        let certified = policy.admission.certified(connector, &it.address);
        let refusal = match certified.map_err(|error| error.reply()) {
            Ok(Some(address)) => {
                is_certified = true;
                it.address = address;
                policy.router.may_route(&it.address).err().map(|error| error.reply())
            }
            Ok(None) => writers((policy, paths), &it.address)
                .err()
                .or_else(|| policy.router.may_route(&it.address).err().map(|error| error.reply())),
            Err(reply) => Some(reply),
        };
        refused.extend(
            refusal.iter().map(|reply| no_way((policy, None), &it.address, reply.to_string())),
        );
        refusal.is_none()
    });
    (refused, is_certified)
}

/// All but the client and the recipients.
fn outline(decision: &Decision, from: Option<&Address>) -> Route {
    let directions = decision.directions.as_deref();
    let refusal = decision.refusal.clone().filter(|_| decision.needs.is_none());
    let (reply, rule) = refusal.unzip();
    Route {
        inbound: None,
        rules: decision.verdicts.iter().map(verdict).collect(),
        refusal: reply.map(|reply| reply.to_string()),
        refused_by: rule.flatten().map(|rule| rule.to_string()),
        needs_dmarc_of: decision.needs.as_ref().map(ToString::to_string),
        class: directions.and_then(|it| it.class.as_deref()).map(str::to_owned),
        held: directions.and_then(|it| it.held.as_deref()).map(str::to_owned),
        certified: directions.is_some_and(|it| it.is_certified),
        from: from.map(Address::to_string),
        sender: directions.and_then(|it| it.sender.as_ref()).map(Address::to_string),
        header: directions
            .map_or(&[][..], |it| &it.edits)
            .iter()
            .map(ToString::to_string)
            .collect(),
        recipients: Vec::new(),
    }
}

fn verdict(verdict: &Verdict) -> Rule {
    Rule {
        name: verdict.rule.to_string(),
        ending: match verdict.ending {
            Ending::Applied => "applied",
            Ending::Passed => "passed",
            Ending::Failed => "failed",
        },
        mode: verdict.mode.as_str(),
        why: verdict.why.to_string(),
        actions: verdict.actions.to_string(),
    }
}

/// The way of a recipient that no connector takes.
fn no_way((policy, from): (&Policy, Option<&Address>), address: &Address, reply: String) -> Way {
    Way {
        address: address.to_string(),
        refusal: Some(reply),
        others: others(policy, address, from, ""),
        ..Way::default()
    }
}

fn way(policy: &Policy, recipient: &Recipient, from: Option<&Address>) -> Way {
    let address = &recipient.address;
    let destination = match policy.router.route_of(recipient) {
        Ok(destination) => destination,
        Err(error) => return no_way((policy, from), address, error.reply().to_string()),
    };
    let name = destination.connector();
    let chosen = policy.router.choose(address, from).is_some_and(|it| it.name == name);
    let why = if chosen {
        why(policy, address, from)
    } else {
        "a rule or its X-Chasqui-Connector field sends it there".to_owned()
    };
    let connector = policy.router.connector(name);
    let hosts = connector.map_or(&[][..], |it| &it.smart_hosts).iter();
    let mut next_hops: Vec<_> =
        hosts.map(|host| format!("{} port {}", host.host, host.port)).collect();
    if let Some(application) = connector.and_then(|it| it.application.as_ref()) {
        let program = || application.command.first().map(|it| format!("the program {it}"));
        let url = application.url.as_ref().map(|url| format!("the application at {url}"));
        next_hops.extend(url.or_else(program));
    }
    if let Some((domain, connector)) = destination.domain().zip(connector) {
        next_hops.push(format!("the MX of {} port {}", domain.as_str(), connector.port));
    }
    Way {
        address: address.to_string(),
        refusal: None,
        connector: Some(name.to_owned()),
        why: Some(why),
        next_hops,
        source_addresses: connector
            .map_or(&[][..], |it| &it.source_addresses)
            .iter()
            .map(ToString::to_string)
            .collect(),
        tls: connector.map(|it| it.tls.name().to_owned()),
        connections_max: connector.map(|it| it.limits.connections_max),
        recipients_per_transaction_max: connector
            .map(|it| it.limits.recipients_per_transaction_max),
        daily_messages_max: connector.and_then(|it| it.daily_messages_max),
        rate_max: connector.and_then(|it| Some(it.rate_max?.to_string())),
        others: others(policy, address, from, name),
    }
}

/// Why the connector is chosen that is.
fn why(policy: &Policy, address: &Address, from: Option<&Address>) -> String {
    let Some(chosen) = policy.router.choose(address, from) else { return String::new() };
    let OutboundConnector { recipient_domains, from_filter, priority, .. } = chosen;
    let filter = if from_filter.is_empty() {
        "takes every From".to_owned()
    } else {
        format!("its from_filter {from_filter:?} holds {}", from.map_or("it", Address::as_str))
    };
    format!("of recipient_domains {recipient_domains:?}, {filter}, priority {priority}")
}

fn others(policy: &Policy, address: &Address, from: Option<&Address>, name: &str) -> Vec<Other> {
    let all = policy.router.candidates(address, from).into_iter();
    let others = all.filter(|it| it.connector.name != name).map(|it| Other {
        connector: it.connector.name.clone(),
        why: match it.standing {
            // It would, had nobody spoken for another.
            Standing::Chosen => "a rule or its X-Chasqui-Connector field sends the mail elsewhere",
            standing => standing.as_str(),
        },
    });
    others.collect()
}

fn text(said: &Route) -> String {
    let mut lines = Vec::new();
    lines.extend(said.inbound.as_ref().map(explain_connection::text));
    for Rule { name, ending, mode, why, actions } in &said.rules {
        let acts = match (*ending, *mode) {
            ("applied", "enforce") => format!(" ({actions})"),
            ("applied", mode) => format!(" (would: {actions}; mode {mode})"),
            _ => String::new(),
        };
        lines.push(format!("rule `{name}` {ending}: {why}{acts}"));
    }
    let is_refused_before = said.inbound.as_ref().is_some_and(|it| it.refusal.is_some());
    if let Some(refusal) = said.refusal.as_ref().filter(|_| !is_refused_before) {
        let by = said.refused_by.as_ref().map(|rule| format!(" by rule `{rule}`"));
        lines.push(format!("refused{}: {refusal}", by.unwrap_or_default()));
    }
    lines.extend(said.needs_dmarc_of.as_ref().map(|domain| {
        format!("the DMARC policy of {domain} decides; say with --dmarc what it is")
    }));
    lines.extend(said.class.as_ref().map(|class| format!("class: {class}")));
    lines.extend(said.held.as_ref().map(|why| format!("held: {why}")));
    lines.extend(said.certified.then(|| "certified".to_owned()));
    lines.extend(said.header.iter().map(|edit| format!("header: {edit}")));
    lines.extend(said.sender.as_ref().map(|sender| format!("sender becomes {sender}")));
    let is_refused = said.refusal.is_some();
    for way in &said.recipients {
        lines.extend(way_text(way, if is_refused { "would go" } else { "goes" }));
    }
    lines.join("\n")
}

fn way_text(way: &Way, goes: &str) -> Vec<String> {
    let Way { address, connector, why, .. } = way;
    let mut lines = match (&way.refusal, connector, why) {
        (None, Some(connector), Some(why)) => {
            vec![format!("{address} {goes} by `{connector}`: {why}")]
        }
        (refusal, ..) => {
            vec![format!("{address} is refused: {}", refusal.as_deref().unwrap_or_default())]
        }
    };
    if !way.next_hops.is_empty() {
        lines.push(format!("  next hops: {}", way.next_hops.join(", ")));
    }
    if !way.source_addresses.is_empty() {
        lines.push(format!("  from {} in turn", way.source_addresses.join(", ")));
    }
    lines.extend(way.tls.as_ref().map(|tls| format!("  TLS: {tls}")));
    lines.extend(way.connections_max.zip(way.recipients_per_transaction_max).map(
        |(connections, recipients)| {
            format!("  at most {connections} connections, {recipients} recipients a transaction")
        },
    ));
    lines.extend(way.daily_messages_max.map(|most| format!("  at most {most} messages a day")));
    lines.extend(way.rate_max.as_ref().map(|most| format!("  at most {most} messages")));
    let others = way.others.iter();
    lines.extend(others.map(|other| format!("  not `{}`: {}", other.connector, other.why)));
    lines
}
