use super::*;
use crate::counters::{Cell, Epoch};
use crate::evidence::{Register, Signal, Strength, Value};
use crate::ids::{SignalId, Timestamp};
use crate::outcome::Reply;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Distribution;

fn id(path: usize) -> PathId {
    PathId::from_bytes([path as u8; 16])
}

fn of(good: i64, n: i64) -> Count {
    Count { n, score: good * i64::from(Strength::UNITS) }
}

fn seen(path: usize, good: i64, n: i64, share: f64) -> Seen {
    let success = Beta { alpha: 1.0 + good as f64, beta: 1.0 + (n - good) as f64 };
    Seen { path: id(path), success, availability: 1.0, matured: of(good, n), share }
}

fn sentence(confidence: &Confidence) -> String {
    confidence.verdict.sentence(|path| format!("model-{}", path.as_bytes()[0]))
}

/// A router that samples from Beta posteriors with a floor, and whose every decision is graded at once.
struct Router {
    rates: Vec<f64>,
    counts: Vec<(i64, i64)>,
    rng: StdRng,
}

const FLOOR: f64 = 0.01;
const DELTA: f64 = 0.02;

impl Router {
    fn new(rates: &[f64], seed: u64) -> Self {
        Self { rates: rates.to_vec(), counts: vec![(0, 0); rates.len()], rng: StdRng::seed_from_u64(seed) }
    }

    fn beta(&self, path: usize) -> Beta {
        let (good, n) = self.counts[path];
        Beta { alpha: 1.0 + good as f64, beta: 1.0 + (n - good) as f64 }
    }

    fn decide(&mut self) {
        let paths = self.rates.len();
        let at = if self.rng.random_bool(FLOOR * paths as f64) {
            self.rng.random_range(0..paths)
        } else {
            let drawn: Vec<f64> = (0..paths)
                .map(|path| {
                    let Beta { alpha, beta } = self.beta(path);
                    rand_distr::Beta::new(alpha, beta).unwrap().sample(&mut self.rng)
                })
                .collect();
            (0..paths).max_by(|&a, &b| drawn[a].total_cmp(&drawn[b])).unwrap()
        };
        let good = self.rng.random_bool(self.rates[at]);
        self.counts[at].0 += i64::from(good);
        self.counts[at].1 += 1;
    }

    fn paths(&self) -> Vec<Seen> {
        let betas: Vec<Beta> = (0..self.rates.len()).map(|path| self.beta(path)).collect();
        let best = crate::best::p_best(&betas);
        let share = |p: &f64| FLOOR + (1.0 - FLOOR * best.len() as f64) * p;
        best.iter()
            .enumerate()
            .map(|(at, p)| seen(at, self.counts[at].0, self.counts[at].1, share(p)))
            .collect()
    }

    /// The verdict, if there is one.
    fn settled(&self) -> Option<Verdict> {
        let paths = self.paths();
        let (best, loss) = p_best_and_loss(&paths.iter().map(|seen| seen.success).collect::<Vec<_>>());
        settled(&paths, &best, &loss, crate::safety::leader(&best).unwrap(), DELTA)
    }

    /// Decides on and on, with a look after every seventh part more, until `until` holds of the verdict or there were
    /// `most` more decisions; how many there were.
    fn goes_on(&mut self, most: u32, until: impl Fn(Option<&Verdict>) -> bool) -> u32 {
        let mut n = 0;
        while n < most && !until(self.settled().as_ref()) {
            for _ in 0..(n / 7).max(3) {
                self.decide();
                n += 1;
            }
        }
        n
    }
}

