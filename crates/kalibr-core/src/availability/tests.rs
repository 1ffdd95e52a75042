use super::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};

const SECOND: i64 = 1_000_000;

/// A clock, a goal, and the table.
struct World {
    availability: Availability,
    now: i64,
    goal: Goal,
}

impl World {
    fn new() -> Self {
        Self { availability: Availability::default(), now: 1_000 * SECOND, goal: Goal::new("g").unwrap() }
    }

    fn call<'a>(&'a self, model: &'a str) -> Call<'a> {
        Call { provider: "p", model, goal: &self.goal, path: PathId::from_bytes([7; 16]) }
    }

    fn heard(&self, outcome: Outcome) -> Heard {
        let times = Times { started: Timestamp(self.now), ended: Timestamp(self.now) };
        Heard { outcome, times, retry_after: None, jitter: 0.5 }
    }

    fn take(&mut self, model: &str, heard: &Heard) {
        let goal = self.goal.clone();
        let call = Call { provider: "p", model, goal: &goal, path: PathId::from_bytes([7; 16]) };
        self.availability.record(&call, heard);
    }

    fn hear(&mut self, model: &str, outcome: Outcome) {
        let heard = self.heard(outcome);
        self.take(model, &heard);
    }

    fn fails(&mut self, model: &str, times: usize) {
        for _ in 0..times {
            self.hear(model, Outcome::Failed(Fault::Shared));
        }
    }

    /// Whether a request for this model would be let through now; a permit that it takes is given back.
    fn may(&self, model: &str) -> bool {
        let blocked = self.availability.blocked();
        let mut look = blocked.look(Timestamp(self.now));
        let may = look.may(&self.call(model)).is_ok();
        look.chose(&Call { provider: "nobody", ..self.call(model) });
        may
    }

    fn says(&self, model: &str) -> String {
        let blocked = self.availability.blocked();
        let said = blocked.look(Timestamp(self.now)).may(&self.call(model));
        said.map_or_else(|unavailable| unavailable.to_string(), |()| "may".to_owned())
    }

    fn mean(&self, model: &str) -> f64 {
        self.availability.of(&self.call(model), Timestamp(self.now)).map_or(1.0, Beta::mean)
    }
}

#[test]
fn five_failures_in_a_row_open_the_breaker_whatever_an_hour_of_answers_says() {
    let mut world = World::new();
    for _ in 0..10_000 {
        world.hear("m", Outcome::Answered);
    }
    world.fails("m", 4);
    assert!(world.may("m"));
    world.fails("m", 1);
    assert_eq!(world.says("m"), "its model is down, next try in 1 s");
    // The hour's estimate has seen 10,000 answers and 5 failures.
    assert!((world.mean("m") - 10_001.0 / 10_006.0).abs() < 1e-9);
}

#[test]
fn at_five_percent_of_failures_the_breaker_stays_closed_over_long_streams() {
    let mut rng = rand::rngs::StdRng::seed_from_u64(11);
    let mut world = World::new();
    for call in 0..300_000 {
        world.now += SECOND / 10;
        let outcome = if rng.random_bool(0.05) { Outcome::Failed(Fault::Shared) } else { Outcome::Answered };
        world.hear("m", outcome);
        assert!(world.availability.blocked().is_empty(), "opened at call {call}");
    }
    assert!((world.mean("m") - 0.95).abs() < 0.01, "{}", world.mean("m"));
}

#[test]
fn a_provider_that_answers_one_call_in_five_is_found_out_within_a_few_dozen_calls() {
    for seed in 0..200 {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let mut world = World::new();
        let calls = (1..1_000)
            .find(|_| {
                let outcome =
                    if rng.random_bool(0.8) { Outcome::Failed(Fault::Shared) } else { Outcome::Answered };
                world.hear("m", outcome);
                !world.may("m")
            })
            .unwrap();
        assert!(calls <= 60, "{calls} calls with seed {seed}");
    }
}

#[test]
fn when_the_wait_is_over_one_request_may_try_and_the_others_may_not() {
    let mut world = World::new();
    world.fails("m", 5);
    world.now += SECOND;
    let blocked = world.availability.blocked();
    let mut first = blocked.look(Timestamp(world.now));
    assert!(first.may(&world.call("m")).is_ok());
    for _ in 0..100 {
        let said = blocked.look(Timestamp(world.now)).may(&world.call("m")).unwrap_err();
        assert_eq!(said.to_string(), "its model is down, and another request is trying it");
    }
    // It was not chosen: the permit is free again.
    assert!(first.chose(&world.call("other")).is_empty());
    let mut second = blocked.look(Timestamp(world.now));
    assert!(second.may(&world.call("m")).is_ok());
    assert_eq!(second.chose(&world.call("m")).len(), 1);
    // Who looks at the old copy while the probe fails does not get through, nor does one with the new copy.
    world.fails("m", 1);
    assert!(blocked.look(Timestamp(world.now)).may(&world.call("m")).is_err());
    assert_eq!(world.says("m"), "its model is down, next try in 2 s");
}

