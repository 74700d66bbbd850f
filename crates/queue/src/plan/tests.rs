use std::time::Duration;

use mail::{BodyType, Origin, ReversePath, Wishes};
use spool::Times;

use super::*;
use crate::terms::Terms;

const NOW: Timestamp = Timestamp::from_millis(10_000_000);
const LATER: Timestamp = Timestamp::from_millis(11_000_000);

fn envelope(recipients: &[&str]) -> Envelope {
    let recipient = |text: &&str| Recipient::from(Address::parse(text).unwrap());
    Envelope {
        sender: ReversePath::Null,
        recipients: recipients.iter().map(recipient).collect(),
        body_type: BodyType::SevenBit,
        needs_smtputf8: false,
        wishes: Wishes::default(),
        origin: Origin {
            client: None,
            helo: "".into(),
            listener: "".into(),
            connector: "".into(),
            tls: None,
            login: None,
        },
        directions: None,
    }
}

fn peer() -> Peer {
    Peer {
        host: "mx".into(),
        address: "192.0.2.1:25".parse().unwrap(),
        tls: None,
        offers_dsn: false,
        offers_deliver_by: false,
        is_final: false,
    }
}

fn outcome(recipient: u32, fate: Fate, code: u16) -> RecipientOutcome {
    RecipientOutcome { recipient, fate, reply: Reply::new(code, None, "words"), peer: None }
}

fn facts(answer: Answer) -> Facts {
    let (is_cancelled, is_tried) = (false, true);
    let grace = Duration::ZERO;
    Facts { answer, is_cancelled, is_tried, tries: 3, next_try_at: LATER, now: NOW, grace }
}

/// Of a message that is too old at `ends_at`, and late ten minutes before.
fn moments(ends_at: Timestamp) -> Moments {
    let minute = Duration::from_mins(1);
    let terms = Terms { expire_after: 20 * minute, delay_report_after: Some(10 * minute) };
    let received_at = Timestamp::from_millis(ends_at.as_millis().saturating_sub(1_200_000));
    terms.moments(received_at, Times::default())
}

fn planned(
    envelope: &Envelope,
    states: &[RecipientState],
    facts: &Facts,
    ends_at: Timestamp,
) -> Plan {
    let known = Known { envelope, states, moments: moments(ends_at) };
    Plan::new(known, facts, |_, it| it.address.as_str().ends_with("@x.example"))
}

const ALL: [&str; 4] = ["a@x.example", "b@x.example", "c@y.example", "d@x.example"];
const YOUNG: Timestamp = Timestamp::from_millis(NOW.as_millis() + 1_100_000);

fn plan(states: &[RecipientState], facts: &Facts) -> Plan {
    planned(&envelope(&ALL), states, facts, YOUNG)
}

fn plan_at_the_end(states: &[RecipientState], facts: &Facts) -> Plan {
    planned(&envelope(&ALL), states, facts, NOW)
}

fn fresh() -> Vec<RecipientState> {
    vec![RecipientState::fresh(NOW); 4]
}

#[test]
fn each_recipient_of_the_destination_has_its_own_end() {
    let answer = Answer::Each(vec![
        outcome(0, Fate::Delivered, 250),
        outcome(1, Fate::Failed, 550),
        outcome(9, Fate::Delivered, 250),
    ]);
    let plan = plan(&fresh(), &facts(answer));
    let seen: Vec<_> = plan.steps.iter().map(|it| (it.recipient, it.status)).collect();
    // The third goes elsewhere; the fourth was not answered, so it waits.
    assert_eq!(seen, [(0, Status::Delivered), (1, Status::Failed), (3, Status::Deferred)]);
    assert!(plan.waits_until.is_some() && !plan.is_finished && plan.notices.len() == 1);
    let (_, last) = &plan.changes[2];
    assert_eq!(
        *last,
        RecipientState::Waiting {
            tries: 3,
            next_try_at: LATER,
            last: Some("451 4.0.0 no answer was had for this recipient".into()),
            is_told: false,
        }
    );
}

#[test]
fn a_message_is_finished_with_its_last_recipient_anywhere() {
    let settled =
        |fate| RecipientState::Settled { fate, at: NOW, reply: "250 ok".into(), owed: None };
    let all = || Answer::All { reply: Some(Reply::new(451, None, "no")), peer: None };
    let mut states = fresh();
    assert!(!plan_at_the_end(&states, &facts(all())).is_finished, "one waits elsewhere");
    states[2] = settled(Fate::Delivered);
    assert!(plan_at_the_end(&states, &facts(all())).is_finished);
    assert!(!plan(&states, &facts(all())).is_finished);
    let none = plan(&vec![settled(Fate::Failed); 4], &facts(all()));
    assert!(none.is_finished && none.changes.is_empty() && none.waits_until.is_none());
}