#[test]
fn what_people_read_is_a_winner_no_difference_or_how_much_more_it_takes() {
    let even = |good: [i64; 2], n: [i64; 2]| [seen(1, good[0], n[0], 0.5), seen(2, good[1], n[1], 0.5)];
    let dear = |paths: &[Seen], delta| sentence(&confidence(paths, delta, FLOOR));
    let cases = [
        (vec![], "nothing to compare: fewer than two paths get requests"),
        (vec![seen(1, 40, 50, 1.0)], "nothing to compare: fewer than two paths get requests"),
        (even([0, 0], [0, 0]).to_vec(), "not enough data yet: about 4,000 more graded decisions"),
        (even([80, 30], [100, 100]).to_vec(), "model-1 is the best path (95 % sure, however often you look)"),
        (even([30, 80], [100, 100]).to_vec(), "model-2 is the best path (95 % sure, however often you look)"),
        (
            even([8_000, 8_010], [10_000, 10_000]).to_vec(),
            "no difference worth having: they are within 0.02 of each other",
        ),
        (
            [seen(3, 100, 1_000, 0.01)].into_iter().chain(even([8_000, 8_010], [10_000, 10_000])).collect(),
            "no difference worth having between the best: model-1 and model-2 are within 0.02 of each other",
        ),
        (
            even([8_200, 8_000], [10_000, 10_000]).to_vec(),
            "not enough data yet: about 20,000 more graded decisions",
        ),
        (
            vec![seen(1, 8_000, 10_000, 0.98), seen(2, 770, 1_000, 0.01), seen(3, 780, 1_000, 0.01)],
            "not enough data yet: more than 100,000 more graded decisions",
        ),
    ];
    let said: Vec<String> = cases.iter().map(|(paths, _)| dear(paths, DELTA)).collect();
    assert_eq!(said, cases.map(|(_, sentence)| sentence));
    let one = Verdict::NotEnoughData { more: Some(1) };
    assert_eq!(one.sentence(|_| String::new()), "not enough data yet: about 1 more graded decision");
    // What is worth having is the goal's own.
    assert!(dear(&even([800, 780], [1_000, 1_000]), 0.1).contains("within 0.1 of each other"));
    assert!(dear(&even([80_000, 80_010], [100_000, 100_000]), 0.0).contains("within 0.005 of each other"));
}

#[test]
fn many_names_are_not_all_listed() {
    let names: Vec<String> = (1..=7).map(|n| format!("p{n}")).collect();
    let said = [1, 2, 4, 5, 7].map(|n| listed(&names[..n]));
    assert_eq!(
        said,
        ["p1", "p1 and p2", "p1, p2, p3 and p4", "p1, p2, p3 and 2 others", "p1, p2, p3 and 4 others"]
    );
    assert_eq!([7, 100, 1_000, 21_000, 100_000].map(grouped), ["7", "100", "1,000", "21,000", "100,000"]);
}

#[test]
fn a_winner_takes_all_three_p_best_a_small_loss_and_a_confidence_sequence_that_rules_the_others_out() {
    let base = [seen(1, 80, 100, 0.9), seen(2, 30, 100, 0.1)];
    let is_winner =
        |paths: &[Seen]| matches!(confidence(paths, DELTA, FLOOR).verdict, Verdict::Winner { .. });
    assert!(is_winner(&base));
    // Believed, but not from outcomes that a guarantee may rest on.
    assert!(!is_winner(&[base[0], Seen { matured: of(3, 10), ..base[1] }]));
    // Guaranteed once, but not believed any more.
    assert!(!is_winner(&[Seen { success: Beta { alpha: 3.0, beta: 7.0 }, ..base[0] }, base[1]]));
    // A path that nothing is known of may still be better; one that gets no requests does not count.
    let new = seen(3, 0, 0, 0.01);
    assert!(!is_winner(&[base[0], base[1], new]));
    assert!(is_winner(&[base[0], base[1], Seen { share: 0.0, ..new }]));
}

#[test]
fn good_answers_that_come_half_of_the_time_do_not_win() {
    let steady = Seen { availability: 1.0, ..seen(1, 700, 1_000, 0.9) };
    let shaky =
        Seen { success: Beta { alpha: 450.0, beta: 550.0 }, availability: 0.5, ..seen(2, 900, 1_000, 0.1) };
    assert_eq!(confidence(&[steady, shaky], DELTA, FLOOR).verdict, Verdict::Winner { path_id: id(1) });
    let dead = Seen { availability: 0.0, success: Beta { alpha: 0.1, beta: 500.0 }, ..shaky };
    assert_eq!(confidence(&[steady, dead], DELTA, FLOOR).verdict, Verdict::Winner { path_id: id(1) });
}

