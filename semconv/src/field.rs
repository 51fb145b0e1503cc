// SPDX-License-Identifier: Apache-2.0
//! Families of metrics whose names come from the kernel: one rule table instead of a list that is
//! out of date with the next kernel.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::{AttributeDef, Instrument, LegacyKind, LegacyMetric, LegacyScope, MetricDef};

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
    /// The kernel counts it for the whole host, wherever it is read.
    pub host_only: bool,
    /// What follows the family's prefix, where the word does not.
    pub rename: &'static str,
    /// Another legacy HELP text than the family's.
    pub help: &'static str,
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
    /// Words are `<group>_<name>` in the kernel's spelling; names have `<group>.<name>`, in lower
    /// case.
    pub grouped: bool,
    /// Words may have capitals; names have them in lower case.
    pub mixed_case: bool,
    /// Start of the legacy name.
    pub legacy_prefix: &'static str,
    /// The same for containers, where they have a name of their own.
    pub legacy_container: &'static str,
    /// Type on the legacy page.
    pub legacy_kind: LegacyKind,
    /// The legacy HELP text, with `{word}`, or `{group}` and `{name}`.
    pub legacy_help: &'static str,
    /// Attributes that tell words of several objects apart.
    pub attributes: &'static [&'static AttributeDef],
    /// Labels of the legacy page that they fill.
    pub legacy_labels: &'static [(&'static str, &'static AttributeDef)],
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
    /// The kernel counts it for the whole host, wherever it is read.
    pub host_only: bool,
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

    /// The metric of `word`, or `None` where it is no kernel word (`[a-z0-9_]`, or `[A-Za-z0-9_]`
    /// in mixed case, up to 64 bytes) or the table of words is full.
    pub fn field(&self, word: &str) -> Option<Field> {
        let is_letter = |b: u8| b.is_ascii_lowercase() || self.mixed_case && b.is_ascii_uppercase();
        let well_formed = !word.is_empty()
            && word.len() <= 64
            && word.bytes().all(|b| is_letter(b) || b.is_ascii_digit() || b == b'_');
        let in_parts = word.split_once('_').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
        if !well_formed || self.grouped && !in_parts {
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
        let metric = Box::leak(Box::new(self.define(word, rule)));
        let field = Field { metric, factor: rule.factor, host_only: rule.host_only };
        words.insert((self.prefix, word.to_owned()), field);
        Some(field)
    }

    fn define(&self, word: &str, rule: &FieldRule) -> MetricDef {
        MetricDef {
            name: leak(format!("{}{}", self.prefix, self.name_of(word, rule))),
            instrument: rule.instrument,
            unit: rule.unit,
            brief: leak(self.brief.replace("{}", word)),
            probe: self.probe,
            attributes: self.attributes,
            bounds: &[],
            opt_in: false,
            legacy: Vec::leak(self.legacy(word, rule)),
        }
    }

    fn name_of(&self, word: &str, rule: &FieldRule) -> String {
        match (rule.rename, self.grouped) {
            ("", true) => word.replacen('_', ".", 1).to_lowercase(),
            ("", false) => word.to_lowercase(),
            (name, _) => name.to_owned(),
        }
    }

    fn legacy(&self, word: &str, rule: &FieldRule) -> Vec<LegacyMetric> {
        let (group, name) = word.split_once('_').unwrap_or(("", word));
        let template = if rule.help.is_empty() { self.legacy_help } else { rule.help };
        let help = template.replace("{word}", word);
        let help = leak(help.replace("{group}", group).replace("{name}", name));
        let entry = |prefix: &str, scope| LegacyMetric {
            name: leak(format!("{prefix}{word}")),
            kind: self.legacy_kind,
            help,
            factor: 1.0 / rule.factor as f64,
            labels: self.legacy_labels,
            words: &[],
            select: &[],
            zones: &[],
            skip_below: false,
            pages: false,
            scope,
        };
        if self.legacy_container.is_empty() {
            return vec![entry(self.legacy_prefix, LegacyScope::Any)];
        }
        let of_containers =
            if rule.host_only { LegacyScope::EachContainer } else { LegacyScope::Container };
        vec![
            entry(self.legacy_prefix, LegacyScope::Host),
            entry(self.legacy_container, of_containers),
        ]
    }
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
