//! Reads something for each of many items, several at once where the source has threads for it: each item is another place of the
//! store.

use std::sync::{Mutex, PoisonError};

use crate::stored::source::{Source, Unreadable};

/// So few items are read by one thread: to have another one read half of them costs as much.
const FEW: usize = 16;
/// Items of one part.
const PART: usize = 4;

/// Items that one thread reads, and what it has found.
struct Part<'a, T, R> {
    items: &'a [T],
    found: Mutex<Result<Vec<R>, Unreadable>>,
}

/// What was read for each item, in their order.
pub(crate) fn read<T: Sync, R: Send>(
    source: &dyn Source,
    items: &[T],
    read: impl Fn(&dyn Source, &T) -> Result<R, Unreadable> + Sync,
) -> Result<Vec<R>, Unreadable> {
    if items.len() <= FEW {
        return items.iter().map(|item| read(source, item)).collect();
    }
    let parts = items.chunks(PART).map(|items| Part {
        items,
        found: Mutex::new(Err(Unreadable)),
    });
    let parts: Vec<Part<'_, T, R>> = parts.collect();
    source.in_parts(parts.len(), &|source, number| {
        let part = &parts[number];
        let found = part.items.iter().map(|item| read(source, item)).collect();
        *part.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    });
    let mut all = Vec::with_capacity(items.len());
    for part in parts {
        all.extend(
            part.found
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)?,
        );
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use bytes::Bytes;
    use records::{KeyRange, Millis};

    use super::*;
    use crate::stored::damaged::Damaged;
    use crate::stored::source::End;

    /// A thread for each part, and nothing stored.
    struct Threads;

    impl Source for Threads {
        fn rows(
            &self,
            _: &KeyRange,
            _: End,
            _: usize,
            _: usize,
        ) -> Result<Vec<(Bytes, Bytes)>, Unreadable> {
            Ok(Vec::new())
        }

        fn keys(&self, _: &KeyRange, _: End, _: usize) -> Result<Vec<Bytes>, Unreadable> {
            Ok(Vec::new())
        }

        fn value(&self, _: &[u8]) -> Result<Option<Bytes>, Unreadable> {
            Ok(None)
        }

        fn now(&self) -> Millis {
            Millis::ZERO
        }

        fn damaged(&self, _: &Damaged) {}

        fn in_parts(&self, parts: usize, work: &(dyn Fn(&dyn Source, usize) + Sync)) {
            thread::scope(|scope| {
                for part in (0..parts).rev() {
                    scope.spawn(move || work(&Threads, part));
                }
            });
        }
    }

    #[test]
    fn what_several_threads_read_comes_in_the_order_of_the_items() {
        for count in [0, 1, FEW, FEW + 1, 101] {
            let items: Vec<usize> = (0..count).collect();
            let found = read(&Threads, &items, |_, item| Ok(item * 2)).unwrap();
            let wanted: Vec<usize> = (0..count).map(|item| item * 2).collect();
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn one_item_that_cannot_be_read_fails_them_all() {
        for count in [FEW, 101] {
            let items: Vec<usize> = (0..count).collect();
            let found = read(&Threads, &items, |_, item| match item {
                7 => Err(Unreadable),
                item => Ok(*item),
            });
            assert_eq!(found, Err(Unreadable));
        }
    }
}