#[test]
fn a_path_that_never_answered_is_not_told_to_be_ruled_out_by_the_next_decision() {
    let steady = seen(1, 90, 100, 0.995);
    let down = Seen { success: Beta { alpha: 0.1, beta: 4.0 }, availability: 0.025, ..seen(2, 0, 0, 0.005) };
    let verdict = confidence(&[steady, down], DELTA, FLOOR).verdict;
    let Verdict::NotEnoughData { more: Some(more) } = verdict else { panic!("{verdict:?}") };
    assert!(more >= 100, "{more}");
}

fn pattern(source: Source, value: Value) -> Pattern {
    let mut register = Register::default();
    register.reply(Reply::Answered);
    register.take(&Signal {
        id: SignalId::new("s").unwrap(),
        source,
        value,
        strength: value.default_strength(),
        confidence: Strength::ONE,
        at: Timestamp(0),
        attempt: None,
    });
    register.pattern()
}

#[test]
fn a_guarantee_rests_on_old_decisions_that_a_user_or_the_caller_graded() {
    let mut counters = Counters::default();
    let mut add = |epoch, path, pattern, score| {
        counters.add(Cell { epoch: Epoch(epoch), path: id(path), pattern }, Count::one(score));
    };
    let one = Strength::UNITS;
    for epoch in 0..=9 {
        add(epoch, 1, pattern(Source::Explicit, Value::UserAccepted), one);
        add(epoch, 1, pattern(Source::Turn, Value::Acceptance), one);
        add(epoch, 1, pattern(Source::Judge, Value::Passed), one);
        add(epoch, 1, Pattern::PENDING, 0);
    }
    add(3, 2, pattern(Source::Metric, Value::Failed), 0);
    add(3, 2, pattern(Source::Action, Value::OutputEdited), one / 4);
    add(3, 7, pattern(Source::Metric, Value::Failed), 0);
    let quarter = Count { n: 2, score: i64::from(one / 4) };
    assert_eq!(matured(&counters, &[id(1), id(2), id(3)]), [of(8, 8), quarter, of(0, 0)]);
    assert_eq!(matured(&Counters::default(), &[id(1)]), [of(0, 0)]);
}

#[test]
fn a_guarantee_waits_until_hardly_anybody_changes_his_mind_any_more() {
    let take = |id: &str, value: Value, at| Signal {
        id: SignalId::new(id).unwrap(),
        source: Source::Explicit,
        value,
        strength: value.default_strength(),
        confidence: Strength::ONE,
        at: Timestamp(at),
        attempt: None,
    };
    let accepted = take("a", Value::UserAccepted, 0);
    let mut register = Register::default();
    register.reply(Reply::Answered);
    register.take(&accepted);
    let (stands, one) = (register.pattern(), Strength::UNITS);
    register.take(&take("b", Value::UserRejected, 1));
    let reversed = register.pattern();
    // Within ten epochs a third of all praise of the second path is taken back.
    let age_of = |reversals: bool| {
        let mut counters = Counters::default();
        for (epoch, path) in (0..200u32).flat_map(|epoch| [(epoch, 1), (epoch, 2)]) {
            let age = i64::from(199 - epoch);
            let back = if reversals && path == 2 { age.min(10) } else { 0 };
            let cell = |pattern| Cell { epoch: Epoch(epoch), path: id(path), pattern };
            counters.add(cell(stands), Count { n: 30 - back, score: (30 - back) * i64::from(one) });
            counters.add(cell(reversed), Count { n: back, score: 0 });
        }
        let age = mature_age(&counters, &[id(1), id(2)]);
        let n = matured(&counters, &[id(2)])[0].n;
        assert!(n <= 30 * i64::from(200 - age), "{n} at {age}: what is counted is as old as that");
        age
    };
    assert_eq!(age_of(false), MATURE_AGE);
    assert!((8..40).contains(&age_of(true)), "{}", age_of(true));
}

