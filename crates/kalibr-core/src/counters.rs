//! The integers from which everything learned derives.
//!
//! A decision counts in the epoch in which it was *made*, under the pattern of what is known of it now. When that
//! changes, one decision moves from one pattern to another: -1 here, +1 there. So a success that is revised to a failure
//! two days later leaves exactly the state that "failure from the start" would have left, arrival order never matters,
//! and the counters of two processes merge by addition.
//!
//! Memory is bounded by merging old epochs, see [`Epoch::block`], and by keeping what is left in few bytes.

mod runs;

use std::ops::{Add, AddAssign, Neg};

use serde::{Deserialize, Serialize};

use crate::evidence::{Pattern, Strength};
use crate::ids::PathId;
use runs::Run;

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
        let level = self.level(newest);
        Self(((u64::from(self.0) >> level) << level) as u32)
    }

    /// The last epoch of that block.
    pub fn last(self, newest: Self) -> Self {
        let level = self.level(newest);
        Self(((((u64::from(self.0) >> level) + 1) << level) - 1) as u32)
    }

    /// The block of this epoch has 2 to this power epochs.
    fn level(self, newest: Self) -> u32 {
        let (epoch, newest) = (u64::from(self.0), u64::from(newest.0));
        let merged = |level: u32| (((epoch >> level) + 1) << level) - 1 + (Self::KEPT << level) <= newest;
        let mut level = 0;
        while merged(level + 1) {
            level += 1;
        }
        level
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

/// The score of one attempt that served in full.
const UNITS: i64 = Strength::UNITS as i64;

/// How often, and with what total strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
///
/// Two are equal when they count the same, however they came to it:
///
/// ```
/// use kalibr_core::counters::{Cell, Count, Counters, Epoch};
/// use kalibr_core::evidence::Pattern;
/// use kalibr_core::ids::PathId;
///
/// let cell = |path| Cell { epoch: Epoch(3), path: PathId::from_bytes([path; 16]), pattern: Pattern::PENDING };
/// let mut counters = Counters::default();
/// counters.add(cell(2), Count::one(0));
/// counters.add(cell(1), Count::one(0));
/// counters.add(cell(2), -Count::one(0));
/// assert_eq!(counters, [(cell(1), Count::one(0))].into_iter().collect());
/// ```
#[derive(Clone, Default)]
pub struct Counters {
    newest: Epoch,
    /// What the entries' path numbers stand for.
    paths: Vec<PathId>,
    /// What the entries' pattern numbers stand for.
    patterns: Vec<Pattern>,
    /// All cells that are not zero: see [`runs`].
    bytes: Vec<u8>,
}

impl Counters {
    /// Adds to a cell; a negative count takes away what was added before.
    ///
    /// Takes about a microsecond whatever the number of epochs, and time in proportion to all cells once in every few
    /// epochs, when old ones merge.
    pub fn add(&mut self, cell: Cell, count: Count) {
        if cell.epoch > self.newest {
            self.newest = cell.epoch;
            self.merge();
        }
        let epoch = cell.epoch.block(self.newest);
        let (path, pattern) = (number(&mut self.paths, cell.path), number(&mut self.patterns, cell.pattern));
        let run = runs::runs(&self.bytes).find(|run| run.epoch >= epoch);
        let run = match run {
            Some(run) if run.epoch == epoch => run,
            later => {
                let at = later.map_or(self.bytes.len(), |run| run.whole.start);
                Run { epoch, whole: at..at, body: at..at }
            }
        };
        let place = runs::entries(&self.bytes, run.body.clone()).find(|entry| {
            (self.paths[entry.path], self.patterns[entry.pattern]) >= (cell.path, cell.pattern)
        });
        let (at, total) = match place {
            Some(entry) if (entry.path, entry.pattern) == (path, pattern) => (entry.at, entry.count + count),
            later => {
                let at = later.map_or(run.body.end, |entry| entry.at.start);
                (at..at, count)
            }
        };
        let mut entry = Vec::with_capacity(24);
        if !total.is_zero() {
            runs::write_entry(path, pattern, total, &mut entry);
        }
        let length = run.body.len() - at.len() + entry.len();
        let head = run.whole.start..run.body.start;
        // Back to front, so that the places found before still hold.
        runs::replace(&mut self.bytes, at, &entry);
        if length != run.body.len() {
            entry.clear();
            if length > 0 {
                runs::write_head(epoch, length, &mut entry);
            }
            runs::replace(&mut self.bytes, head, &entry);
        }
        if self.bytes.is_empty() {
            self.paths.clear();
            self.patterns.clear();
        }
    }

    /// The cells that are not zero, oldest epoch first; within an epoch in the order of cells, so that sums of floats
    /// over them do not depend on the order of arrival.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Cell, Count)> + '_ {
        let runs: Vec<Run> = runs::runs(&self.bytes).collect();
        runs.into_iter().flat_map(|run| self.cells(&run).collect::<Vec<_>>())
    }

    /// As [`Counters::iter`], whichever side decisions were made on: what there is to learn from. Fewer than no attempts,
    /// or more success than attempts, are what a damaged ledger counts: the first are left out, the second cut.
    pub fn evidence(&self) -> impl DoubleEndedIterator<Item = (Cell, Count)> + '_ {
        let marked = self.patterns.iter().any(|pattern| pattern.side().is_some());
        let runs: Vec<Run> = runs::runs(&self.bytes).collect();
        runs.into_iter().flat_map(move |run| {
            let mut cells: Vec<_> = self.cells(&run).collect();
            if marked {
                for (cell, _) in &mut cells {
                    cell.pattern = cell.pattern.evidence();
                }
                cells.sort_by_key(|(cell, _)| (cell.path, cell.pattern));
                cells.dedup_by(|(cell, count), (kept, total)| {
                    let same = (cell.path, cell.pattern) == (kept.path, kept.pattern);
                    if same {
                        *total += *count;
                    }
                    same
                });
            }
            cells.retain_mut(|(_, Count { n, score })| {
                *score = (*score).clamp(0, n.saturating_mul(UNITS).max(0));
                *n > 0
            });
            cells
        })
    }

    /// The newest epoch that anything was ever counted in.
    pub fn newest(&self) -> Epoch {
        self.newest
    }

    /// Bytes of memory behind these counters, besides the value itself.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.paths.capacity() * size_of::<PathId>()
            + self.patterns.capacity() * size_of::<Pattern>()
    }

    fn cells<'a>(&'a self, run: &Run) -> impl Iterator<Item = (Cell, Count)> + use<'a> {
        let epoch = run.epoch;
        runs::entries(&self.bytes, run.body.clone()).map(move |entry| {
            let (path, pattern) = (self.paths[entry.path], self.patterns[entry.pattern]);
            (Cell { epoch, path, pattern }, entry.count)
        })
    }

    /// Merges the blocks that are due.
    fn merge(&mut self) {
        let newest = self.newest;
        let runs: Vec<Run> = runs::runs(&self.bytes).collect();
        if runs.iter().all(|run| run.epoch.block(newest) == run.epoch) {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let old = Self { bytes, paths: self.paths.clone(), patterns: self.patterns.clone(), newest };
        self.bytes.reserve_exact(old.bytes.len());
        // Blocks are stretches of epochs, so the runs that merge are neighbours.
        for block in runs.chunk_by(|a, b| a.epoch.block(newest) == b.epoch.block(newest)) {
            let epoch = block[0].epoch.block(newest);
            match block {
                [run] if run.epoch == epoch => self.bytes.extend_from_slice(&old.bytes[run.whole.clone()]),
                _ => {
                    let mut cells: Vec<_> = block.iter().flat_map(|run| old.cells(run)).collect();
                    self.append(epoch, &mut cells);
                }
            }
        }
    }

    /// Appends these cells, which are sorted first, as the run of one epoch.
    fn append(&mut self, epoch: Epoch, cells: &mut [(Cell, Count)]) {
        cells.sort_unstable_by_key(|(cell, _)| (cell.path, cell.pattern));
        let mut entries = Vec::with_capacity(cells.len() * 3);
        for same in cells.chunk_by(|(a, _), (b, _)| (a.path, a.pattern) == (b.path, b.pattern)) {
            let total = same.iter().fold(Count::default(), |sum, (_, count)| sum + *count);
            if !total.is_zero() {
                let (path, pattern) = (same[0].0.path, same[0].0.pattern);
                let numbers = (number(&mut self.paths, path), number(&mut self.patterns, pattern));
                runs::write_entry(numbers.0, numbers.1, total, &mut entries);
            }
        }
        if !entries.is_empty() {
            runs::write_head(epoch, entries.len(), &mut self.bytes);
            self.bytes.extend_from_slice(&entries);
        }
    }
}

