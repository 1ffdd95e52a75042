//! What was erased is in no byte of any file.

mod common;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use common::{counters, decision, erase, goal, path, signal};
use kalibr_core::evidence::{Source, Value};
use kalibr_core::ids::{KeyedHash, SignalId, Timestamp, TraceId};
use kalibr_store::*;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

const SECOND: i64 = 1_000_000;

fn open() -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    assert_eq!(goal(&ledger).id, GoalId(1));
    (folder, ledger)
}

/// Which of these, of 16 bytes at least, are in any file of the folder. All are looked for in one go.
fn found<'n>(folder: &Path, needles: impl IntoIterator<Item = &'n [u8]>) -> Vec<&'n [u8]> {
    let mut by_head: HashMap<[u8; 8], Vec<&[u8]>> = HashMap::new();
    for needle in needles {
        by_head.entry(needle[..8].try_into().unwrap()).or_default().push(needle);
    }
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for (at, head) in bytes.windows(8).enumerate() {
            let same =
                by_head.get(head).into_iter().flatten().filter(|needle| bytes[at..].starts_with(needle));
            found.extend(same.copied());
        }
    }
    found.into_iter().collect()
}

fn holds(folder: &Path, needle: &[u8]) -> bool {
    !found(folder, [needle]).is_empty()
}

/// A run with its signal and its text.
type Said = (TraceId, SignalId, String);

/// Many runs of some users in random order, so that pages are split and merged; returns each user's hash, its session's, and
/// its runs.
fn crowd(ledger: &SqliteLedger, seed: u64) -> Vec<(KeyedHash, KeyedHash, Vec<Said>)> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut users: Vec<(KeyedHash, KeyedHash, Vec<_>)> = (0..16)
        .map(|_| (KeyedHash::from_bytes(random.random()), KeyedHash::from_bytes(random.random()), Vec::new()))
        .collect();
    for round in 0..24 {
        let mut facts = Vec::new();
        for _ in 0..50 {
            let which = random.random_range(0..users.len());
            let (user, session, runs) = &mut users[which];
            let trace = TraceId::from_bytes(random.random());
            let id = SignalId::new(&format!("{:032x}", random.random::<u128>())).unwrap();
            let text = format!("{:x}", random.random::<u128>());
            let about = if random.random() { About::Trace(trace) } else { About::Session(*session) };
            let at = Timestamp(round * SECOND);
            facts.push(Fact::Decision(Box::new(DecisionFact {
                trace,
                user: Some(*user),
                at,
                considered: vec![
                    Considered {
                        path: path("a"),
                        propensity: 0.5,
                        expected: 0.5,
                        graded: 3,
                        not_eligible: Some("x".repeat(random.random_range(0..900))),
                    };
                    random.random_range(1..8)
                ]
                .into(),
                ..decision(GoalId(1), random.random_range(0..200), Some(*session), 0)
            })));
            facts.push(Fact::Signal(SignalFact {
                signal: kalibr_core::evidence::Signal {
                    id: id.clone(),
                    at,
                    ..signal("s", about, Source::Explicit, Value::UserAccepted, 0).signal
                },
                about,
                received_at: at,
            }));
            let text_fact = TextFact {
                kind: TextKind::Prompt,
                text: text.clone(),
                about: About::Trace(trace),
                signal: None,
                event_at: at,
                at,
                until: at,
            };
            facts.push(Fact::Text(Box::new(text_fact)));
            if random.random_bool(0.3) {
                facts.push(Fact::Withdrawal(id.clone(), at));
            }
            runs.push((trace, id, text));
        }
        facts.shuffle(&mut random);
        ledger.commit(&facts).unwrap();
    }
    users
}

/// All by which these runs could be known.
fn marks(runs: &[Said]) -> impl Iterator<Item = &[u8]> {
    runs.iter()
        .flat_map(|(trace, id, text)| [trace.as_bytes().as_slice(), id.as_str().as_bytes(), text.as_bytes()])
}

#[test]
fn no_byte_of_what_was_erased_is_left_in_any_file() {
    for (seed, by_session) in [(1, false), (2, true)] {
        let (folder, ledger) = open();
        let mut users = crowd(&ledger, seed);
        let (user, session, runs) = users.pop().unwrap();
        let all: Vec<&[u8]> =
            marks(&runs).chain([user.as_bytes().as_slice(), session.as_bytes().as_slice()]).collect();
        assert!(runs.len() > 50);
        assert_eq!(found(folder.path(), all.iter().copied()).len(), all.len());
        let whose = if by_session { Whose::Session(session) } else { Whose::User(user) };
        assert_eq!(erase(&ledger, &whose).decisions, runs.len() as u64);
        assert!(ledger.scrub().unwrap());
        // While it is in use, and not only once it was closed.
        assert_eq!(found(folder.path(), all), Vec::<&[u8]>::new());
        let (other, _, theirs) = &users[0];
        assert!(holds(folder.path(), other.as_bytes()) && holds(folder.path(), theirs[0].0.as_bytes()));
        assert_eq!(ledger.recount(false).unwrap().wrong, 0);
    }
}

#[test]
fn no_byte_of_an_expired_text_or_run_is_left_in_any_file() {
    let (folder, ledger) = open();
    let all: Vec<_> = crowd(&ledger, 3).into_iter().flat_map(|(_, _, runs)| runs).collect();
    while ledger.erase_texts(Timestamp(60 * SECOND), Timestamp(0)).unwrap() {}
    assert!(ledger.scrub().unwrap());
    assert_eq!(found(folder.path(), all.iter().map(|(_, _, text)| text.as_bytes())), Vec::<&[u8]>::new());
    assert!(holds(folder.path(), all[0].0.as_bytes()));
    erase(&ledger, &Whose::Before(Timestamp(60 * SECOND)));
    assert!(ledger.scrub().unwrap());
    assert_eq!(found(folder.path(), marks(&all)), Vec::<&[u8]>::new());
    assert!(counters(&ledger).is_empty());
}

#[test]
fn a_file_of_a_version_that_did_not_overwrite_has_leftovers_until_it_is_scrubbed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let old = rusqlite::Connection::open(&file).unwrap();
    old.pragma_update(None, "secure_delete", false).unwrap();
    old.execute_batch(include_str!("../src/sqlite/schema.sql")).unwrap();
    old.execute_batch(include_str!("../src/sqlite/safety.sql")).unwrap();
    let left = [0xabu8; 16];
    old.execute_batch(
        "PRAGMA user_version = 2;
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 900)
         INSERT INTO anchors SELECT x'abababababababababababababababab', randomblob(16), n FROM n;
         DELETE FROM anchors;",
    )
    .unwrap();
    drop(old);
    assert!(holds(folder.path(), &left));
    let ledger = SqliteLedger::open(&file).unwrap();
    assert!(ledger.scrub().unwrap());
    assert!(!holds(folder.path(), &left));
}
