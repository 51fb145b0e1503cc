// SPDX-License-Identifier: Apache-2.0
//! The entity that was observed.

use std::sync::Arc;

use semconv::AttributeDef;

use super::{Attribute, Value};

/// What kind of thing a [`Resource`] describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntityKind {
    /// This machine.
    Host,
    /// One pod of Kubernetes on it: what its containers share.
    Pod,
    /// One container on it.
    Container,
}

/// One OpenTelemetry Resource. Made once per entity and shared by `Arc`.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// What it describes.
    pub kind: EntityKind,
    /// What tells it from all others: the value of its first attribute.
    pub identity: Arc<str>,
    /// Identity first, then description.
    pub attributes: Vec<Attribute>,
}

impl Resource {
    /// Describes one thing; the first attribute is its identity.
    pub fn new(kind: EntityKind, attributes: Vec<Attribute>) -> Self {
        let identity = match attributes.first() {
            Some((_, Value::Str(text))) => Arc::clone(text),
            Some((_, value)) => value.as_str().unwrap_or_default().into(),
            None => "".into(),
        };
        Self { kind, identity, attributes }
    }

    /// The value of `key`, if this Resource has it.
    pub fn get(&self, key: &'static AttributeDef) -> Option<&Value> {
        self.attributes.iter().find(|(def, _)| def.key == key.key).map(|(_, value)| value)
    }

    /// The text of `key`, or `""`.
    pub fn text(&self, key: &'static AttributeDef) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}
