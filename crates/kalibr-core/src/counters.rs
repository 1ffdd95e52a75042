//! The integers from which everything learned derives.
//!
//! A decision counts in the epoch in which it was *made*, under the pattern of what is known of it now. When that
//! changes, one decision moves from one pattern to another: -1 here, +1 there. So a success that is revised to a failure
//! two days later leaves exactly the state that "failure from the start" would have left, arrival order never matters,
//! and the counters of two processes merge by addition.
//!
//! Memory is bounded by merging old epochs: see [`Epoch::block`].

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign, Neg};

use crate::evidence::Pattern;
use crate::ids::PathId;

/// A stretch of a goal's decisions, fixed when the decision is made; greater is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// Decisions after which an epoch closes: small against the half-life, so that forgetting stays smooth.
    pub const DECISIONS: u32 = 25;
    /// Microseconds after which an epoch closes even if it is not full.
    pub const MICROS: i64 = 3_600_000_000;
    /// Epochs of each size that are kept apart before they merge: an age is then known to 1/16.
    const KEPT: u64 = 16;

    /// The first epoch of the block that this epoch has merged into when `newest` is the newest.
    ///
    /// An exponential histogram: blocks are aligned runs of 2^k epochs, and a run merges once it lies 16 times its own
    /// length behind. The rule looks at the two numbers alone, so a replay merges alike, and blocks only ever nest, so
    /// merging twice is merging once:
    ///
    /// ```
    /// use kalibr_core::counters::Epoch;
    ///
    /// assert_eq!(Epoch(7).block(Epoch(20)), Epoch(7));
    /// assert_eq!(Epoch(7).block(Epoch(100)), Epoch(4));
    /// assert_eq!(Epoch(4).block(Epoch(1000)), Epoch(7).block(Epoch(1000)));
    /// ```
    pub fn block(self, newest: Self) -> Self {
        let (epoch, newest) = (u64::from(self.0), u64::from(newest.0));
        let merged = |level: u32| (((epoch >> level) + 1) << level) - 1 + (Self::KEPT << level) <= newest;
        let mut level = 0;
        while merged(level + 1) {
            level += 1;
        }
        Self(((epoch >> level) << level) as u32)
    }
}

/// Where a decision counts, within one goal, pipeline and bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// When the decision was made.
    pub epoch: Epoch,
    /// Which path was called.
    pub path: PathId,
    /// What is known of it.
    pub pattern: Pattern,
}

/// How often, and with what total strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Attempts.
    pub n: i64,
    /// Sum of the winning strengths, in units of 2^-20.
    pub score: i64,
}

impl Count {
    /// One attempt of this strength.
    pub fn one(score: u32) -> Self {
        Self { n: 1, score: i64::from(score) }
    }

    /// Whether nothing is counted.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl Add for Count {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { n: self.n + other.n, score: self.score + other.score }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Count {
    type Output = Self;
    fn neg(self) -> Self {
        Self { n: -self.n, score: -self.score }
    }
}

/// The counters of one goal, pipeline and bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    cells: BTreeMap<Cell, Count>,
    newest: Epoch,
}

impl Counters {
    /// Adds to a cell; a negative count takes away what was added before.
    pub fn add(&mut self, cell: Cell, count: Count) {
        if cell.epoch > self.newest {
            self.newest = cell.epoch;
            self.merge();
        }
        self.add_merged(cell, count);
    }

    /// The cells that are not zero, oldest epoch first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Cell, Count)> + '_ {
        self.cells.iter().map(|(cell, count)| (*cell, *count))
    }

    /// The newest epoch that anything was ever counted in.
    pub fn newest(&self) -> Epoch {
        self.newest
    }

    fn add_merged(&mut self, cell: Cell, count: Count) {
        let cell = Cell { epoch: cell.epoch.block(self.newest), ..cell };
        let total = self.cells.entry(cell).or_default();
        *total += count;
        if total.is_zero() {
            self.cells.remove(&cell);
        }
    }

    fn merge(&mut self) {
        let newest = self.newest;
        let moving: Vec<Cell> =
            self.cells.keys().filter(|cell| cell.epoch.block(newest) != cell.epoch).copied().collect();
        for cell in moving {
            if let Some(count) = self.cells.remove(&cell) {
                self.add_merged(cell, count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_number_of_blocks_grows_with_the_logarithm_of_the_epochs() {
        let blocks = |newest: u32| {
            (0..=newest)
                .map(|e| Epoch(e).block(Epoch(newest)))
                .collect::<std::collections::HashSet<_>>()
                .len()
        };
        assert_eq!(blocks(15), 16);
        assert!(blocks(1_000) < 150, "{}", blocks(1_000));
        assert!(blocks(100_000) < 300, "{}", blocks(100_000));
    }

    proptest! {
        #[test]
        fn blocks_nest_so_merging_step_by_step_is_merging_at_once(e in 0u32..5_000, a in 0u32..5_000, b in 0u32..5_000) {
            let (first, then) = (e.max(a), e.max(a).max(b));
            let stepwise = Epoch(e).block(Epoch(first)).block(Epoch(then));
            prop_assert_eq!(stepwise, Epoch(e).block(Epoch(then)));
        }

        #[test]
        fn a_block_is_never_longer_than_a_sixteenth_of_its_age(e in 0u32..100_000, ahead in 0u32..100_000) {
            let newest = Epoch(e + ahead);
            let start = Epoch(e).block(newest);
            prop_assert!(start.0 <= e);
            prop_assert!(u64::from(e - start.0) * 16 <= u64::from(newest.0 - start.0));
        }

        #[test]
        fn counters_do_not_depend_on_the_order_of_additions(
            adds in prop::collection::vec((0u32..400, 0u8..3, 0u32..3, 0u32..5), 0..60),
            shuffle in any::<u64>(),
        ) {
            let cell = |&(epoch, path, pattern, _): &(u32, u8, u32, u32)| Cell {
                epoch: Epoch(epoch),
                path: PathId::from_bytes([path; 16]),
                pattern: Pattern::from_bits(pattern),
            };
            let fill = |adds: &[(u32, u8, u32, u32)]| {
                let mut counters = Counters::default();
                for add in adds {
                    counters.add(cell(add), Count::one(add.3));
                }
                counters
            };
            let mut shuffled = adds.clone();
            use rand::seq::SliceRandom;
            use rand::SeedableRng;
            shuffled.shuffle(&mut rand::rngs::StdRng::seed_from_u64(shuffle));
            prop_assert_eq!(fill(&adds), fill(&shuffled));

            // Taking everything away again leaves no cell behind, wherever merging has put it.
            let mut counters = fill(&adds);
            for add in &shuffled {
                counters.add(cell(add), -Count::one(add.3));
            }
            prop_assert_eq!(counters.iter().count(), 0);
        }
    }
}
