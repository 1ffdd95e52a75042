//! Facts for tests, with everything that a test does not speak of filled in.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use kalibr_core::counters::Epoch;
use kalibr_core::evidence::{Signal, Source, Strength, Value};
use kalibr_core::ids::{Bucket, Goal, KeyedHash, PathId, SignalId, Timestamp, TraceId};
use kalibr_core::outcome::Reply;
use kalibr_core::path::PathSpec;
use kalibr_store::*;

pub fn goal(ledger: &dyn Ledger) -> GoalRecord {
    let paths = [PathSpec::model("a").unwrap(), PathSpec::model("b").unwrap()];
    ledger
        .put_goal(&Goal::new("g").unwrap(), Some("{}"), &paths, PathUpdate::Replace, Timestamp(0))
        .unwrap()
        .0
}

pub fn trace(n: u32) -> TraceId {
    format!("{:032x}", n + 1).parse().unwrap()
}

pub fn path(model: &str) -> PathId {
    PathSpec::model(model).unwrap().id()
}

pub fn session(n: u8) -> KeyedHash {
    KeyedHash::from_bytes([n + 1; 16])
}

pub fn decision(goal: GoalId, n: u32, session: Option<KeyedHash>, at: i64) -> DecisionFact {
    DecisionFact {
        trace: trace(n),
        goal,
        pipeline: None,
        bucket: Bucket::default(),
        epoch: Epoch(n / 4),
        kind: DecisionKind::Routed,
        path: path(if n.is_multiple_of(2) { "a" } else { "b" }),
        propensity: 0.5,
        table_version: 1,
        considered: [].into(),
        model: None,
        session,
        user: None,
        marks: Marks::default(),
        at: Timestamp(at),
    }
}

pub fn attempt(n: u32, index: u16, reply: Reply) -> AttemptFact {
    AttemptFact {
        trace: trace(n),
        index,
        path: path(if (n + u32::from(index)).is_multiple_of(2) { "a" } else { "b" }),
        reply,
        category: None,
        status: Some(200),
        prompt_tokens: None,
        completion_tokens: None,
        latency_ms: Some(5),
        at: Timestamp(0),
    }
}

pub fn signal(id: &str, about: About, source: Source, value: Value, at: i64) -> SignalFact {
    SignalFact {
        signal: Signal {
            id: SignalId::new(id).unwrap(),
            source,
            value,
            strength: value.default_strength(),
            confidence: Strength::ONE,
            at: Timestamp(at),
            attempt: None,
        },
        about,
        received_at: Timestamp(at),
    }
}

pub fn accepted(id: &str, n: u32) -> Fact {
    Fact::Signal(signal(id, About::Trace(trace(n)), Source::Explicit, Value::UserAccepted, 10))
}

/// All counters, in order.
pub fn counters(ledger: &dyn Ledger) -> Vec<CounterRow> {
    let mut rows = Vec::new();
    ledger
        .snapshot(&mut |piece| {
            if let Piece::Counters(scope, cells) = piece {
                rows.extend(cells.into_iter().map(|(cell, count)| CounterRow {
                    scope: scope.clone(),
                    cell,
                    count,
                }));
            }
        })
        .unwrap();
    assert!(rows.is_sorted_by_key(|row| (row.scope.clone(), row.cell)));
    rows
}

/// The last change that a snapshot contains.
pub fn last_change(ledger: &dyn Ledger) -> i64 {
    ledger.snapshot(&mut |_| {}).unwrap()
}

/// Erases all of it.
pub fn erase(ledger: &dyn Ledger, whose: &Whose) -> Held {
    let mut held = Held::default();
    loop {
        let erased = ledger.erase(whose, Timestamp(0)).unwrap();
        held += erased.held;
        if !erased.more {
            assert_eq!(erased.seq, last_change(ledger));
            return held;
        }
    }
}
