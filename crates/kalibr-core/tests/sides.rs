//! A decision teaches the same of its path whoever chose it: the holdout or the router.

use kalibr_core::counters::{Cell, Count, Counters, Epoch};
use kalibr_core::evidence::{Register, Signal, Source, Strength, Value};
use kalibr_core::ids::{PathId, SignalId, Timestamp};
use kalibr_core::outcome::Reply;
use kalibr_core::posterior::{LearnerConfig, Subject, posteriors};
use kalibr_core::reliability::Reliability;
use kalibr_core::safety::{Side, Sides};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_believed_is_the_same_whichever_decisions_were_held_out(
        decisions in prop::collection::vec((0u32..40, 0u8..2, 0usize..5, 0usize..4, 0u8..3), 0..200),
    ) {
        let said = [
            None,
            Some((Source::Explicit, Value::UserAccepted)),
            Some((Source::Turn, Value::Rejection)),
            Some((Source::Turn, Value::Acceptance)),
            Some((Source::Judge, Value::Failed)),
        ];
        let replies = [Reply::Unknown, Reply::Answered, Reply::Failed, Reply::Refused];
        let (mut plain, mut marked, mut sides) = (Counters::default(), Counters::default(), Sides::default());
        let mut graded = Sides::default();
        for (epoch, path, said_index, reply, side) in decisions {
            let mut register = Register::default();
            register.reply(replies[reply]);
            if let Some((source, value)) = said[said_index] {
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
            let score = register.winner().map_or(0, |(_, strength)| strength.units());
            let side = Side::from_code(side);
            let path = PathId::from_bytes([path; 16]);
            let cell = Cell { epoch: Epoch(epoch), path, pattern: register.pattern() };
            plain.add(cell, Count::one(score));
            let pattern = cell.pattern.on(side);
            marked.add(Cell { pattern, ..cell }, Count::one(score));
            sides.add(pattern, Count::one(score));
            match side.filter(|_| register.winner().is_some()) {
                Some(Side::HeldOut) => graded.baseline += Count::one(score),
                Some(Side::Router) => graded.router += Count::one(score),
                None => {}
            }
        }
        let paths = [0, 1].map(|n| PathId::from_bytes([n; 16]));
        let subjects = paths.map(Subject::unknown);
        let table = |counters| {
            posteriors(counters, &subjects, &Reliability::default(), &LearnerConfig::default())
        };
        prop_assert_eq!(table(&plain), table(&marked));
        prop_assert_eq!(sides, graded);
    }
}
