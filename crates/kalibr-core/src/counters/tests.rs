use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn the_number_of_blocks_grows_with_the_logarithm_of_the_epochs() {
    let blocks = |newest: u32| {
        (0..=newest).map(|e| Epoch(e).block(Epoch(newest))).collect::<std::collections::HashSet<_>>().len()
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

        prop_assert_eq!(fill(&adds), adds.iter().map(|add| (cell(add), Count::one(add.3))).collect());

        // Taking everything away again leaves no cell behind, wherever merging has put it.
        let mut counters = fill(&adds);
        for add in &shuffled {
            counters.add(cell(add), -Count::one(add.3));
        }
        prop_assert_eq!(counters.iter().count(), 0);
    }
}

/// Counters as a map would keep them: what the packed ones must be indistinguishable from.
#[derive(Default)]
struct Plain {
    cells: BTreeMap<Cell, Count>,
    newest: Epoch,
}

impl Plain {
    fn add(&mut self, cell: Cell, count: Count) {
        self.newest = self.newest.max(cell.epoch);
        let mut all: Vec<_> = std::mem::take(&mut self.cells).into_iter().collect();
        all.push((cell, count));
        for (cell, count) in all {
            *self.cells.entry(Cell { epoch: cell.epoch.block(self.newest), ..cell }).or_default() += count;
        }
        self.cells.retain(|_, count| !count.is_zero());
    }
}

proptest! {
    #[test]
    fn packed_counters_are_those_of_a_plain_map_from_either_end(
        adds in prop::collection::vec(
            (0u32..300, 0u8..6, 0u32..200, -3i64..300, prop::sample::select(vec![0, 1, 1 << 20, -(1i64 << 40)])),
            0..80,
        ),
    ) {
        let (mut packed, mut plain) = (Counters::default(), Plain::default());
        for (epoch, path, pattern, n, strength) in adds {
            let pattern = Pattern::from_bits(pattern.wrapping_mul(0x9e37_79b9));
            let cell = Cell { epoch: Epoch(epoch), path: PathId::from_bytes([path; 16]), pattern };
            let count = Count { n, score: n * strength };
            packed.add(cell, count);
            plain.add(cell, count);
            prop_assert!(packed.iter().eq(plain.cells.iter().map(|(cell, count)| (*cell, *count))));
        }
        let mut backwards: Vec<_> = packed.iter().rev().collect();
        backwards.reverse();
        prop_assert!(packed.iter().eq(backwards));
        prop_assert_eq!(packed.newest(), plain.newest);
    }
}

#[test]
fn a_quiet_goal_takes_less_than_two_kilobytes() {
    // 200 decisions on each of 4 paths over 7 days, three in ten of them with a signal: about an epoch an hour.
    let mut counters = Counters::default();
    for decision in 0u32..800 {
        let pattern = if decision % 10 < 3 { 1 + decision / 10 % 8 } else { 0 };
        let cell = Cell {
            epoch: Epoch(decision / 5),
            path: PathId::from_bytes([(decision % 4) as u8; 16]),
            pattern: Pattern::from_bits(pattern),
        };
        counters.add(cell, Count::one(if pattern % 2 == 0 { 0 } else { 1 << 20 }));
    }
    assert!(counters.heap_bytes() < 2_000, "{} for {}", counters.heap_bytes(), counters.iter().count());
}
