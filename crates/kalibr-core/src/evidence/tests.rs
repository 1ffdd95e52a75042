use super::*;

fn signal(source: Source, value: Value, at: i64, id: &str) -> Signal {
    Signal {
        id: SignalId::new(id).unwrap(),
        source,
        value,
        strength: value.default_strength(),
        confidence: Strength::ONE,
        at: Timestamp(at),
        attempt: None,
    }
}

#[test]
fn every_value_has_its_own_number_within_its_source_and_three_bits_hold_it() {
    for row in &VALUES {
        assert!((1..=7).contains(&row.2));
        assert_eq!(Value::from_code(row.0, row.2), Some(row.1), "{:?} {:?}", row.0, row.1);
        assert_eq!(row.1.code(row.0), Some(row.2));
    }
}

#[test]
fn a_value_is_said_by_a_voice_of_its_source_and_every_voice_has_something_to_say() {
    for row in &VALUES {
        assert_eq!(row.1.voice(row.0).source(), row.0, "{:?}", row.1);
    }
    for (number, voice) in Voice::ALL.into_iter().enumerate() {
        assert_eq!(voice as usize, number);
        assert!(VALUES.iter().any(|row| row.1.voice(row.0) == voice), "{voice:?}");
    }
    assert!(Voice::ALL.is_sorted_by_key(|voice| voice.source()));
}

#[test]
fn of_two_voices_of_a_source_the_later_one_is_heard_and_neither_climbs_the_ladder() {
    let mut register = Register::default();
    register.take(&signal(Source::Turn, Value::RejectionByModel, 2, "b"));
    register.take(&signal(Source::Turn, Value::Acceptance, 1, "a"));
    register.take(&signal(Source::SessionEnd, Value::EndedWell, 9, "c"));
    assert_eq!(register.winner(), Some((Source::Turn, Strength::ZERO)));
    assert_eq!(register.pattern().voice(Source::Turn), Some(Voice::TurnModel));
    register.take(&signal(Source::Explicit, Value::UserAccepted, 0, "d"));
    assert_eq!(register.winner(), Some((Source::Explicit, Strength::ONE)));
}

#[test]
fn a_side_is_told_from_the_pattern_and_changes_nothing_of_what_it_says() {
    for reply in [Reply::Unknown, Reply::Answered, Reply::Failed, Reply::Refused] {
        let mut register = Register::default();
        register.reply(reply);
        register.take(&signal(Source::Explicit, Value::UserAccepted, 1, "a"));
        register.take(&signal(Source::Explicit, Value::UserRejected, 2, "b"));
        let plain = register.pattern();
        assert_eq!((plain.side(), plain.evidence()), (None, plain));
        for side in [Side::Router, Side::HeldOut] {
            let marked = plain.on(Some(side));
            assert_eq!(marked.side(), Some(side));
            assert_eq!((marked.evidence(), marked.on(None)), (plain, plain));
            assert_eq!(marked.winner(), plain.winner());
            for source in Source::ALL {
                assert_eq!(marked.value(source), plain.value(source));
                assert_eq!(marked.revised(source), plain.revised(source));
            }
        }
    }
    // Two of the provider's four bits are the side's.
    assert!(VALUES.iter().all(|row| row.0 != Source::Provider || row.2 <= 3));
}

#[test]
fn a_user_wins_over_every_technical_source_and_an_action_over_every_user_word() {
    let mut register = Register::default();
    let steps = [
        (Source::Structural, Value::Passed),
        (Source::Judge, Value::Failed),
        (Source::Metric, Value::Passed),
        (Source::SessionEnd, Value::SessionDissatisfied),
        (Source::Turn, Value::Acceptance),
        (Source::Explicit, Value::UserRejected),
        (Source::Action, Value::OutputUsedVerbatim),
    ];
    for (step, (source, value)) in steps.into_iter().enumerate() {
        // Each weaker source is later by event time: the ladder, not the clock, decides between sources.
        register.take(&signal(source, value, 100 - step as i64, "s"));
        assert_eq!(register.winner(), Some((source, value.default_strength())));
        assert_eq!(register.pattern().winner(), Some(source));
    }
}

#[test]
fn within_a_source_the_latest_event_wins_and_a_tie_goes_to_the_greater_id() {
    let early = signal(Source::Explicit, Value::UserAccepted, 5, "z");
    let late = signal(Source::Explicit, Value::UserRejected, 6, "a");
    let tie = signal(Source::Explicit, Value::UserAccepted, 6, "b");
    let mut register = Register::default();
    register.take(&late);
    register.take(&early);
    assert_eq!(register.value(Source::Explicit), Some(Value::UserRejected));
    register.take(&tie);
    register.take(&late);
    assert_eq!(register.value(Source::Explicit), Some(Value::UserAccepted));
}

#[test]
fn an_answer_that_never_came_is_not_graded() {
    for reply in [Reply::Failed, Reply::Refused] {
        let mut register = Register::default();
        register.take(&signal(Source::Explicit, Value::UserRejected, 1, "a"));
        register.reply(reply);
        assert_eq!(register.winner(), None);
        assert_eq!(register.pattern().winner(), None);
    }
}

#[test]
fn a_strength_outside_its_range_is_refused() {
    for bad in [-0.01, 1.01, 7.5, f64::NAN, f64::INFINITY] {
        assert_eq!(Strength::new(bad), Err(OutOfRange));
    }
    assert_eq!(Strength::new(1.0), Ok(Strength::ONE));
    assert!((Strength::new(0.4).unwrap().get() - 0.4).abs() < 1e-6);
}
