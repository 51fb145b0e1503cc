// SPDX-License-Identifier: Apache-2.0
//! Attribute values.

use std::sync::Arc;

use semconv::AttributeDef;

/// An attribute: a key of the registry and its value.
pub type Attribute = (&'static AttributeDef, Value);

/// The value of an attribute (OpenTelemetry `AnyValue` without bytes).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// Signed integer.
    Int(i64),
    /// A register of the hardware. OpenTelemetry has no unsigned integers: hexadecimal text there.
    Bits(u64),
    /// Double.
    Double(f64),
    /// Text known at build time.
    Static(&'static str),
    /// Text.
    Str(Arc<str>),
    /// List.
    Array(Vec<Value>),
    /// Map with text keys, in the order given.
    Map(Vec<(&'static str, Value)>),
}

impl Value {
    /// The text of a text value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Static(text) => Some(text),
            Value::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<&Arc<str>> for Value {
    fn from(text: &Arc<str>) -> Self {
        Value::Str(Arc::clone(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Int(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Double(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}
