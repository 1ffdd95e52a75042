//! What the requests that rule out the same paths have in common is computed once per table.

use std::sync::OnceLock;

/// Masks that a table keeps: all that a goal of five paths can have. What comes after them is computed each time, until
/// the next refresh makes a new table.
const KEPT: usize = 32;

/// The weights of the masks that were asked for. Nobody waits for a writer: what is not there yet is computed by whoever
/// needs it, and the first to be done leaves it for the others.
#[derive(Debug, Clone, Default)]
pub(super) struct Masks(OnceLock<Box<[OnceLock<Masked>]>>);

#[derive(Debug, Clone)]
struct Masked {
    mask: Box<[bool]>,
    weights: Box<[f64]>,
}

/// What was asked of a table so far says nothing about what it is.
impl PartialEq for Masks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Masks {
    /// The weights of this mask; `compute` must give the same whenever it is called for it.
    pub(super) fn weights(&self, mask: &[bool], compute: impl FnOnce() -> Vec<f64>) -> Vec<f64> {
        let slots = self.0.get_or_init(|| (0..KEPT).map(|_| OnceLock::new()).collect());
        // They are filled in turn, so that the first empty one ends the search.
        if let Some(found) = slots.iter().map_while(OnceLock::get).find(|kept| *kept.mask == *mask) {
            return found.weights.to_vec();
        }
        let weights = compute();
        let mut masked = Masked { mask: mask.into(), weights: weights.as_slice().into() };
        for slot in slots {
            match slot.set(masked) {
                Ok(()) => break,
                Err(_) if slot.get().is_some_and(|kept| *kept.mask == *mask) => break,
                Err(back) => masked = back,
            }
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_mask_is_computed_once_and_beyond_the_last_slot_each_time() {
        let masks = Masks::default();
        let computed = Cell::new(0);
        let ask = |number: usize| {
            let mask: Vec<bool> = (0..8).map(|bit| number >> bit & 1 == 1).collect();
            masks.weights(&mask, || {
                computed.set(computed.get() + 1);
                vec![number as f64]
            })
        };
        for _ in 0..3 {
            (0..KEPT).for_each(|number| assert_eq!(ask(number), [number as f64]));
        }
        assert_eq!(computed.get(), KEPT);
        (0..2).for_each(|_| assert_eq!(ask(KEPT), [KEPT as f64]));
        assert_eq!((computed.get(), ask(3)), (KEPT + 2, vec![3.0]));
    }

    #[test]
    fn threads_that_ask_at_once_get_the_same() {
        let masks = Masks::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in (0..200).map(|i| i % 40) {
                        let mask: Vec<bool> = (0..6).map(|bit| number >> bit & 1 == 1).collect();
                        assert_eq!(masks.weights(&mask, || vec![f64::from(number)]), [f64::from(number)]);
                    }
                });
            }
        });
        let kept: Vec<_> = masks.0.get().unwrap().iter().filter_map(OnceLock::get).collect();
        assert!(kept.iter().enumerate().all(|(at, a)| kept[..at].iter().all(|b| a.mask != b.mask)));
    }
}