#[test]
fn a_guarantee_waits_for_the_deeds_that_follow_words() {
    // Half of the answers that users accept are discarded, twenty epochs later.
    let (accepted, discarded) = (pattern(Source::Explicit, Value::UserAccepted), {
        let mut register = Register::default();
        register.reply(Reply::Answered);
        for (source, value) in
            [(Source::Explicit, Value::UserAccepted), (Source::Action, Value::OutputDiscarded)]
        {
            register.take(&Signal {
                id: SignalId::new("s").unwrap(),
                source,
                value,
                strength: value.default_strength(),
                confidence: Strength::ONE,
                at: Timestamp(0),
                attempt: None,
            });
        }
        register.pattern()
    });
    let mut counters = Counters::default();
    for epoch in 0..200u32 {
        let gone = if epoch + 20 <= 199 { 10 } else { 0 };
        let cell = |pattern| Cell { epoch: Epoch(epoch), path: id(1), pattern };
        counters.add(cell(accepted), Count { n: 20 - gone, score: (20 - gone) * i64::from(Strength::UNITS) });
        counters.add(cell(discarded), Count { n: gone, score: 0 });
    }
    let age = mature_age(&counters, &[id(1)]);
    assert!((18..80).contains(&age), "{age}");
    let (good, bad) = split(matured(&counters, &[id(1)])[0]);
    assert!((good / (good + bad) - 0.5).abs() < 0.02, "{good} {bad}");
}

#[test]
fn the_guaranteed_interval_holds_at_all_looks_together_though_traffic_follows_what_was_seen() {
    let (rates, runs) = ([0.8, 0.7, 0.3], 1_000u64);
    let (mut at_a_random_stop, mut ever) = ([0; 3], [0; 3]);
    for seed in 0..runs {
        let mut router = Router::new(&rates, seed);
        let stop = router.rng.random_range(1..300);
        let mut missed = [false; 3];
        for n in 1..=300 {
            router.decide();
            if n != stop && n % 10 != 0 {
                continue;
            }
            for (path, rate) in rates.iter().enumerate() {
                let (good, all) = router.counts[path];
                let (low, high) = interval(of(good, all), 1.0 - LEVEL);
                let misses = !(low..=high).contains(rate);
                missed[path] |= misses;
                at_a_random_stop[path] += u64::from(n == stop && misses);
            }
        }
        (0..3).for_each(|path| ever[path] += u64::from(missed[path]));
    }
    for path in 0..3 {
        assert!(ever[path] as f64 <= (1.0 - LEVEL) * runs as f64, "{ever:?} of {runs}");
        assert!(at_a_random_stop[path] <= ever[path]);
    }
    // It is not met by intervals that hold everything.
    let (low, high) = interval(of(80, 100), 1.0 - LEVEL);
    assert!(high - low < 0.3, "{low} {high}");
}

#[test]
fn whoever_looks_again_and_again_until_there_is_a_winner_finds_a_wrong_one_in_one_of_twenty_at_most() {
    let runs = 200;
    for (rates, least) in [(vec![0.7, 0.66], 0.0), (vec![0.6, 0.6, 0.6], 0.0), (vec![0.9, 0.3], 0.95)] {
        let (mut wrong, mut right) = (0, 0);
        for seed in 0..runs {
            let mut router = Router::new(&rates, 10_000 + seed);
            router.goes_on(1_200, |verdict| matches!(verdict, Some(Verdict::Winner { .. })));
            if let Some(Verdict::Winner { path_id }) = router.settled() {
                let is_best = rates[0] > rates[1] && path_id == id(0);
                *if is_best { &mut right } else { &mut wrong } += 1;
            }
        }
        assert!(wrong * 20 <= runs, "{rates:?}: {wrong} wrong winners of {runs}");
        assert!(right as f64 >= least * runs as f64, "{rates:?}: {right} right winners of {runs}");
    }
}

