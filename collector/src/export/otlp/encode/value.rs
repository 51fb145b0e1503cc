// SPDX-License-Identifier: Apache-2.0
//! Attributes.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Proto;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use prost::Message;
use prost::encoding::encoded_len_varint;

use super::wire;
use crate::signal::{Attribute, Value};

/// Attributes as `KeyValue` in the field `field` of a message.
pub(super) fn write(out: &mut Vec<u8>, field: u32, attributes: &[Attribute]) {
    for (def, value) in attributes {
        let Some((of_value, length)) = plain(value) else {
            let pair = key_value(def.key, any_value(value)).encode_to_vec();
            wire::bytes(out, field, &pair);
            continue;
        };
        wire::begin(out, field, wire::length(def.key.len()) + wire::length(length));
        wire::bytes(out, 1, def.key.as_bytes());
        wire::begin(out, 2, length);
        match of_value {
            Plain::Text(text) => wire::bytes(out, 1, text.as_bytes()),
            Plain::Int(number) => wire::varint(out, 3, number),
        }
    }
}

/// What nearly all attributes of metrics are.
enum Plain<'a> {
    Text(&'a str),
    Int(u64),
}

/// The value, and what its `AnyValue` takes.
fn plain(value: &Value) -> Option<(Plain<'_>, usize)> {
    if let Some(text) = value.as_str() {
        return Some((Plain::Text(text), wire::length(text.len())));
    }
    let Value::Int(number) = value else { return None };
    let number = number.cast_unsigned();
    Some((Plain::Int(number), 1 + encoded_len_varint(number)))
}

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
        Value::Bits(bits) => Proto::StringValue(format!("{bits:#018x}")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_hexadecimal_text_of_one_length() {
        for (bits, text) in [(7, "0x0000000000000007"), (u64::MAX, "0xffffffffffffffff")] {
            assert_eq!(any_value(&Value::Bits(bits)), any_text(text));
        }
    }
}