#[test]
fn what_expires_quotes_the_last_reply() {
    let mut states = fresh();
    let last = Some("450 4.2.0 greylisted for now".into());
    states[0] = RecipientState::Waiting { tries: 9, next_try_at: NOW, last, is_told: true };
    let answer = Answer::All { reply: None, peer: None };
    let plan = plan_at_the_end(&states, &facts(answer));
    let step = &plan.steps[0];
    assert_eq!(
        (step.status, step.reply.to_string().as_str()),
        (Status::Expired, "450 4.2.0 greylisted for now")
    );
    assert!(matches!(&plan.changes[0].1, RecipientState::Settled { fate: Fate::Failed, reply, .. }
        if &**reply == "4.4.7 too old; the last reply was: 450 4.2.0 greylisted for now"));
}

#[test]
fn cancelling_reports_to_nobody_and_spares_what_was_delivered() {
    let answer =
        Answer::Each(vec![outcome(0, Fate::Delivered, 250), outcome(1, Fate::Deferred, 451)]);
    let plan = plan(&fresh(), &Facts { is_cancelled: true, ..facts(answer) });
    let seen: Vec<_> = plan.steps.iter().map(|it| it.status).collect();
    assert_eq!(seen, [Status::Delivered, Status::Cancelled, Status::Cancelled]);
    assert_eq!(plan.notices, []);
    // What was never answered is not said to have been.
    let words: Vec<_> = plan.steps.iter().map(Step::words).collect();
    assert_eq!(words, ["250 words", "451 words", "cancelled by an operator"]);
}

#[test]
fn replies_come_back_from_their_words() {
    for words in ["451 4.7.1 come back", "250 ok then", "550 5.1.1", "421"] {
        assert_eq!(reply_from_words(words).to_string().trim_end(), words);
    }
    assert_eq!(reply_from_words("odd words").to_string(), "451 4.0.0 odd words");
}

fn events(plan: &Plan) -> Vec<(&str, Event)> {
    plan.notices.iter().map(|it| (it.recipient.as_str(), it.event)).collect()
}

/// The sender says of each recipient what it wants to hear.
#[test]
fn each_sender_hears_what_it_asked_for() {
    let failed = || Answer::Each((0..4).map(|at| outcome(at, Fate::Failed, 550)).collect());
    let delivered = || Answer::Each((0..4).map(|at| outcome(at, Fate::Delivered, 250)).collect());
    let mut envelope = envelope(&["a@x.example", "b@x.example", "c@x.example", "d@x.example"]);
    envelope.sender = ReversePath::Address(Address::parse("s@s.example").unwrap());
    let wishes = [None, Some(Notify::NEVER), Some(Notify::SUCCESS), Some(Notify::FAILURE)];
    for (recipient, notify) in envelope.recipients.iter_mut().zip(wishes) {
        recipient.notify = notify;
    }
    let seen = planned(&envelope, &fresh(), &facts(failed()), YOUNG);
    let (a, d) = ("a@x.example", "d@x.example");
    assert_eq!(events(&seen), [(a, Event::Refused), (d, Event::Refused)]);
    assert_eq!((seen.unwanted, seen.action()), (2, Some(Action::Failed)));
    let seen = planned(&envelope, &fresh(), &facts(delivered()), YOUNG);
    assert_eq!(events(&seen), [("c@x.example", Event::Relayed)]);
    let Answer::Each(mut outcomes) = delivered() else { panic!("each") };
    for outcome in &mut outcomes {
        outcome.peer = Some(Arc::new(Peer { offers_dsn: true, ..peer() }));
    }
    let seen = planned(&envelope, &fresh(), &facts(Answer::Each(outcomes)), YOUNG);
    assert_eq!(events(&seen), [], "the next hop takes over");
    let Answer::Each(mut outcomes) = delivered() else { panic!("each") };
    outcomes[2].peer = Some(Arc::new(Peer { is_final: true, ..peer() }));
    let seen = planned(&envelope, &fresh(), &facts(Answer::Each(outcomes)), YOUNG);
    assert_eq!(events(&seen), [("c@x.example", Event::Delivered)], "it rests there");
}

