//! What the placeholders of a relay's texts stand for in one run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};

use crate::load::SourceTls;
use crate::peer::render::{Values, render};
use crate::peer::{Chosen, Peer};
use crate::scenario::Scenario;
use crate::sink::Route;

/// Where a relay listens, where its mail goes and where it keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) sink: SocketAddr,
    pub(crate) routes: &'a [Route],
    pub(crate) folder: &'a Path,
}

/// Connections that no scenario counts: probes, and those that are just closing.
const SESSIONS_TO_SPARE: usize = 100;

/// The values for `chosen` in one run of `scenario`.
///
/// # Errors
/// If the relay's file does not say how to do what the scenario needs.
pub(crate) fn values(
    chosen: &Chosen,
    scenario: &Scenario,
    place: &Place<'_>,
) -> anyhow::Result<Values> {
    let name = &chosen.peer.name;
    if let Some(reason) = unable(&chosen.peer, scenario) {
        bail!("{name} cannot run scenario {}: {reason}", scenario.name);
    }
    let program =
        chosen.program.as_ref().with_context(|| format!("{name} is not on this machine"))?;
    let needs = &scenario.relay;
    let sessions = scenario.load.connections
        + needs.connections_per_destination as usize * (1 + place.routes.len())
        + SESSIONS_TO_SPARE;
    let folder = place.folder.display();
    let mut values = Values::from([
        ("program", program.display().to_string()),
        ("fetched", chosen.peer.fetched().display().to_string()),
        ("folder", folder.to_string()),
        ("listen", place.listen.to_string()),
        ("listen_host", place.listen.ip().to_string()),
        ("listen_port", place.listen.port().to_string()),
        ("sink_host", place.sink.ip().to_string()),
        ("sink_port", place.sink.port().to_string()),
        ("sessions", sessions.to_string()),
        ("connections_per_destination", needs.connections_per_destination.to_string()),
        ("retry_seconds", needs.retry_after.as_duration().as_secs().max(1).to_string()),
        ("queue_messages", needs.queue_messages.to_string()),
        ("message_octets_max", needs.message_size_max.as_octets().to_string()),
        ("certificate", format!("{folder}/certificate.pem")),
        ("key", format!("{folder}/key.pem")),
    ]);
    for (key, texts, which) in pieces(&chosen.peer, scenario) {
        let text = texts.get(which).map_or("", String::as_str);
        let text = render(text, &values, &format!("{key}.{which} of {name}"))?;
        values.insert(key, text);
    }
    let routes = place.routes.iter().map(|one| route(chosen, scenario, one));
    values.insert("routes", routes.collect::<anyhow::Result<_>>()?);
    Ok(values)
}