#[test]
fn the_number_of_decisions_told_is_of_the_order_of_those_that_it_takes() {
    let runs = 21;
    for (rates, after) in [(vec![0.8, 0.6], 50), (vec![0.9, 0.8, 0.5, 0.3], 300), (vec![0.7, 0.7], 300)] {
        let (mut told, mut took) = (Vec::new(), Vec::new());
        for seed in 0..runs {
            let mut router = Router::new(&rates, seed);
            (0..after).for_each(|_| router.decide());
            if let Verdict::NotEnoughData { more } = confidence(&router.paths(), DELTA, FLOOR).verdict {
                told.push(more.unwrap_or(MOST));
                took.push(router.goes_on(50_000, |verdict| verdict.is_some()));
            }
        }
        told.sort_unstable();
        took.sort_unstable();
        let (told, took) = (told[told.len() / 2], took[took.len() / 2]);
        let ratio = f64::from(told) / f64::from(took);
        assert!((1.0 / 3.0..=3.0).contains(&ratio), "{rates:?} after {after}: told {told}, took {took}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_greater_gap_takes_fewer_decisions(n in 20i64..400, from in 0.5f64..0.9) {
        let good = |rate: f64| (rate * n as f64) as i64;
        let told = [0.05, 0.1, 0.2, 0.3, 0.45].map(|gap| {
            let paths = [seen(1, good(from), n, 0.5), seen(2, good(from - gap), n, 0.5)];
            more::estimate(&paths, 0, DELTA, FLOOR)
        });
        // The future is projected in steps of a fifth.
        prop_assert!(told.windows(2).all(|pair| pair[1] <= 1.25 * pair[0]), "{told:?}");
    }

    #[test]
    fn whatever_was_seen_there_is_an_answer_in_range(
        paths in prop::collection::vec((0i64..200, 0i64..200, 1e-3f64..1e4, 1e-3f64..1e4, 0f64..=1.0, 0f64..=1.0), 0..12),
        delta in -0.1f64..1.1,
        floor in 0f64..0.5,
    ) {
        let paths: Vec<Seen> = paths
            .into_iter()
            .enumerate()
            .map(|(at, (good, bad, alpha, beta, availability, share))| Seen {
                path: id(at),
                success: Beta { alpha, beta },
                availability: if availability < 0.1 { 0.0 } else { availability },
                matured: of(good, good + bad),
                share: if share < 0.2 { 0.0 } else { share },
            })
            .collect();
        let confidence = confidence(&paths, delta, floor);
        prop_assert!(!sentence(&confidence).contains("NaN"));
        for path in &confidence.paths {
            prop_assert!(
                (0.0..=1.0).contains(&path.p_best) && (0.0..=1.0).contains(&path.expected_loss),
                "{path:?}"
            );
            for Interval { low, high, .. } in [path.credible, path.guaranteed] {
                prop_assert!(0.0 <= low && low <= high && high <= 1.0, "{path:?}");
            }
        }
    }

    #[test]
    fn a_credible_interval_holds_its_share_of_a_posterior_at_the_edge(beta in 1e3f64..1e6, swap in any::<bool>()) {
        let (alpha, beta) = if swap { (beta, 0.3) } else { (0.3, beta) };
        let (low, high) = credible(Beta { alpha, beta });
        let inside = beta_reg(alpha, beta, high) - beta_reg(alpha, beta, low);
        prop_assert!((inside - LEVEL).abs() < 5e-3, "{low} {high}: {inside}");
    }

    #[test]
    fn a_credible_interval_holds_its_share_of_the_posterior(alpha in 0.3f64..5e4, beta in 0.3f64..5e4) {
        let (low, high) = credible(Beta { alpha, beta });
        let inside = beta_reg(alpha, beta, high) - beta_reg(alpha, beta, low);
        prop_assert!((inside - LEVEL).abs() < 1e-3, "{low} {high}: {inside}");
    }
}
