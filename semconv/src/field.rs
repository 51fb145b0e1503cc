// SPDX-License-Identifier: Apache-2.0
//! Families of metrics whose names come from the kernel: one rule table instead of a list that is
//! out of date with the next kernel.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::{Instrument, LegacyKind, LegacyMetric, LegacyScope, MetricDef};

/// Which kernel words a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldPattern {
    /// Exactly this word.
    Exact(&'static str),
    /// Words that start so.
    Prefix(&'static str),
    /// Every word; the last rule of each family.
    Any,
}

/// Kind, unit and factor of the words that match.
#[derive(Debug)]
pub struct FieldRule {
    /// The words.
    pub pattern: FieldPattern,
    /// Their instrument.
    pub instrument: Instrument,
    /// Their UCUM unit.
    pub unit: &'static str,
    /// What the kernel's number is multiplied with to get `unit`.
    pub factor: i64,
}

/// Metrics named `<prefix><kernel word>`.
#[derive(Debug)]
pub struct FieldFamily {
    /// Start of the OpenTelemetry name, with its dot: `linux.vmstat.`
    pub prefix: &'static str,
    /// One sentence; the word is put in the place of `{}`.
    pub brief: &'static str,
    /// The probe that produces it.
    pub probe: &'static str,
    /// Start of the legacy name.
    pub legacy_prefix: &'static str,
    /// Type on the legacy page.
    pub legacy_kind: LegacyKind,
    /// Start of the legacy HELP text; the word follows.
    pub legacy_help: &'static str,
    /// First match counts.
    pub rules: &'static [FieldRule],
}

/// A word of a family with what its rule says.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The metric.
    pub metric: &'static MetricDef,
    /// What the kernel's number is multiplied with to get the metric's unit.
    pub factor: i64,
}

/// Words kept over all families. A kernel has some hundreds; the bound only stops a broken file.
const MAX_WORDS: usize = 4096;

/// A `MetricDef` is `'static` everywhere, so a word seen for the first time is kept for good.
static WORDS: LazyLock<Mutex<HashMap<(&'static str, String), Field>>> =
    LazyLock::new(Mutex::default);

impl FieldFamily {
    /// The rule of `word`.
    pub fn rule(&self, word: &str) -> Option<&'static FieldRule> {
        self.rules.iter().find(|rule| match rule.pattern {
            FieldPattern::Exact(exact) => word == exact,
            FieldPattern::Prefix(prefix) => word.starts_with(prefix),
            FieldPattern::Any => true,
        })
    }

    /// The metric of `word`, or `None` where it is no kernel word (`[a-z0-9_]`, up to 64 bytes) or
    /// the table of words is full.
    pub fn field(&self, word: &str) -> Option<Field> {
        let well_formed = !word.is_empty()
            && word.len() <= 64
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !well_formed {
            return None;
        }
        let rule = self.rule(word)?;
        let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(field) = words.get(&(self.prefix, word.to_owned())) {
            return Some(*field);
        }
        if words.len() >= MAX_WORDS {
            return None;
        }
        let field =
            Field { metric: Box::leak(Box::new(self.define(word, rule))), factor: rule.factor };
        words.insert((self.prefix, word.to_owned()), field);
        Some(field)
    }

    fn define(&self, word: &str, rule: &FieldRule) -> MetricDef {
        let legacy = LegacyMetric {
            name: leak(format!("{}{word}", self.legacy_prefix)),
            kind: self.legacy_kind,
            help: leak(format!("{}{word}", self.legacy_help)),
            factor: 1.0 / rule.factor as f64,
            labels: &[],
            select: &[],
            zones: &[],
            scope: LegacyScope::Any,
        };
        MetricDef {
            name: leak(format!("{}{word}", self.prefix)),
            instrument: rule.instrument,
            unit: rule.unit,
            brief: leak(self.brief.replace("{}", word)),
            probe: self.probe,
            attributes: &[],
            bounds: &[],
            legacy: Box::leak(Box::new([legacy])),
        }
    }
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
