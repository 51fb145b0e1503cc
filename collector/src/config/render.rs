// SPDX-License-Identifier: Apache-2.0
//! The effective configuration as text: valid TOML, each value with where it came from.

use std::fmt::Write;

use toml::{Table, Value};

use super::document::child;
use super::load::Loaded;
use super::schema::{Kind, Node};

/// What is shown in the place of a secret.
const MASK: &str = "***";

impl Loaded {
    /// What `huatuo-otel config` prints. Secrets are masked.
    pub fn render(&self) -> String {
        let mut out = String::new();
        if let Kind::Section(keys) = Node::root().kind() {
            self.section(&keys, &self.table, "", &mut out);
        }
        out
    }

    /// Values first, then the sections below.
    fn section(&self, keys: &[(&'static str, Node)], table: &Table, path: &str, out: &mut String) {
        let values: Vec<_> = keys
            .iter()
            .filter(|(_, node)| !matches!(node.kind(), Kind::Section(_)))
            .filter_map(|(key, node)| Some((*key, *node, table.get(*key)?)))
            .collect();
        if !path.is_empty() && !values.is_empty() {
            let _ = writeln!(out, "\n[{path}]");
        }
        for (key, node, value) in values {
            let shown = if node.is_secret() { masked(value) } else { without_password(value) };
            let _ = writeln!(out, "{key} = {shown} # {}", self.origin(&child(path, key)));
        }
        for (key, node) in keys {
            if let (Kind::Section(keys), Some(Value::Table(table))) = (node.kind(), table.get(*key))
            {
                self.section(&keys, table, &child(path, key), out);
            }
        }
    }

    /// A map may come from several places; the last one found speaks for it.
    fn origin(&self, path: &str) -> &str {
        if let Some(origin) = self.origins.get(path) {
            return origin;
        }
        let below = format!("{path}.");
        let mut inner: Vec<_> =
            self.origins.iter().filter(|(p, _)| p.starts_with(&below)).collect();
        inner.sort();
        inner.last().map_or("default", |(_, origin)| origin)
    }
}

/// Tells that something is set, and nothing else.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        Value::Table(table) => {
            let masks = table.iter().map(|(key, value)| (key.clone(), masked(value)));
            Value::Table(masks.collect())
        }
        _ => Value::String(MASK.to_owned()),
    }
}

/// A URL may hold a password: `scheme://user:password@host`.
fn without_password(value: &Value) -> Value {
    let Value::String(text) = value else { return value.clone() };
    let masked = text.split_once("://").and_then(|(scheme, rest)| {
        let (user, host) = rest.split_once('@')?;
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}:{MASK}@{host}"))
    });
    Value::String(masked.unwrap_or_else(|| text.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        let shown = |text: &str| without_password(&Value::String(text.to_owned()));
        assert_eq!(shown("http://a:b@host/x").as_str(), Some("http://a:***@host/x"));
        assert_eq!(shown("http://host:1/x@y").as_str(), Some("http://host:***@y"));
        assert_eq!(shown("eth0:1@x").as_str(), Some("eth0:1@x"));
        assert_eq!(shown("http://host:4317").as_str(), Some("http://host:4317"));
    }
}
