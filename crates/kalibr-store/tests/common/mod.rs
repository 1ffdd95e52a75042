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

/// How long a session is quiet before it has ended.
pub const IDLE: i64 = 8;

/// What a session says by these steps, made up so that it depends on all of them: each message says what its own numbers
/// and the number of runs before it say, and the last one before a break also whether a run came after it.
pub fn ended(trail: SessionTrail, now: i64) -> Fact {
    let (mut signs, mut through) = (Vec::new(), Timestamp(i64::MIN));
    let mut sign = |kind: &str, at: Timestamp, value: Value| {
        let id = format!("{kind}-{}-{}", trail.session, at.0);
        signs.push(signal(&id, About::Session(trail.session), Source::SessionEnd, value, at.0).signal);
    };
    let steps = &trail.steps;
    let breaks = |i: usize| {
        let next = steps.get(i + 1).map_or(now, |(at, _)| at.0);
        steps[i].1 == SessionStep::End || next - steps[i].0.0 >= IDLE
    };
    let open = (0..steps.len()).rev().take_while(|i| !breaks(*i)).count();
    let over = &steps[..steps.len() - open];
    for (i, (at, step)) in over.iter().enumerate() {
        let runs = over[..i].iter().filter(|(_, step)| *step == SessionStep::Run).count();
        match step {
            SessionStep::Run => {}
            SessionStep::Message { acceptance, rejection } => {
                through = *at;
                let up = (usize::from(*acceptance) + runs).is_multiple_of(2);
                sign("momentum", *at, if up { Value::MomentumUp } else { Value::MomentumDown });
                if rejection.is_multiple_of(2) && breaks(i) {
                    sign("session_end", *at, Value::EndedBadly);
                }
            }
            SessionStep::End => through = *at,
        }
    }
    // Of two messages of one moment one speaks.
    signs.sort_by(|a, b| a.id.cmp(&b.id));
    signs.dedup_by(|a, b| a.id == b.id);
    Fact::Ended(Box::new(EndedFact { trail, through, signs, received_at: Timestamp(now) }))
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