/// Nobody hears of mail with the null sender: of its failures no report is made, and that is counted, although a
/// report of our own asks for none (RFC 5321 §6.1).
#[test]
fn a_failure_of_the_null_sender_is_noted_to_be_counted() {
    let mut envelope = envelope(&["a@x.example", "b@x.example"]);
    envelope.recipients[0].notify = Some(Notify::NEVER);
    envelope.recipients[1].notify = Some(Notify::SUCCESS);
    for (fate, want) in [(Fate::Failed, 2), (Fate::Delivered, 0)] {
        let answer = Answer::Each((0..2).map(|at| outcome(at, fate, 550)).collect());
        let seen = planned(&envelope, &fresh(), &facts(answer), YOUNG);
        assert_eq!((seen.notices.len(), seen.unwanted), (want, 0));
    }
}

/// A host is quoted only with what it said; what concerns the operator alone is told in other words.
#[test]
fn what_the_relay_found_is_not_said_of_a_host() {
    let mut envelope = envelope(&["a@x.example"]);
    envelope.sender = ReversePath::Address(Address::parse("s@s.example").unwrap());
    let wrong = |subject| Reply::new(451, Some(EnhancedStatus::new(4, subject, 0)), "at /var");
    let all = |subject| Answer::All { reply: Some(wrong(subject)), peer: Some(Arc::new(peer())) };
    for (answer, is_quoted) in [(all(4), true), (all(SYSTEM), false), (all(SECURITY), false)] {
        let seen = planned(&envelope, &fresh(), &facts(answer), NOW);
        let [notice] = &seen.notices[..] else { panic!("one: {:?}", seen.notices) };
        assert_eq!((notice.peer.is_none(), notice.reply.text() == "at /var"), (true, is_quoted));
        assert_eq!(seen.steps[0].reply.text(), "at /var", "the log has it");
        assert!(seen.steps[0].peer.is_some());
    }
    let peer = Some(Arc::new(peer()));
    let said = RecipientOutcome { reply: wrong(SECURITY), peer, ..outcome(0, Fate::Deferred, 451) };
    let seen = planned(&envelope, &fresh(), &facts(Answer::Each(vec![said])), NOW);
    assert!(seen.notices[0].peer.is_some() && seen.notices[0].reply.text() == "at /var");
}

/// A delay is told once, of those who wait, to those who want to know.
#[test]
fn a_delay_is_told_once() {
    let late = Timestamp::from_millis(NOW.as_millis() + 600_000);
    let all = || Answer::All { reply: Some(Reply::new(451, None, "no")), peer: None };
    let mut envelope = envelope(&ALL);
    let nobody = planned(&envelope, &fresh(), &facts(all()), late);
    assert_eq!((events(&nobody), nobody.waits_until), (vec![], Some(late)), "the null sender");
    envelope.sender = ReversePath::Address(Address::parse("s@s.example").unwrap());
    envelope.recipients[1].notify = Some(Notify::FAILURE);
    let mut states = fresh();
    let seen = planned(&envelope, &states, &facts(all()), late);
    let until = Event::Late { until: late };
    assert_eq!(events(&seen), [("a@x.example", until), ("d@x.example", until)]);
    assert_eq!((seen.waits_until, seen.steps.len(), seen.is_finished), (Some(late), 3, false));
    for (place, state) in seen.changes {
        states[usize::try_from(place).unwrap()] = state;
    }
    let is_told =
        |state: &RecipientState| matches!(state, RecipientState::Waiting { is_told: true, .. });
    assert_eq!(states.iter().map(is_told).collect::<Vec<_>>(), [true, false, false, true]);
    let again = planned(&envelope, &states, &facts(all()), late);
    assert_eq!((events(&again), again.changes.len()), (vec![], 3));
    // Before its time nobody is told, and its time is when it is looked at next.
    let early = planned(&envelope, &fresh(), &facts(all()), YOUNG);
    assert_eq!((events(&early), early.waits_until.unwrap() < YOUNG), (vec![], true));
}

