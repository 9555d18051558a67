//! A slab in fixed pages: an id stays valid until it is removed, growing copies nothing that is already there,
//! and freed ids are used again, last freed first. It does not know whether an id is in use; its owner does.

use std::ops::{Index, IndexMut};

const PAGE_BITS: u32 = 12;
const PAGE: usize = 1 << PAGE_BITS;
/// Ids of one slab; two bits of a handle are left to its owner.
pub(crate) const IDS_MAX: u32 = 1 << 30;

/// Values by id. A removed value is replaced by the default one.
#[derive(Debug, Clone)]
pub(crate) struct Pages<T> {
    pages: Vec<Vec<T>>,
    free: Vec<u32>,
    len: u32,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Default> Pages<T> {
    /// Values in use.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(id) = self.free.pop() {
            self[id] = value;
            return id;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            // The first page grows as it is filled: most brokers are small.
            let room = if self.pages.is_empty() { 0 } else { PAGE };
            self.pages.push(Vec::with_capacity(room));
        }
        let before = (self.pages.len() - 1) * PAGE;
        let page = self.pages.last_mut().expect("a page was made above");
        let id = (before + page.len()) as u32;
        assert!(id < IDS_MAX, "slab is full: {id} values");
        page.push(value);
        id
    }

    /// Frees an id that is in use.
    pub(crate) fn remove(&mut self, id: u32) -> T {
        self.len -= 1;
        self.free.push(id);
        std::mem::take(&mut self[id])
    }

    /// The value of an id that may never have been given out.
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.pages
            .get(id as usize >> PAGE_BITS)?
            .get(id as usize % PAGE)
    }
}

impl<T> Index<u32> for Pages<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        &self.pages[id as usize >> PAGE_BITS][id as usize % PAGE]
    }
}

impl<T> IndexMut<u32> for Pages<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.pages[id as usize >> PAGE_BITS][id as usize % PAGE]
    }
}
