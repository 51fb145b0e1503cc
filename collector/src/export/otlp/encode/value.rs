// SPDX-License-Identifier: Apache-2.0
//! Attributes.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Proto;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};

use crate::signal::{Attribute, Value};

pub(super) fn attributes(attributes: &[Attribute]) -> Vec<KeyValue> {
    attributes.iter().map(|(def, value)| key_value(def.key, any_value(value))).collect()
}

pub(super) fn text(key: &str, text: impl Into<String>) -> KeyValue {
    key_value(key, any(Proto::StringValue(text.into())))
}

pub(super) fn any_text(text: &str) -> AnyValue {
    any(Proto::StringValue(text.to_owned()))
}

pub(super) fn key_value(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}

pub(super) fn any_value(value: &Value) -> AnyValue {
    any(match value {
        Value::Bool(truth) => Proto::BoolValue(*truth),
        Value::Int(number) => Proto::IntValue(*number),
        Value::Double(number) => Proto::DoubleValue(*number),
        Value::Static(text) => Proto::StringValue((*text).to_owned()),
        Value::Str(text) => Proto::StringValue(text.to_string()),
        Value::Array(values) => {
            Proto::ArrayValue(ArrayValue { values: values.iter().map(any_value).collect() })
        }
        Value::Map(pairs) => {
            let values = pairs.iter().map(|(key, value)| key_value(key, any_value(value)));
            Proto::KvlistValue(KeyValueList { values: values.collect() })
        }
    })
}

fn any(value: Proto) -> AnyValue {
    AnyValue { value: Some(value) }
}
