//! Trace ids: fresh, and guessed by nobody.
//!
//! Who knows the id of a decision may grade it, so an id must not follow from others: they come from a cipher's stream
//! that each thread seeds from the system. The stream belongs to one engine: after a `fork`, where a child has its
//! parent's threads' memory, it has an engine of its own, and so streams of its own.

use std::cell::RefCell;

use kalibr_core::ids::TraceId;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

thread_local! {
    /// The stream of this thread, and whose it is.
    static STREAM: RefCell<Option<(u64, StdRng)>> = const { RefCell::new(None) };
}

/// The source of an engine's trace ids.
#[derive(Debug)]
pub(crate) struct Traces {
    engine: u64,
}

impl Traces {
    pub(crate) fn new() -> Self {
        Self { engine: from_system() }
    }

    /// A fresh trace id.
    pub(crate) fn next(&self) -> TraceId {
        STREAM.with_borrow_mut(|stream| {
            let (_, rng) = match stream {
                Some(own) if own.0 == self.engine => own,
                other => other.insert((self.engine, seeded())),
            };
            loop {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                if bytes != [0; 16] {
                    return TraceId::from_bytes(bytes);
                }
            }
        })
    }
}

fn seeded() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::from_rng(&mut rand::rng()))
}

/// A random number that a child after a `fork` does not share with its parent, as it does the process's own generator.
pub(crate) fn from_system() -> u64 {
    SysRng.try_next_u64().unwrap_or_else(|_| rand::random())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_ids_are_alike_among_threads_and_engines() {
        let (one, other) = (Traces::new(), Traces::new());
        let ids = std::thread::scope(|scope| {
            let draw = || (0..500).flat_map(|_| [one.next(), other.next(), one.next()]).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn an_engine_that_was_opened_after_a_fork_goes_on_in_no_stream_of_its_parent() {
        // A fork copies the thread's memory: the same stream, of another engine.
        let parent = Traces::new();
        let fork = || STREAM.set(Some((parent.engine, StdRng::seed_from_u64(1))));
        fork();
        let of_parent = parent.next();
        fork();
        assert_eq!(parent.next(), of_parent);
        fork();
        assert_ne!(Traces::new().next(), of_parent);
    }
}
