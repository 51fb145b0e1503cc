// SPDX-License-Identifier: Apache-2.0
//! One field of `tracer_data`, as the registry says how HUATUO writes it.

use semconv::{AttributeType, LegacyField, LegacyFormat};
use serde_json::{Map, Value as Json, json};

use crate::signal::{Event, Value};

/// Attributes to HUATUO's words.
type Words = [(&'static str, &'static str)];

/// The value of a field. What is not known is empty.
pub(super) fn value(event: &Event, field: &LegacyField) -> Json {
    let found = field.attribute.and_then(|def| event.get(def).or_else(|| event.resource.get(def)));
    match found {
        _ if field.format == LegacyFormat::Time => event.time.into(),
        Some(value) => written(value, field),
        None if !field.absent.is_empty() => field.absent.into(),
        None => empty(field),
    }
}

fn written(value: &Value, field: &LegacyField) -> Json {
    match (field.format, value) {
        (LegacyFormat::Hex, Value::Int(number)) => format!("{number:#x}").into(),
        (LegacyFormat::Stack, value) => stack(value.as_str().unwrap_or_default()).into(),
        (LegacyFormat::Stacks, value) => stacks(value).into(),
        (LegacyFormat::Joined, Value::Array(items)) => joined(items, field.words).into(),
        (LegacyFormat::Json, value) => plain(value).to_string().into(),
        (LegacyFormat::Whole, value) => without_fraction(value, field.factor),
        (LegacyFormat::Plain, value) if !field.words.is_empty() => in_words(value, field.words),
        (LegacyFormat::Plain, value) => scaled(value, field.factor),
        (LegacyFormat::Hex | LegacyFormat::Joined | LegacyFormat::Time, _) => empty(field),
    }
}

fn empty(field: &LegacyField) -> Json {
    let kind = field.attribute.map(|def| def.kind);
    match (field.format, kind) {
        (LegacyFormat::Json, _) => "{}".into(),
        (LegacyFormat::Plain | LegacyFormat::Whole, Some(kind)) => match kind {
            AttributeType::Int | AttributeType::Double => 0.into(),
            AttributeType::Boolean => false.into(),
            AttributeType::StringArray => json!([]),
            AttributeType::String | AttributeType::Any => "".into(),
        },
        _ => "".into(),
    }
}

/// Frames `function+0x1a/0x40 [module]` as HUATUO writes them, `function/1a [module]`. It has the
/// address of the function behind the stroke, which tells where the kernel was loaded; the offset
/// tells more.
fn stack(stack: &str) -> String {
    let mut out = String::new();
    for frame in stack.lines() {
        let (place, module) = frame.split_once(' ').unwrap_or((frame, "[kernel]"));
        let (function, offset) = place.split_once("+0x").unwrap_or((place, "0"));
        let offset = offset.split('/').next().unwrap_or_default();
        out.push_str(&format!("{function}/{offset} {module}\n"));
    }
    out
}

/// What the kernel itself wrote, or for each map a line of its other keys and below it its stack.
fn stacks(value: &Value) -> String {
    let Value::Array(items) = value else { return value.as_str().unwrap_or_default().to_owned() };
    let mut out = String::new();
    for item in items {
        let Value::Map(pairs) = item else { continue };
        let (stack, about): (Vec<_>, Vec<_>) = pairs.iter().partition(|(key, _)| *key == "stack");
        let about = about.into_iter().map(|(key, value)| match value.as_str() {
            Some(text) => format!("{key}: {text}"),
            None => format!("{key}: {}", plain(value)),
        });
        out.push_str(&about.collect::<Vec<_>>().join(" "));
        out.push('\n');
        for frame in stack.iter().filter_map(|(_, value)| value.as_str()).flat_map(str::lines) {
            out.push_str(&format!(" {frame}\n"));
        }
    }
    out
}

fn joined(items: &[Value], words: &Words) -> String {
    let texts = items.iter().filter_map(Value::as_str).map(|text| word(text, words));
    texts.collect::<Vec<_>>().join(", ")
}

