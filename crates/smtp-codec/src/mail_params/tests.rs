use proptest::prelude::*;

use super::*;

fn all() -> ExtensionSet {
    KNOWN.iter().map(|row| row.extension).collect()
}

fn read(text: &str) -> Result<Vec<MailParam>, ParamError> {
    Params::parse(text).expect("well-formed").mail(all()).collect()
}

fn check(text: &str, want: MailParam) {
    assert_eq!(read(text), Ok(vec![want]), "{text}");
}

#[test]
fn values_are_read() {
    let by = |seconds, mode, is_traced| MailParam::DeliverBy(By { seconds, mode, is_traced });
    let address = |text| Submitter::Address(Address::parse(text).unwrap());
    check("size=0", MailParam::Size(0));
    check("SIZE=99999999999999999999", MailParam::Size(u64::MAX));
    check("BODY=7bit", MailParam::Body(BodyType::SevenBit));
    check("BODY=BinaryMime", MailParam::Body(BodyType::BinaryMime));
    check("SMTPUTF8", MailParam::SmtpUtf8);
    check("RET=full", MailParam::Ret(Ret::Full));
    check("RET=HDRS", MailParam::Ret(Ret::Headers));
    check("ENVID=QQ+2B314159", MailParam::EnvelopeId(EnvelopeId::parse("QQ+314159").unwrap()));
    check("AUTH=<>", MailParam::Submitter(Submitter::Unknown));
    check("AUTH=e+3Dmc2@example.com", MailParam::Submitter(address("e=mc2@example.com")));
    check("requiretls", MailParam::RequireTls);
    check("HOLDFOR=86400", MailParam::Hold(Hold::For(86_400)));
    let at = Timestamp::from_millis(1_795_286_760_000);
    check("HOLDUNTIL=2026-11-21T18:46:00Z", MailParam::Hold(Hold::Until(at)));
    check("HOLDUNTIL=2026-11-21T18:45:59.001Z", MailParam::Hold(Hold::Until(at)));
    check("BY=120;R", by(120, ByMode::Return, false));
    check("BY=+120;nT", by(120, ByMode::Notify, true));
    check("BY=-5;N", by(-5, ByMode::Notify, false));
    check("MT-PRIORITY=-9", MailParam::Priority(Priority::new(-9).unwrap()));
    check("MT-PRIORITY=3", MailParam::Priority(Priority::new(3).unwrap()));
}

#[test]
fn what_is_wrong_is_said() {
    use ParamError as E;
    let long = format!("ENVID={}", "x".repeat(101));
    for (text, want) in [
        ("FOO=1", E::Unknown),
        ("SIZE", E::Size),
        ("SIZE=-1", E::Size),
        ("SIZE=999999999999999999999", E::Size),
        ("BODY", E::BodyType),
        ("BODY=9BIT", E::BodyType),
        ("SMTPUTF8=1", E::ValueUnexpected("SMTPUTF8")),
        ("REQUIRETLS=yes", E::ValueUnexpected("REQUIRETLS")),
        ("RET=HALF", E::Ret),
        ("ENVID", E::EnvelopeId),
        ("ENVID=a+0D+0Ab", E::EnvelopeId),
        ("ENVID=a+b", E::EnvelopeId),
        (&long, E::EnvelopeId),
        ("AUTH", E::Submitter),
        ("AUTH=nobody", E::Submitter),
        ("AUTH=a@b+0D+0A", E::Submitter),
        ("HOLDFOR=0", E::HoldFor),
        ("HOLDFOR=-1", E::HoldFor),
        ("HOLDFOR=1000000000", E::HoldFor),
        ("HOLDUNTIL=tomorrow", E::HoldUntil),
        ("HOLDUNTIL=9999-12-31T23:59:59.5Z", E::HoldUntil),
        ("BY=120", E::DeliverBy),
        ("BY=0;R", E::DeliverBy),
        ("BY=-1;R", E::DeliverBy),
        ("BY=1;X", E::DeliverBy),
        ("BY=1;RTT", E::DeliverBy),
        ("BY=+-1;N", E::DeliverBy),
        ("BY=1000000000;N", E::DeliverBy),
        ("MT-PRIORITY=10", E::Priority),
        ("MT-PRIORITY=+1", E::Priority),
        ("MT-PRIORITY=-0", E::Priority),
        ("MT-PRIORITY", E::Priority),
        ("RET=FULL RET=FULL", E::Twice("RET")),
        ("SIZE=1 SMTPUTF8 size=1", E::Twice("SIZE")),
    ] {
        assert_eq!(read(text), Err(want), "{text}");
    }
}