#[test]
fn waits_grow_while_probes_fail_and_an_answer_closes_the_breaker() {
    let mut world = World::new();
    world.fails("m", 5);
    let mut waits = Vec::new();
    for _ in 0..10 {
        let blocked = world.availability.blocked();
        let left = blocked.look(Timestamp(world.now)).may(&world.call("m")).unwrap_err().left;
        waits.push(left / SECOND);
        world.now += left - 1;
        assert!(!world.may("m"));
        world.now += 1;
        assert!(world.may("m"));
        world.fails("m", 1);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
    world.now += 120 * SECOND;
    world.hear("m", Outcome::Answered);
    assert!(world.availability.blocked().is_empty());
}

#[test]
fn one_that_answers_now_and_then_is_left_alone_again_sooner_and_for_as_long_as_before() {
    let mut world = World::new();
    world.fails("m", 5);
    for _ in 0..4 {
        world.now += 120 * SECOND;
        world.fails("m", 1);
    }
    world.now += 120 * SECOND;
    world.hear("m", Outcome::Answered);
    world.fails("m", 2);
    assert!(world.may("m"));
    world.fails("m", 1);
    assert_eq!(world.says("m"), "its model is down, next try in 32 s");
    // As many answers as failures, and the outage is forgotten.
    world.now += 120 * SECOND;
    for _ in 0..4 {
        world.hear("m", Outcome::Answered);
    }
    world.fails("m", 4);
    assert!(world.may("m"));
    world.fails("m", 1);
    assert_eq!(world.says("m"), "its model is down, next try in 1 s");
}

#[test]
fn a_call_from_before_the_outage_neither_closes_the_breaker_nor_makes_it_wait_longer() {
    let mut world = World::new();
    world.fails("m", 5);
    let before = Timestamp(world.now - 30 * SECOND);
    for outcome in [Outcome::Answered, Outcome::Failed(Fault::Shared), Outcome::Silent] {
        let mut heard = world.heard(outcome);
        heard.times.started = before;
        world.take("m", &heard);
    }
    assert_eq!(world.says("m"), "its model is down, next try in 1 s");
    // A caller who insisted while it was down, and got an answer, has shown that it is back.
    world.now += SECOND / 2;
    world.hear("m", Outcome::Answered);
    assert!(world.may("m"));
}

#[test]
fn a_dead_provider_is_found_out_through_all_of_its_models_together() {
    let mut world = World::new();
    for model in ["a", "b", "c", "d"] {
        world.fails(model, 1);
        assert!(world.availability.blocked().is_empty());
    }
    world.fails("e", 1);
    assert_eq!(world.says("never-called"), "its provider is down, next try in 1 s");
    assert!((world.mean("never-called") - 1.0 / 6.0).abs() < 1e-9);
    // The failures were the provider's: each is counted once.
    assert!((world.mean("a") - 1.0 / 6.0).abs() < 1e-9);
    world.now += SECOND;
    world.hear("b", Outcome::Answered);
    for model in ["a", "b", "c", "d", "e", "never-called"] {
        assert!(world.may(model), "{model}");
    }
}

#[test]
fn a_model_that_is_broken_does_not_take_its_siblings_down() {
    let mut world = World::new();
    world.fails("broken", 100);
    assert!(!world.may("broken"));
    assert!(world.may("sibling"));
    assert_eq!(world.mean("sibling"), 1.0);
    // One stray failure of a sibling does not make it the provider's; a second in a row, and still no answer, does.
    world.fails("sibling", 1);
    assert!(world.may("sibling"));
    world.fails("sibling", 1);
    assert!(world.says("third").starts_with("its provider is down"));
}

#[test]
fn an_unknown_model_and_a_parameter_that_is_not_taken_concern_nobody_else() {
    let mut world = World::new();
    for _ in 0..5 {
        world.hear("no-such", Outcome::Failed(Fault::Model));
        world.hear("m", Outcome::Failed(Fault::Here));
    }
    assert_eq!(world.says("no-such"), "its model is down, next try in 1 s");
    assert_eq!(world.says("m"), "the path in this goal is down, next try in 1 s");
    let elsewhere = Goal::new("elsewhere").unwrap();
    let blocked = world.availability.blocked();
    let call = Call { goal: &elsewhere, ..world.call("m") };
    assert!(blocked.look(Timestamp(world.now)).may(&call).is_ok());
    assert_eq!(world.availability.of(&call, Timestamp(world.now)), None);
}

#[test]
fn a_limited_rate_is_waited_for_as_asked_and_does_not_count_against_the_next_half_hour() {
    let mut world = World::new();
    world.hear("m", Outcome::Failed(Fault::Shared));
    let before = world.mean("m");
    let limited = Heard { retry_after: Some(20 * SECOND), ..world.heard(Outcome::Limited) };
    world.take("m", &limited);
    assert_eq!(world.says("m"), "its model asked to be left alone, next try in 20 s");
    let rest = |world: &World| world.availability.blocked().rest(&world.call("m"), Timestamp(world.now));
    assert_eq!(rest(&world), Some(20 * SECOND));
    assert!(world.may("sibling"));
    assert_eq!(world.mean("m"), before);
    world.now += 20 * SECOND;
    // It said when: nobody needs to try first.
    let blocked = world.availability.blocked();
    assert!((0..10).all(|_| blocked.look(Timestamp(world.now)).may(&world.call("m")).is_ok()));
}

#[test]
fn a_limit_that_does_not_end_opens_the_breaker_and_a_wait_of_a_day_is_looked_at_each_hour() {
    let mut world = World::new();
    for _ in 0..5 {
        world.hear("m", Outcome::Limited);
    }
    assert_eq!(world.says("m"), "its model is down, next try in 1 s");
    // When it will be back nobody said.
    assert_eq!(world.availability.blocked().rest(&world.call("m"), Timestamp(world.now)), None);
    assert_eq!(world.mean("m"), 1.0);
    world.now += SECOND;
    let day = Heard { retry_after: Some(86_400 * SECOND), ..world.heard(Outcome::Limited) };
    world.take("m", &day);
    assert_eq!(world.says("m"), "its model is down, next try in 3600 s");
}

#[test]
fn what_says_nothing_of_the_provider_changes_nothing() {
    let mut world = World::new();
    world.fails("m", 4);
    for _ in 0..100 {
        world.hear("m", Outcome::Silent);
    }
    assert!(world.may("m"));
    assert!((world.mean("m") - 0.2).abs() < 1e-9);
}

#[test]
fn each_kind_of_failure_is_counted_where_it_belongs() {
    use FailureCategory::{AuthError, EmptyResponse, ProviderError, RateLimited, Timeout, ValidationFailed};
    let failed = |category, status, cut| Outcome::of(Reply::Failed, Some(category), status, cut);
    for (category, status, cut, outcome) in [
        (ProviderError, Some(500), false, Outcome::Failed(Fault::Shared)),
        (ProviderError, None, false, Outcome::Failed(Fault::Shared)),
        (ProviderError, Some(404), false, Outcome::Failed(Fault::Model)),
        (ProviderError, Some(302), false, Outcome::Failed(Fault::Shared)),
        (AuthError, Some(401), false, Outcome::Failed(Fault::Shared)),
        (EmptyResponse, Some(200), false, Outcome::Failed(Fault::Shared)),
        (Timeout, None, false, Outcome::Failed(Fault::Shared)),
        (Timeout, None, true, Outcome::Failed(Fault::Here)),
        (Timeout, Some(504), true, Outcome::Failed(Fault::Shared)),
        (ValidationFailed, Some(400), false, Outcome::Failed(Fault::Here)),
        (RateLimited, Some(429), false, Outcome::Limited),
    ] {
        assert_eq!(failed(category, status, cut), outcome, "{category} {status:?}");
    }
    assert_eq!(Outcome::of(Reply::Answered, None, Some(200), false), Outcome::Answered);
    assert_eq!(Outcome::of(Reply::Refused, Some(ValidationFailed), Some(400), false), Outcome::Silent);
    assert_eq!(Outcome::of(Reply::Unknown, None, None, false), Outcome::Silent);
}

#[test]
fn a_clock_that_jumps_back_does_not_lock_a_place_for_ever_nor_flood_it() {
    let mut world = World::new();
    world.now = 1_000_000 * SECOND;
    world.fails("m", 5);
    for _ in 0..3 {
        world.now += 120 * SECOND;
        world.fails("m", 1);
    }
    world.now = 10 * SECOND;
    assert!(world.may("m"), "what was to come is not waited for");
    world.fails("m", 1);
    assert!(!world.may("m"), "the wait begins anew by the new clock");
    world.now += 120 * SECOND;
    world.hear("m", Outcome::Answered);
    assert!(world.may("m"));
}

#[test]
fn failures_far_apart_are_not_one_outage() {
    let mut world = World::new();
    for _ in 0..20 {
        world.now += 3_600 * SECOND;
        world.fails("m", 1);
    }
    assert!(world.may("m"));
}

#[test]
fn an_outage_leaves_the_estimate_within_hours() {
    let mut world = World::new();
    world.fails("m", 5);
    let during = world.mean("m");
    world.now += 1_800 * SECOND;
    assert!(world.mean("m") > during);
    world.now += Availability::MEMORY + 120 * SECOND;
    assert_eq!(world.mean("m"), 1.0);
}

#[test]
fn standings_tell_the_state_the_estimate_and_the_next_try() {
    let mut world = World::new();
    world.hear("well", Outcome::Answered);
    world.fails("m", 5);
    let limited = Heard { retry_after: Some(9 * SECOND), ..world.heard(Outcome::Limited) };
    world.take("busy", &limited);
    let states = |world: &World| {
        let standings = world.availability.standings(Timestamp(world.now));
        assert_eq!(&*standings[0].name, "p");
        let of = |standing: &Standing| (standing.state, standing.next_try.map(|left| left / SECOND));
        (
            of(&standings[0].standing),
            standings[0].models.iter().map(|(name, one)| (name.to_string(), of(one))).collect::<Vec<_>>(),
        )
    };
    let model = |name: &str, state, left: Option<i64>| (name.to_owned(), (state, left));
    assert_eq!(
        states(&world),
        (
            (State::Up, None),
            vec![
                model("busy", State::Resting, Some(9)),
                model("m", State::Down, Some(1)),
                model("well", State::Up, None)
            ]
        )
    );
    world.now += 10 * SECOND;
    let (_, models) = states(&world);
    assert_eq!(models[..2], [model("busy", State::Up, None), model("m", State::Probing, None)]);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(u8),
    End(u8, u8, Option<i64>, f64),
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![
        10 => 0..5 * SECOND,
        3 => 0..400 * SECOND,
        1 => -200 * SECOND..0,
        1 => any::<i64>(),
    ];
    let asked = prop::option::of(prop_oneof![0..100 * SECOND, any::<i64>()]);
    let step = prop_oneof![
        4 => (0u8..4).prop_map(Step::Ask),
        5 => (0u8..4, 0u8..6, asked, prop_oneof![0.0..1.0, Just(f64::NAN), Just(f64::INFINITY)])
            .prop_map(|(model, outcome, asked, jitter)| Step::End(model, outcome, asked, jitter)),
        2 => wait.prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn any_stream_of_outcomes_and_clocks_is_survived_and_estimates_are_probabilities(steps in steps()) {
        let mut world = World::new();
        let models = ["a", "b", "c", "d"];
        for step in steps {
            match step {
                Step::Ask(model) => drop(world.says(models[usize::from(model)])),
                Step::Wait(by) => world.now = world.now.saturating_add(by),
                Step::End(model, outcome, retry_after, jitter) => {
                    let outcome = [
                        Outcome::Answered, Outcome::Failed(Fault::Shared), Outcome::Failed(Fault::Model),
                        Outcome::Failed(Fault::Here), Outcome::Limited, Outcome::Silent,
                    ][usize::from(outcome)];
                    let heard = Heard { retry_after, jitter, ..world.heard(outcome) };
                    world.take(models[usize::from(model)], &heard);
                }
            }
            for model in models {
                let mean = world.mean(model);
                prop_assert!((0.0..=1.0).contains(&mean), "{}", mean);
            }
            for provider in world.availability.standings(Timestamp(world.now)) {
                for (_, one) in provider.models {
                    prop_assert!(one.next_try.is_none_or(|left| left <= 3_600 * SECOND));
                }
            }
        }
    }

    #[test]
    fn a_dead_place_gets_few_probes_and_one_at_a_time_however_many_ask(
        asks in prop::collection::vec((0..2 * SECOND, 0..3 * SECOND), 1..400), jitter in 0f64..1.0,
    ) {
        let mut world = World::new();
        world.fails("m", 5);
        let opened = world.now;
        let (mut probe, mut probes): (Option<(i64, i64)>, u32) = (None, 0);
        for (pause, takes) in asks {
            world.now += pause;
            if let Some((started, ended)) = probe.take_if(|(_, ended)| *ended <= world.now) {
                let times = Times { started: Timestamp(started), ended: Timestamp(ended) };
                let outcome = Outcome::Failed(Fault::Shared);
                world.take("m", &Heard { outcome, times, retry_after: None, jitter });
            }
            let blocked = world.availability.blocked();
            let mut look = blocked.look(Timestamp(world.now));
            if look.may(&world.call("m")).is_ok() {
                prop_assert_eq!(look.chose(&world.call("m")).len(), 1);
                prop_assert_eq!(probe.replace((world.now, world.now + takes)), None, "two at once");
                probes += 1;
            }
        }
        // Each probe ends a wait: 1 s before the first, then at least 1.6 s, 3.2 s, ... 96 s.
        let waits = (0..probes).map(|n| if n == 0 { SECOND } else { (SECOND << n.min(7)).min(120 * SECOND) * 4 / 5 });
        prop_assert!(waits.sum::<i64>() <= world.now - opened, "{} probes", probes);
    }
}