/// Texts in HUATUO's words; those that it has no word for stay as they are.
fn in_words(value: &Value, words: &Words) -> Json {
    match value {
        Value::Array(items) => items.iter().map(|item| in_words(item, words)).collect(),
        value => value.as_str().map_or_else(|| plain(value), |text| word(text, words).into()),
    }
}

fn word<'a>(text: &'a str, words: &Words) -> &'a str {
    words.iter().find(|(ours, _)| *ours == text).map_or(text, |(_, word)| *word)
}

fn without_fraction(value: &Value, factor: f64) -> Json {
    match value {
        Value::Int(number) => ((*number as f64 * factor) as i64).into(),
        Value::Double(number) => ((number * factor) as i64).into(),
        other => plain(other),
    }
}

fn scaled(value: &Value, factor: f64) -> Json {
    match value {
        Value::Int(number) if factor == 1.0 => (*number).into(),
        Value::Int(number) => whole(*number as f64 * factor),
        Value::Double(number) => whole(number * factor),
        other => plain(other),
    }
}

/// HUATUO's numbers are whole wherever they can be.
fn whole(number: f64) -> Json {
    let rounded = number.round();
    if (number - rounded).abs() < 1e-6 && rounded.abs() < 9e15 {
        Json::from(rounded as i64)
    } else {
        Json::from(number)
    }
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Bits(bits) => (*bits).into(),
        Value::Double(number) => (*number).into(),
        Value::Static(text) => (*text).into(),
        Value::Str(text) => text.to_string().into(),
        Value::Array(values) => Json::Array(values.iter().map(plain).collect()),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), plain(value)));
            Json::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_has_huatuos_form_and_no_address() {
        assert_eq!(
            stack("kfree_skb+0x10/0x100\nbond_xmit+0x2f/0x80 [bonding]"),
            "kfree_skb/10 [kernel]\nbond_xmit/2f [bonding]\n"
        );
        assert_eq!(stack(""), "");
    }

    #[test]
    fn stacks_of_several_have_a_line_about_each() {
        let of = |cpu, stack| {
            Value::Map(vec![("cpu", Value::Int(cpu)), ("stack", Value::Static(stack))])
        };
        let value = Value::Array(vec![of(0, "a+0x1/0x2\nb+0x3/0x4"), of(1, "")]);
        assert_eq!(stacks(&value), "cpu: 0\n a+0x1/0x2\n b+0x3/0x4\ncpu: 1\n");
        let of = |name| Value::Map(vec![("thread.name", Value::Static(name))]);
        assert_eq!(stacks(&Value::Array(vec![of("dd")])), "thread.name: dd\n");
        assert_eq!(stacks(&Value::Static("NMI backtrace\n")), "NMI backtrace\n");
    }

    #[test]
    fn texts_are_in_huatuos_words_alone_and_in_lists() {
        let words = &[("admin_up", "linkStatusAdminUp")];
        let items = ["admin_up", "unknown"].map(Value::Static);
        assert_eq!(joined(&items, words), "linkStatusAdminUp, unknown");
        let list = in_words(&Value::Array(items.into()), words);
        assert_eq!(list, json!(["linkStatusAdminUp", "unknown"]));
        assert_eq!(in_words(&Value::Int(3), words), json!(3));
    }

    #[test]
    fn numbers_lose_their_fraction_where_huatuo_has_whole_ones() {
        assert_eq!(without_fraction(&Value::Double(1.2349), 1000.0), json!(1234));
        assert_eq!(without_fraction(&Value::Int(7), 1.0), json!(7));
    }

    #[test]
    fn numbers_that_are_scaled_stay_whole_where_they_can() {
        assert_eq!(scaled(&Value::Double(0.237_328_905), 1e9), json!(237_328_905));
        assert_eq!(scaled(&Value::Double(1.25), 1.0), json!(1.25));
        assert_eq!(scaled(&Value::Int(3), 1000.0), json!(3000));
    }
}