/// For `{tls_in}` and `{tls_out}`: the texts that there are, and which is taken.
fn pieces<'a>(
    peer: &'a Peer,
    scenario: &Scenario,
) -> [(&'static str, &'a BTreeMap<String, String>, &'static str); 2] {
    let needs = &scenario.relay;
    let tls_in = match scenario.load.tls {
        // A listener may have to offer what this load does not use.
        SourceTls::Off if needs.tls_in => "starttls",
        SourceTls::Off => "off",
        SourceTls::Starttls => "starttls",
        SourceTls::Implicit => "implicit",
    };
    let tls_out = if needs.tls_out { "starttls" } else { "off" };
    [("tls_in", &peer.tls_in, tls_in), ("tls_out", &peer.tls_out, tls_out)]
}

/// What the scenario needs and the relay's file does not say how to do; none if there is nothing.
pub(crate) fn unable(peer: &Peer, scenario: &Scenario) -> Option<String> {
    if scenario.load.login.is_some() {
        let text = "no relay's file says how to let users log in; start the relay yourself and name it with --target";
        return Some(text.to_owned());
    }
    if scenario.sink.classes.iter().any(|class| class.own_next_hop) && peer.route.is_empty() {
        return Some("its file has no `route`".to_owned());
    }
    let mut pieces = pieces(peer, scenario).into_iter();
    let (key, _, which) =
        pieces.find(|(_, texts, which)| *which != "off" && !texts.contains_key(*which))?;
    Some(format!("its file has no {key}.{which}"))
}

fn route(chosen: &Chosen, scenario: &Scenario, route: &Route) -> anyhow::Result<String> {
    let values = Values::from([
        ("class", route.class.clone()),
        ("host", route.address.ip().to_string()),
        ("port", route.address.port().to_string()),
        ("connections_per_destination", scenario.relay.connections_per_destination.to_string()),
    ]);
    render(&chosen.peer.route, &values, &format!("route of {}", chosen.peer.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTEN: &str = "127.0.0.1:2001";

    fn of(peer: &str, scenario: &Scenario, routes: &[Route]) -> anyhow::Result<Values> {
        let chosen = Chosen::parse(&format!("{peer}@/bin/sh")).unwrap();
        let place = Place {
            listen: LISTEN.parse().unwrap(),
            sink: "127.0.0.1:2002".parse().unwrap(),
            routes,
            folder: Path::new("/var/tmp/x"),
        };
        let values = values(&chosen, scenario, &place)?;
        // Each text of the file is made of these values alone.
        let Peer { version, setup, start, stop, files, .. } = &chosen.peer;
        let texts = files.iter().map(|file| &file.text).chain([version, setup, start, stop]);
        let texts: Vec<_> =
            texts.map(|text| render(text, &values, peer)).collect::<anyhow::Result<_>>()?;
        for want in ["127.0.0.1", "2001", "2002", "/var/tmp/x"] {
            assert!(texts.concat().contains(want), "{want}: {texts:?}");
        }
        Ok(values)
    }

    #[test]
    fn every_shipped_relay_can_run_every_shipped_scenario() {
        let route = Route { class: "slow".to_owned(), address: "127.0.0.1:2003".parse().unwrap() };
        for (peer, _) in Peer::shipped() {
            for (name, text) in Scenario::shipped() {
                let scenario = Scenario::parse(text, name).unwrap();
                if unable(&Peer::find(peer).unwrap(), &scenario).is_some() {
                    assert!(of(peer, &scenario, &[]).is_err());
                    continue;
                }
                let values = of(peer, &scenario, std::slice::from_ref(&route)).unwrap();
                let routes = &values["routes"];
                assert!(routes.is_empty() || routes.contains("slow") && routes.contains("2003"));
            }
        }
    }

    #[test]
    fn tls_is_switched_on_where_it_is_needed() {
        let mut scenario = Scenario::default();
        assert_eq!(of("postfix", &scenario, &[]).unwrap()["tls_in"], "");
        scenario.load.tls = SourceTls::Starttls;
        let values = of("postfix", &scenario, &[]).unwrap();
        assert!(values["tls_in"].contains("/var/tmp/x/certificate.pem"), "{values:?}");
    }

    #[test]
    fn what_a_relay_cannot_do_is_said() {
        let mut scenario = Scenario { name: "own".to_owned(), ..Scenario::default() };
        scenario.load.login = Some(crate::load::Login {
            user: "u".to_owned(),
            password: "p".to_owned(),
            mechanism: crate::load::Mechanism::default(),
        });
        let error = of("chasqui", &scenario, &[]).unwrap_err().to_string();
        assert!(error.starts_with("chasqui cannot run scenario own: no relay's file"), "{error}");
        let failing = Scenario::named("failing").unwrap();
        let mut postfix = Peer::find("postfix").unwrap();
        assert_eq!(unable(&postfix, &failing), None);
        postfix.route.clear();
        assert_eq!(unable(&postfix, &failing).unwrap(), "its file has no `route`");
        postfix.tls_out.remove("starttls");
        let tls = Scenario::named("tls").unwrap();
        assert_eq!(unable(&postfix, &tls).unwrap(), "its file has no tls_out.starttls");
    }
}