/// What waits at a destination that cannot be reached is told of without a try of its own, and keeps its state.
#[test]
fn a_delay_without_a_try_changes_nothing_else() {
    let late = Timestamp::from_millis(NOW.as_millis() + 600_000);
    let answer = Answer::All { reply: Some(Reply::new(451, None, "refused")), peer: None };
    let facts = Facts { is_tried: false, tries: 0, ..facts(answer) };
    let mut envelope = envelope(&["a@x.example"]);
    let states = [RecipientState::fresh(NOW)];
    let nothing = planned(&envelope, &states, &facts, late);
    assert!(nothing.steps.is_empty() && nothing.changes.is_empty() && !nothing.is_finished);
    envelope.sender = ReversePath::Address(Address::parse("s@s.example").unwrap());
    let seen = planned(&envelope, &states, &facts, late);
    assert_eq!((seen.steps.len(), seen.notices[0].last_try_at), (0, None));
    let told = RecipientState::Waiting { tries: 0, next_try_at: NOW, last: None, is_told: true };
    assert_eq!(seen.changes, [(0, told)]);
}

/// RFC 2852: who sets a time hears of its end, of each hop, and of a hop that does not look at the time.
#[test]
fn a_time_that_the_sender_set_is_kept() {
    let mut envelope = envelope(&["a@x.example"]);
    envelope.sender = ReversePath::Address(Address::parse("s@s.example").unwrap());
    let states = [RecipientState::fresh(NOW)];
    let choosy = [Notify::FAILURE, Notify::NEVER].map(|notify| {
        let mut envelope = envelope.clone();
        envelope.recipients[0].notify = Some(notify);
        envelope.wishes.deliver_by =
            Some(DeliverBy { at: NOW, mode: ByMode::Notify, is_traced: false });
        envelope
    });
    let terms = Terms { expire_after: Duration::from_hours(1), delay_report_after: None };
    let known = |envelope, mode, is_traced, at| {
        let times =
            Times { deliver_by: Some(DeliverBy { at, mode, is_traced }), ..Times::default() };
        Known { envelope, states: &states, moments: terms.moments(NOW, times) }
    };
    let all = || Answer::All { reply: None, peer: None };
    let over = known(&envelope, ByMode::Return, false, NOW);
    let seen = Plan::new(over, &facts(all()), |_, _| true);
    assert_eq!(events(&seen), [("a@x.example", Event::Overdue)]);
    assert_eq!((seen.notices[0].status(), seen.is_finished), (OVERDUE, true));
    let over = known(&envelope, ByMode::Notify, false, NOW);
    let seen = Plan::new(over, &Facts { is_tried: false, ..facts(all()) }, |_, _| true);
    assert!(matches!(events(&seen)[..], [(_, Event::Missed { .. })]) && seen.waits_until.is_some());
    // That the time is over is asked for by the time itself; only NEVER takes it back.
    for (envelope, want) in choosy.iter().zip([1, 0]) {
        let over = known(envelope, ByMode::Notify, false, NOW);
        assert_eq!(Plan::new(over, &facts(all()), |_, _| true).notices.len(), want);
    }
    let done = |offers_deliver_by| {
        let peer = Peer { offers_dsn: true, offers_deliver_by, ..peer() };
        let outcome = outcome(0, Fate::Delivered, 250);
        facts(Answer::Each(vec![RecipientOutcome { peer: Some(Arc::new(peer)), ..outcome }]))
    };
    for (mode, is_traced, offers, want) in [
        (ByMode::Notify, false, true, 0),
        (ByMode::Notify, false, false, 1),
        (ByMode::Notify, true, true, 1),
        (ByMode::Return, true, true, 1),
        (ByMode::Return, false, true, 0),
    ] {
        let seen = Plan::new(known(&envelope, mode, is_traced, LATER), &done(offers), |_, _| true);
        assert_eq!(seen.notices.len(), want, "{mode:?} {is_traced} {offers}");
    }
    let mut silent = envelope.clone();
    silent.recipients[0].notify = Some(Notify::NEVER);
    let seen = Plan::new(known(&silent, ByMode::Notify, true, LATER), &done(false), |_, _| true);
    assert_eq!(events(&seen), []);
}

/// The connectors may change while a message is under way: what a host took is not sent again.
#[test]
fn what_was_tried_counts_wherever_it_would_go_by_now() {
    let states = [RecipientState::fresh(NOW)];
    let envelope = envelope(&["c@y.example"]);
    let taken = facts(Answer::Each(vec![outcome(0, Fate::Delivered, 250)]));
    let plan = planned(&envelope, &states, &taken, YOUNG);
    assert!(plan.is_finished);
    assert_eq!(plan.steps.len(), 1);
    let refused = facts(Answer::Each(vec![outcome(0, Fate::Deferred, 451)]));
    assert!(planned(&envelope, &states, &refused, YOUNG).waits_until.is_some());
    assert!(planned(&envelope, &states, &facts(Answer::Each(vec![])), YOUNG).touches_nobody());
}
