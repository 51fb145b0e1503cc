// SPDX-License-Identifier: Apache-2.0
//! Words of a kernel file that become metrics of one family.

use indexmap::IndexMap;
use semconv::{Field, FieldFamily, MetricDef};

use super::Filter;

/// Words that pass a filter, with what is made of each once.
pub struct Words<T> {
    filter: Filter,
    known: IndexMap<String, Option<T>>,
    /// The kernel writes its words in one order: after one there comes, mostly, this.
    expected: usize,
}

impl<T: Clone> Words<T> {
    /// Words that pass `filter`.
    pub fn new(filter: Filter) -> Self {
        Self { filter, known: IndexMap::new(), expected: 0 }
    }

    /// What `make` made of `word` when it was new; `None` where it is not collected.
    pub fn get(&mut self, word: &str, make: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let at = match self.known.get_index(self.expected) {
            Some((expected, _)) if expected == word => self.expected,
            _ => self.place(word, make),
        };
        self.expected = at + 1;
        self.known[at].clone()
    }

    fn place(&mut self, word: &str, make: impl FnOnce(&str) -> Option<T>) -> usize {
        if let Some(at) = self.known.get_index_of(word) {
            return at;
        }
        let made = self.filter.passes(word).then(|| make(word)).flatten();
        self.known.insert_full(word.to_owned(), made).0
    }
}

/// Which words of a file are collected, and as which metrics of a family.
pub struct Fields {
    family: &'static FieldFamily,
    words: Words<Field>,
}

impl Fields {
    /// Words of `family` that pass `filter`.
    pub fn new(family: &'static FieldFamily, filter: Filter) -> Self {
        Self { family, words: Words::new(filter) }
    }

    /// The metric of `word`, with `value` in its unit; `None` where it is not collected.
    pub fn read(&mut self, word: &str, value: u64) -> Option<(&'static MetricDef, u64)> {
        let field = self.get(word)?;
        Some((field.metric, value.saturating_mul(field.factor.unsigned_abs())))
    }

    /// What `word` is; `None` where it is not collected.
    pub fn get(&mut self, word: &str) -> Option<Field> {
        self.words.get(word, |word| self.family.field(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_it_was_in_any_order() {
        let mut words = Words::new(Filter::new("", "^no"));
        let mut made = 0;
        let mut get = |word: &str| {
            words.get(word, |word| {
                made += 1;
                (word != "unknown").then(|| word.to_uppercase())
            })
        };
        for file in ["a no b", "a no b", "b a new no a", "unknown a no b new unknown"] {
            for word in file.split(' ') {
                let expected = !matches!(word, "no" | "unknown");
                assert_eq!(get(word), expected.then(|| word.to_uppercase()), "{word} in {file}");
            }
        }
        assert_eq!(made, 4);
    }
}
