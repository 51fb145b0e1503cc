// SPDX-License-Identifier: Apache-2.0
//! Words of a kernel file that become metrics of one family.

use std::collections::HashMap;

use semconv::{Field, FieldFamily, MetricDef};

use super::Filter;

/// Words that pass a filter, with what is made of each once.
pub struct Words<T> {
    filter: Filter,
    known: HashMap<String, Option<T>>,
}

impl<T: Clone> Words<T> {
    /// Words that pass `filter`.
    pub fn new(filter: Filter) -> Self {
        Self { filter, known: HashMap::new() }
    }

    /// What `make` made of `word` when it was new; `None` where it is not collected.
    pub fn get(&mut self, word: &str, make: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if let Some(known) = self.known.get(word) {
            return known.clone();
        }
        let made = self.filter.passes(word).then(|| make(word)).flatten();
        self.known.insert(word.to_owned(), made.clone());
        made
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
