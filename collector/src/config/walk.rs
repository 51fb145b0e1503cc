// SPDX-License-Identifier: Apache-2.0
//! Compares values with the schema, and finds everything that is wrong with them.

use std::net::SocketAddr;

use regex::Regex;
use toml::{Table, Value};

use super::document::{TOO_LARGE, child, element};
use super::schema::{Kind, Node};

/// Something wrong: where in the configuration, and what.
pub(super) type Problem = (String, String);

/// What a value is compared with beside the schema.
pub(super) struct Walk<'a> {
    /// Words that name a probe, here or in HUATUO.
    pub probes: &'a [&'a str],
    /// What was found.
    pub problems: Vec<Problem>,
    /// Keys that have no effect in this version.
    pub later: Vec<String>,
}

impl<'a> Walk<'a> {
    pub fn new(probes: &'a [&'a str]) -> Self {
        Self { probes, problems: Vec::new(), later: Vec::new() }
    }

    /// Walks a whole table.
    pub fn root(&mut self, table: &Table) {
        if let Kind::Section(keys) = Node::root().kind() {
            self.section(&keys, table, "", false);
        }
    }

    fn section(&mut self, keys: &[(&'static str, Node)], table: &Table, path: &str, later: bool) {
        for (key, value) in table {
            let path = child(path, key);
            match keys.iter().find(|(name, _)| name == key) {
                Some((_, node)) => self.value(*node, value, &path, later || node.is_later()),
                None => {
                    let names = keys.iter().map(|(name, _)| *name);
                    let what = if value.is_table() { "section" } else { "key" };
                    self.problem(&path, format!("unknown {what}{}", nearest(key, names)));
                }
            }
        }
    }

    fn value(&mut self, node: Node, value: &Value, path: &str, later: bool) {
        if later && !value.is_table() {
            self.later.push(path.to_owned());
        }
        match (node.kind(), value) {
            (Kind::Section(keys), Value::Table(table)) => self.section(&keys, table, path, later),
            (Kind::Map(node), Value::Table(table)) => {
                for (key, value) in table {
                    self.value(node, value, &child(path, key), false);
                }
            }
            (Kind::List(inner), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let path = element(path, index);
                    match (node.element_format(), item) {
                        (Some(format), Value::String(text)) => self.text(Some(format), text, &path),
                        _ => self.value(inner, item, &path, false),
                    }
                }
            }
            (Kind::Tuple(nodes), Value::Array(items)) if nodes.len() == items.len() => {
                for (index, (node, item)) in nodes.into_iter().zip(items).enumerate() {
                    self.value(node, item, &element(path, index), false);
                }
            }
            (Kind::Word(words), Value::String(text)) => self.word(&words, text, path),
            (Kind::Text(format), Value::String(text)) => self.text(format, text, path),
            (Kind::Integer, Value::Integer(number)) => self.number(node, *number as f64, path),
            (Kind::Number, Value::Integer(number)) => self.number(node, *number as f64, path),
            (Kind::Number, Value::Float(number)) => self.number(node, *number, path),
            (Kind::Boolean, Value::Boolean(_)) => {}
            (kind, value) => {
                let message = match value.as_str().and_then(|text| text.strip_prefix(TOO_LARGE)) {
                    Some(digits) => {
                        format!("{digits} does not fit; it must be {}", expected(&kind))
                    }
                    None => format!("is {}; it must be {}", shape(value), expected(&kind)),
                };
                self.problem(path, message);
            }
        }
    }

    fn number(&mut self, node: Node, number: f64, path: &str) {
        let (min, max) = node.range();
        let below = min.is_some_and(|min| number < min);
        let above = max.is_some_and(|max| number > max);
        if below || above || number.is_nan() {
            let bound = |bound: Option<f64>| bound.map(|b| b.to_string()).unwrap_or_default();
            let (min, max) = (bound(min), bound(max));
            self.problem(path, format!("{number} is out of range; it must be {min} to {max}"));
        }
    }

    fn word(&mut self, words: &[&'static str], text: &str, path: &str) {
        if !words.contains(&text) {
            let known = words.join(", ");
            self.problem(path, format!("unknown word `{text}`; it must be one of {known}"));
        }
    }

    fn text(&mut self, format: Option<&str>, text: &str, path: &str) {
        let problem = match format {
            Some("regex") => Regex::new(text).err().map(|error| {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("`{text}` is not a regular expression: {reason}")
            }),
            Some("socket-address") => text.parse::<SocketAddr>().is_err().then(|| {
                format!("`{text}` is not an address with a port; write e.g. 127.0.0.1:19704")
            }),
            Some("probe") => (!self.probes.contains(&text)).then(|| {
                format!("no probe is named `{text}`{}", nearest(text, self.probes.iter().copied()))
            }),
            _ => None,
        };
        if let Some(problem) = problem {
            self.problem(path, problem);
        }
    }

    fn problem(&mut self, path: &str, message: String) {
        self.problems.push((path.to_owned(), message));
    }
}

/// The word that was probably meant.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let lower = word.to_lowercase();
    let scored =
        known.map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    let best = scored.min_by_key(|(distance, _)| *distance);
    match best.filter(|(distance, name)| *distance <= 2.max(name.len() / 3)) {
        Some((_, name)) => format!("; did you mean {name}?"),
        None => String::new(),
    }
}

fn shape(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the text `{text}`"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(time) => format!("the time {time}"),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Table(_) => "a section".to_owned(),
    }
}

fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Section(_) => "a section".to_owned(),
        Kind::Map(_) => "a table, e.g. { name = \"value\" }".to_owned(),
        Kind::List(node) => format!("a list, each element {}", expected(&node.kind())),
        Kind::Tuple(nodes) => format!("a list of {} texts", nodes.len()),
        Kind::Word(words) => format!("one of {}", words.join(", ")),
        Kind::Text(_) => "a text in quotes".to_owned(),
        Kind::Integer => "a whole number".to_owned(),
        Kind::Number => "a number".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
    }
}