/// The number of an item: its place in the list, which it joins if it is new. Lists are short (paths of a goal, patterns
/// that occur), so a look through is quicker than a map, and takes no memory.
fn number<T: Copy + PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.reserve_exact(1 + list.len() / 4);
        list.push(item);
        list.len() - 1
    })
}

/// Counts all of these together: as adding one after the other, and quicker.
impl FromIterator<(Cell, Count)> for Counters {
    fn from_iter<I: IntoIterator<Item = (Cell, Count)>>(cells: I) -> Self {
        let mut cells: Vec<(Cell, Count)> = cells.into_iter().collect();
        let newest = cells.iter().map(|(cell, _)| cell.epoch).max().unwrap_or_default();
        cells.sort_by_key(|(cell, _)| cell.epoch);
        let mut counters = Self { newest, ..Self::default() };
        let block = |cell: &Cell| cell.epoch.block(newest);
        for same in cells.chunk_by_mut(|(a, _), (b, _)| block(a) == block(b)) {
            counters.append(block(&same[0].0), same);
        }
        counters.bytes.shrink_to_fit();
        counters
    }
}

impl PartialEq for Counters {
    fn eq(&self, other: &Self) -> bool {
        self.newest == other.newest && self.iter().eq(other.iter())
    }
}

impl Eq for Counters {}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Counters up to {:?}: ", self.newest)?;
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
