//! The level names of wildcard filters, each kept once and counted; a level becomes a number. It knows nothing
//! of filters.

use crate::id_table::IdTable;
use crate::keys::Keys;
use crate::pages::Pages;
use crate::text_pool::{Text, TextPool};

/// Interned level names.
#[derive(Debug)]
pub(crate) struct Symbols {
    keys: Keys,
    table: IdTable,
    symbols: Pages<Symbol>,
    texts: TextPool,
}

#[derive(Debug, Default)]
struct Symbol {
    text: Text,
    uses: u32,
}

impl Symbols {
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            keys,
            table: IdTable::default(),
            symbols: Pages::default(),
            texts: TextPool::default(),
        }
    }

    /// The number of a level if any filter has it.
    pub(crate) fn find(&self, level: &str) -> Option<u32> {
        self.find_keyed(self.keys.text(level), level)
    }

    /// The number of a level, for one more use.
    pub(crate) fn acquire(&mut self, level: &str) -> u32 {
        let fingerprint = self.keys.text(level);
        if let Some(symbol) = self.find_keyed(fingerprint, level) {
            self.symbols[symbol].uses += 1;
            return symbol;
        }
        let text = self.texts.insert(level);
        let symbol = self.symbols.insert(Symbol { text, uses: 1 });
        self.table.insert(fingerprint, symbol);
        symbol
    }

    /// Gives one use back; the last one frees the name.
    pub(crate) fn release(&mut self, symbol: u32) {
        let entry = &mut self.symbols[symbol];
        entry.uses -= 1;
        if entry.uses > 0 {
            return;
        }
        let text = self.symbols.remove(symbol).text;
        let fingerprint = self.keys.text(self.texts.str(text));
        assert!(
            self.table.remove(fingerprint, symbol),
            "a symbol in use is in the table"
        );
        self.texts.remove(text);
    }

    /// The name of a symbol in use.
    pub(crate) fn name(&self, symbol: u32) -> &str {
        self.texts.str(self.symbols[symbol].text)
    }

    fn find_keyed(&self, fingerprint: u32, level: &str) -> Option<u32> {
        self.table.find(fingerprint, |symbol| {
            self.texts.bytes(self.symbols[symbol].text) == level.as_bytes()
        })
    }
}
