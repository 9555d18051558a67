//! Where the texts of filters and levels lie: cells of a multiple of eight bytes, by size, in shared pages, so
//! that a text costs no allocation and no allocator header of its own. It does not know whether a text is in use.

/// Cells grow in steps of this many bytes.
const STEP: usize = 8;
/// Longer texts are boxed, one by one.
const CELL_MAX: usize = 256;
const SIZES: usize = CELL_MAX / STEP;
/// Bytes of a page at most.
const PAGE_BYTES: usize = 64 * 1024;

/// A text in the pool; the empty text needs no cell.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Text {
    cell: u32,
    len: u16,
}

/// Texts of up to 65,535 bytes.
#[derive(Debug, Default)]
pub(crate) struct TextPool {
    sizes: Vec<Cells>,
    long: Vec<Box<[u8]>>,
    long_free: Vec<u32>,
}

/// Cells of one size.
#[derive(Debug, Default)]
struct Cells {
    pages: Vec<Vec<u8>>,
    free: Vec<u32>,
}

impl TextPool {
    /// Copies a text in. Its length is the codec's business: 65,535 bytes is the protocol's limit.
    pub(crate) fn insert(&mut self, text: &str) -> Text {
        let len = u16::try_from(text.len()).expect("the codec admits no longer text");
        if text.is_empty() {
            return Text::default();
        }
        if text.len() > CELL_MAX {
            return Text {
                cell: self.insert_long(text),
                len,
            };
        }
        if self.sizes.is_empty() {
            self.sizes.resize_with(SIZES, Cells::default);
        }
        let size = size_of_cell(len);
        Text {
            cell: self.sizes[size - 1].insert(size * STEP, text.as_bytes()),
            len,
        }
    }

    /// Frees the place of a text.
    pub(crate) fn remove(&mut self, text: Text) {
        let len = usize::from(text.len);
        if len > CELL_MAX {
            self.long[text.cell as usize] = Box::default();
            self.long_free.push(text.cell);
        } else if len > 0 {
            self.sizes[size_of_cell(text.len) - 1].free.push(text.cell);
        }
    }

    /// The bytes of a text.
    pub(crate) fn bytes(&self, text: Text) -> &[u8] {
        let len = usize::from(text.len);
        if len == 0 {
            return &[];
        }
        if len > CELL_MAX {
            return &self.long[text.cell as usize];
        }
        let size = size_of_cell(text.len);
        &self.sizes[size - 1].cell(size * STEP, text.cell)[..len]
    }

    /// The text itself.
    pub(crate) fn str(&self, text: Text) -> &str {
        std::str::from_utf8(self.bytes(text)).expect("the bytes came in as text")
    }

    fn insert_long(&mut self, text: &str) -> u32 {
        let bytes = text.as_bytes().into();
        if let Some(cell) = self.long_free.pop() {
            self.long[cell as usize] = bytes;
            return cell;
        }
        self.long.push(bytes);
        (self.long.len() - 1) as u32
    }
}

impl Cells {
    fn insert(&mut self, size: usize, bytes: &[u8]) -> u32 {
        if let Some(cell) = self.free.pop() {
            let (page, at) = place(size, cell);
            self.pages[page][at..at + bytes.len()].copy_from_slice(bytes);
            return cell;
        }
        let per_page = 1 << page_bits(size);
        if self
            .pages
            .last()
            .is_none_or(|page| page.len() == per_page * size)
        {
            // The first page grows as it is filled: most brokers are small.
            let room = if self.pages.is_empty() {
                0
            } else {
                per_page * size
            };
            self.pages.push(Vec::with_capacity(room));
        }
        let before = (self.pages.len() - 1) * per_page;
        let page = self.pages.last_mut().expect("a page was made above");
        let cell = before + page.len() / size;
        page.extend_from_slice(bytes);
        page.resize((cell - before + 1) * size, 0);
        u32::try_from(cell).expect("fewer cells than ids")
    }

    fn cell(&self, size: usize, cell: u32) -> &[u8] {
        let (page, at) = place(size, cell);
        &self.pages[page][at..at + size]
    }
}

fn size_of_cell(len: u16) -> usize {
    usize::from(len).div_ceil(STEP)
}

/// Cells in a page are a power of two.
fn page_bits(size: usize) -> u32 {
    (PAGE_BYTES / size).ilog2()
}

fn place(size: usize, cell: u32) -> (usize, usize) {
    let bits = page_bits(size);
    (
        cell as usize >> bits,
        (cell as usize & ((1 << bits) - 1)) * size,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TextPool;

    proptest! {
        #[test]
        fn texts_come_out_as_they_went_in(
            lengths in prop::collection::vec((0..600usize, any::<bool>(), prop::char::any()), 1..300),
        ) {
            let mut pool = TextPool::default();
            let mut held: Vec<(super::Text, String)> = Vec::new();
            for (length, take_out, filling) in lengths {
                let wanted: String = std::iter::repeat_n(filling, length / filling.len_utf8()).collect();
                held.push((pool.insert(&wanted), wanted));
                if take_out {
                    let (text, _) = held.swap_remove(length % held.len());
                    pool.remove(text);
                }
                for (text, wanted) in &held {
                    prop_assert_eq!(pool.str(*text), wanted);
                }
            }
        }
    }
}
