//! Several filters, one after the other.

use filters::config::Config;
use filters::verdict::Action;

use crate::scripted::{Milter, Say, but_for, say};
use crate::world::{content, envelope, facts, filters, noted, said, session};

fn named(name: &str, milter: &Milter) -> Config {
    Config { name: name.to_owned(), ..milter.config() }
}

#[tokio::test]
async fn each_sees_the_header_as_those_before_left_it() {
    let end = Say::Packets(vec![
        (b'i', b"\0\0\0\0X-First\0seen\0".to_vec()),
        (b'm', b"\0\0\0\x01X-Old\0\0".to_vec()),
        (b'c', vec![]),
    ]);
    let first = Milter::start(but_for(b'E', end)).await;
    let second = Milter::start(but_for(0, Say::Nothing)).await;
    let filters = filters(&[named("first", &first), named("second", &second)]);
    let mut session = session(&filters);
    envelope(&mut session).await;
    let verdict = session.content(content("X-Old: 1\r\nA: b\r\n\r\nbody\r\n")).await;
    assert_eq!(verdict.changes.len(), 2);
    let heard = second.heard();
    let fields: Vec<_> = heard.iter().filter(|line| line.starts_with('L')).collect();
    assert_eq!(fields, ["L X-First seen", "L A b"]);
    assert!(heard.contains(&"B body\r\n".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn the_first_that_refuses_ends_it() {
    let first = Milter::start(but_for(b'E', say(b'r', b""))).await;
    let second = Milter::start(but_for(0, Say::Nothing)).await;
    let filters = filters(&[named("first", &first), named("second", &second)]);
    let mut session = session(&filters);
    envelope(&mut session).await;
    let verdict = session.content(content("A: b\r\n\r\n")).await;
    assert_eq!(said(&verdict.action), "550 5.7.1 refused by a filter");
    let note = "first at data: refused with 550 5.7.1 refused by a filter";
    assert_eq!(noted(&verdict.notes), note);
    // The other one hears that nothing came of it before it hears of the next.
    envelope(&mut session).await;
    let heard: String = second.heard().iter().filter_map(|line| line.chars().next()).collect();
    assert_eq!(heard, "CMRAMR");
}

#[tokio::test]
async fn a_filter_is_asked_where_it_applies() {
    let milter = Milter::start(but_for(0, Say::Nothing)).await;
    let elsewhere = Config { applies_to: vec!["private".to_owned()], ..milter.config() };
    assert!(filters(&[elsewhere]).session(facts()).is_none());
    let here = Config { applies_to: vec!["public".to_owned()], ..milter.config() };
    let mut session = filters(&[here]).session(facts()).unwrap();
    assert_eq!(session.connect().await.action, Action::Continue);
    assert_eq!(milter.connections(), 1);
}
