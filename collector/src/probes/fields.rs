// SPDX-License-Identifier: Apache-2.0
//! Words of a kernel file that become metrics of one family.

use std::collections::HashMap;

use semconv::{Field, FieldFamily};

use super::Filter;

/// Which words of a file are collected, and as what.
pub struct Fields {
    family: &'static FieldFamily,
    filter: Filter,
    /// What the filter and the family said of each word, so that both are asked once.
    words: HashMap<String, Option<Field>>,
}

impl Fields {
    /// Words of `family` that pass `filter`.
    pub fn new(family: &'static FieldFamily, filter: Filter) -> Self {
        Self { family, filter, words: HashMap::new() }
    }

    /// The metric of `word`, with `value` in its unit; `None` where it is not collected.
    pub fn read(&mut self, word: &str, value: u64) -> Option<(&'static semconv::MetricDef, u64)> {
        let field = self.get(word)?;
        Some((field.metric, value.saturating_mul(field.factor.unsigned_abs())))
    }

    /// What `word` is; `None` where it is not collected.
    pub fn get(&mut self, word: &str) -> Option<Field> {
        if let Some(known) = self.words.get(word) {
            return *known;
        }
        let field = self.filter.passes(word).then(|| self.family.field(word)).flatten();
        self.words.insert(word.to_owned(), field);
        field
    }
}
