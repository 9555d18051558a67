//! Words as people write them: common ones often, rare ones seldom, about as compressible as chat.

use fastrand::Rng;

/// Bytes of text that is made once; messages are pieces of it. More than any engine compresses in one go.
const POOL_BYTES: usize = 8 * 1024 * 1024;
const RARE_WORDS: u64 = 20_000;

const COMMON: [&str; 120] = [
    "the",
    "to",
    "and",
    "a",
    "of",
    "i",
    "in",
    "you",
    "it",
    "that",
    "is",
    "for",
    "on",
    "we",
    "was",
    "be",
    "have",
    "with",
    "are",
    "not",
    "this",
    "but",
    "at",
    "they",
    "so",
    "if",
    "what",
    "do",
    "can",
    "will",
    "just",
    "my",
    "or",
    "from",
    "there",
    "would",
    "all",
    "about",
    "me",
    "an",
    "he",
    "one",
    "like",
    "your",
    "out",
    "up",
    "when",
    "has",
    "get",
    "no",
    "our",
    "them",
    "some",
    "by",
    "she",
    "as",
    "know",
    "think",
    "then",
    "good",
    "time",
    "see",
    "ok",
    "yes",
    "thanks",
    "now",
    "how",
    "back",
    "could",
    "really",
    "more",
    "go",
    "here",
    "also",
    "still",
    "want",
    "need",
    "people",
    "work",
    "make",
    "who",
    "been",
    "going",
    "their",
    "which",
    "should",
    "today",
    "tomorrow",
    "sure",
    "maybe",
    "well",
    "did",
    "don't",
    "that's",
    "i'm",
    "it's",
    "let",
    "later",
    "tonight",
    "home",
    "meeting",
    "call",
    "send",
    "please",
    "right",
    "great",
    "because",
    "before",
    "after",
    "always",
    "nothing",
    "something",
    "everybody",
    "already",
    "again",
    "never",
    "where",
    "morning",
    "week",
    "haha",
];

const SYLLABLES: [&str; 40] = [
    "ra", "lo", "min", "ter", "sa", "ven", "ki", "do", "per", "ta", "lun", "che", "bo", "ri",
    "ste", "ma", "gol", "fi", "ne", "pra", "shu", "dan", "wex", "ol", "cu", "hym", "bre", "tan",
    "jo", "zi", "qua", "the", "ing", "er", "ly", "ed", "tion", "ous", "en", "al",
];

/// A stock of text.
#[derive(Debug)]
pub(crate) struct Text {
    pool: String,
}

impl Text {
    /// The text of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut pool = String::with_capacity(POOL_BYTES + 64);
        while pool.len() < POOL_BYTES {
            // Half the words are among the most common hundred or so, as in any language.
            if rng.bool() {
                pool.push_str(COMMON[skewed(&mut rng, COMMON.len() as u64) as usize]);
            } else {
                rare(skewed(&mut rng, RARE_WORDS), &mut pool);
            }
            pool.push_str(match rng.u8(..) {
                0..=12 => ", ",
                13..=24 => ". ",
                25..=28 => "? ",
                29..=30 => " :) ",
                31..=255 => " ",
            });
        }
        Self { pool }
    }

    /// A piece of so many bytes; the same place gives the same piece.
    pub(crate) fn piece(&self, place: u64, bytes: usize) -> &str {
        let room = self.pool.len() - bytes;
        let from = (mixed(place) % room as u64) as usize;
        &self.pool[from..from + bytes]
    }
}

/// Below `count`, small ones more often: each as often as one over its rank.
pub(crate) fn skewed(rng: &mut Rng, count: u64) -> u64 {
    let rank = (count as f64).powf(rng.f64()) as u64;
    (rank.max(1) - 1).min(count - 1)
}

/// A number from which nobody sees the one that it was made of: the finisher of splitmix64.
pub(crate) fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn rare(word: u64, pool: &mut String) {
    let mut rest = mixed(word);
    for _ in 0..2 + rest % 3 {
        rest /= 7;
        pool.push_str(SYLLABLES[(rest % SYLLABLES.len() as u64) as usize]);
        rest /= SYLLABLES.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text_and_every_length_is_met() {
        let (one, two) = (Text::new(7), Text::new(7));
        for bytes in [0, 1, 100, 200_000] {
            assert_eq!(one.piece(3, bytes), two.piece(3, bytes));
            assert_eq!(one.piece(3, bytes).len(), bytes);
        }
        assert_ne!(one.piece(3, 100), one.piece(4, 100));
    }
}
