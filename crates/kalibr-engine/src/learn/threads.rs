//! Work on many things at once, where a process has nothing else to do: while it starts.

/// With fewer things to do than this a thread is more work to start than it does.
const WORTH_A_THREAD: usize = 64;

/// What `work` makes of each item, in their order, on at most so many threads.
pub(super) fn side_by_side<T: Send, R: Send>(
    mut items: Vec<T>,
    threads: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if threads < 2 || items.len() < WORTH_A_THREAD {
        return items.into_iter().map(work).collect();
    }
    let (work, size) = (&work, items.len().div_ceil(threads));
    std::thread::scope(|scope| {
        let mut parts = Vec::with_capacity(threads);
        while !items.is_empty() {
            let part = items.split_off(items.len().saturating_sub(size));
            parts.push(scope.spawn(move || part.into_iter().map(work).collect::<Vec<R>>()));
        }
        let join = |part: std::thread::ScopedJoinHandle<'_, Vec<R>>| {
            part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        parts.into_iter().rev().flat_map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_however_many_threads_the_results_come_in_the_order_of_the_items() {
        for (threads, items) in [(1, 500), (2, 500), (3, 65), (7, 64), (200, 100), (4, 3), (4, 0)] {
            let done = side_by_side((0..items).collect(), threads, |item| item * 2);
            assert_eq!(done, (0..items).map(|item| item * 2).collect::<Vec<_>>(), "{threads} threads");
        }
    }
}