#[test]
fn what_is_not_offered_is_not_known() {
    let offered = all().without(Extension::Dsn);
    let read = |text| Params::parse(text).unwrap().mail(offered).collect::<Result<Vec<_>, _>>();
    assert_eq!(read("RET=FULL"), Err(ParamError::Unknown));
    assert_eq!(read("ENVID=+"), Err(ParamError::Unknown));
    assert!(read("SIZE=1").is_ok());
}

#[test]
fn a_moment_and_what_is_left_of_it() {
    let now = Timestamp::from_millis(5_000_500);
    for seconds in [-5, 0, 1, 120, SECONDS_MAX] {
        let by = By { seconds, mode: ByMode::Notify, is_traced: true };
        assert_eq!(By::left(by.from_now(now), now), by);
    }
    let far =
        DeliverBy { at: Timestamp::from_millis(u64::MAX), mode: ByMode::Return, is_traced: false };
    assert_eq!(By::left(far, now).seconds, SECONDS_MAX);
}

fn param() -> impl Strategy<Value = MailParam> {
    let body = prop_oneof![
        Just(BodyType::SevenBit),
        Just(BodyType::EightBitMime),
        Just(BodyType::BinaryMime)
    ];
    // Each character may take three on the wire.
    let id = "[ -~]{1,33}".prop_map(|text| EnvelopeId::parse(&text).unwrap());
    let mode = prop_oneof![Just(ByMode::Return), Just(ByMode::Notify)];
    let by = (1..=SECONDS_MAX, mode, any::<bool>()).prop_map(|(seconds, mode, is_traced)| By {
        seconds,
        mode,
        is_traced,
    });
    let address = "[a-z+=]{1,9}@[a-z]{1,9}".prop_map(|text| Address::parse(&text).unwrap());
    let moment = (0..250_000_000_000_u64).prop_map(|secs| Timestamp::from_millis(secs * 1000));
    prop_oneof![
        any::<u64>().prop_map(MailParam::Size),
        body.prop_map(MailParam::Body),
        Just(MailParam::SmtpUtf8),
        prop_oneof![Just(Ret::Full), Just(Ret::Headers)].prop_map(MailParam::Ret),
        id.prop_map(MailParam::EnvelopeId),
        Just(MailParam::Submitter(Submitter::Unknown)),
        address.prop_map(|address| MailParam::Submitter(Submitter::Address(address))),
        Just(MailParam::RequireTls),
        (1..=999_999_999_u32).prop_map(|seconds| MailParam::Hold(Hold::For(seconds))),
        moment.prop_map(|at| MailParam::Hold(Hold::Until(at))),
        by.prop_map(MailParam::DeliverBy),
        (-9..=9_i8).prop_map(|value| MailParam::Priority(Priority::new(value).unwrap())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn printed_and_read_is_the_same(param in param()) {
        prop_assert_eq!(read(&param.to_string()), Ok(vec![param]));
    }

    #[test]
    fn any_value_is_read_without_harm(row in 0..KNOWN.len(), value in "[ -~é+\\-0-9;RNT<>@:]{0,40}") {
        let read = KNOWN[row].read;
        if let Ok(param) = read(Some(&value)) {
            // What is taken is said again, and then alike.
            let again = param.to_string();
            prop_assert!(again.bytes().all(|byte| byte.is_ascii_graphic()), "{}", again);
            let value = again.split_once('=').map(|(_, value)| value);
            let hold_until = matches!(param, MailParam::Hold(Hold::Until(_)));
            prop_assert!(hold_until || read(value) == Ok(param));
        }
    }
}
