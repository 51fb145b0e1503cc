// SPDX-License-Identifier: Apache-2.0
//! A TOML text with the line of each of its values.

use std::collections::HashMap;

use toml::de::{DeArray, DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// A parsed file.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// What could be understood.
    pub table: Table,
    /// Line of each value by its path, as [`child`] and [`element`] make it.
    pub lines: HashMap<String, usize>,
    /// Lines that could not be understood, with what is wrong.
    pub broken: Vec<(usize, String)>,
}

/// Before the digits of an integer that no value can hold.
pub(super) const TOO_LARGE: &str = "\0";

/// Path of a key below `path`.
pub(super) fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Path of an element of the list at `path`.
pub(super) fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

impl Document {
    /// Goes on behind an error, so that all of them are told at once.
    pub fn parse(text: &str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let line = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
        let mut document = Self::default();
        for error in errors {
            let at = error.span().map_or(1, |span| line(span.start));
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            document.broken.push((at, message));
        }
        let mut reader = Reader { text, lines: &mut document.lines };
        document.table = reader.table(table.get_ref(), "");
        document
    }
}

struct Reader<'a> {
    text: &'a str,
    lines: &'a mut HashMap<String, usize>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Table {
        let mut out = Table::new();
        for (key, value) in table.iter() {
            let path = child(path, key.get_ref());
            self.note(&path, key.span().start);
            out.insert(key.get_ref().to_string(), self.value(value, &path));
        }
        out
    }

    fn array(&mut self, array: &DeArray<'_>, path: &str) -> Value {
        let mut out = Vec::new();
        for (index, item) in array.iter().enumerate() {
            let path = element(path, index);
            self.note(&path, item.span().start);
            out.push(self.value(item, &path));
        }
        Value::Array(out)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                parsed
                    .map_or_else(|_| Value::String(format!("{TOO_LARGE}{number}")), Value::Integer)
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => Value::Boolean(*truth),
            DeValue::Datetime(time) => Value::Datetime(*time),
            DeValue::Array(array) => self.array(array, path),
            DeValue::Table(table) => Value::Table(self.table(table, path)),
        }
    }

    fn note(&mut self, path: &str, offset: usize) {
        let line = 1 + self.text[..offset.min(self.text.len())].matches('\n').count();
        self.lines.insert(path.to_owned(), line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_line() {
        let text = "A = 1\n\n[B]\nC = [\n  [\"x\", \"y\"],\n]\n[[D.E]]\nF = 0x10\n";
        let document = Document::parse(text);
        assert!(document.broken.is_empty());
        let line = |path: &str| document.lines[path];
        assert_eq!((line("A"), line("B.C"), line("B.C[0]"), line("B.C[0][1]")), (1, 4, 5, 5));
        assert_eq!(line("D.E[0].F"), 8);
        assert_eq!(document.table["D"]["E"][0]["F"].as_integer(), Some(16));
    }

    #[test]
    fn all_broken_lines_are_told_and_the_rest_is_read() {
        let document = Document::parse("A = \nB = 2\nC = 1 2\nA2 = true\nB = 3\n");
        let lines: Vec<usize> = document.broken.iter().map(|(line, _)| *line).collect();
        assert!(lines.contains(&1) && lines.contains(&3) && lines.contains(&5), "{lines:?}");
        assert_eq!(document.table["A2"].as_bool(), Some(true));
    }
}
