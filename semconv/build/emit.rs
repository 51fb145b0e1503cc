// SPDX-License-Identifier: Apache-2.0
//! Writes the registry as Rust.

use std::collections::BTreeMap;

use crate::load::{Entry, Registry};
use crate::model::{
    Attribute, AttributeType, Event, LegacyEvent, LegacyMetric, Metric, PlainType,
    RequirementLevel, Status,
};
use crate::resolve::carried;

/// The modules `attribute`, `metric` and `event`.
pub fn registry(registry: &Registry) -> String {
    let attributes: String = registry.attributes.iter().map(attribute).collect();
    let metrics: String = registry.metrics.iter().map(metric).collect();
    let events: String = registry.events.iter().map(event).collect();

    let keys = |upstream: bool| {
        let chosen = registry.attributes.iter().filter(move |a| !upstream || a.upstream);
        list("&AttributeDef", chosen.map(|a| a.item.key.as_str()))
    };
    let names = |status: Option<Status>| {
        let chosen = registry.metrics.iter();
        let chosen = chosen.filter(|m| status.is_none_or(|s| m.item.annotations.status == s));
        list("&MetricDef", chosen.map(|m| m.item.name.as_str()))
    };
    format!(
        "/// Attribute keys.\npub mod attribute {{\nuse super::{{AttributeDef, AttributeType}};\n\
         {attributes}\
         /// Every attribute, by key.\npub static ALL: {};\n\
         /// Those that OpenTelemetry defines.\npub static UPSTREAM: {};\n}}\n\
         /// Metrics.\npub mod metric {{\nuse super::attribute;\n\
         use super::{{Instrument, LegacyKind, LegacyMetric, LegacyScope, MetricDef, Select}};\n\
         {metrics}\
         /// Every metric, by name.\npub static ALL: {};\n\
         /// Those that OpenTelemetry defines.\npub static UPSTREAM: {};\n\
         /// Those that it does not define and that a receiver of its collector ships.\n\
         pub static DEFACTO: {};\n}}\n\
         /// Events.\npub mod event {{\nuse super::attribute;\n\
         use super::{{EventDef, LegacyEvent, LegacyField, LegacyFormat}};\n\
         {events}\
         /// Every event, by name.\npub static ALL: {};\n}}\n",
        keys(false),
        keys(true),
        names(None),
        names(Some(Status::Exact)),
        names(Some(Status::Defacto)),
        list("&EventDef", registry.events.iter().map(|e| e.item.name.as_str())),
    )
}

/// `system.cpu.load_average.1m` as `SYSTEM_CPU_LOAD_AVERAGE_1M`.
pub fn constant(name: &str) -> String {
    name.replace(['.', '-'], "_").to_uppercase()
}

fn list<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("&{}", constant(name))).collect();
    format!("&[{kind}] = &[{}]", names.join(", "))
}

fn attribute(entry: &Entry<Attribute>) -> String {
    let Attribute { key, kind, brief, annotations, .. } = &entry.item;
    let (kind, mut members) = match kind {
        AttributeType::Plain(plain) => (plain_type(plain), Vec::new()),
        AttributeType::Enum(list) => {
            ("String", list.members.iter().map(|member| member.value.as_str()).collect())
        }
    };
    members.extend(annotations.more_members.iter().map(String::as_str));
    format!(
        "/// `{key}`: {brief}\npub static {}: AttributeDef = AttributeDef {{ key: {key:?}, \
         kind: AttributeType::{kind}, brief: {brief:?}, members: &{members:?} }};\n",
        constant(key)
    )
}

fn plain_type(plain: &PlainType) -> &'static str {
    match plain {
        PlainType::String => "String",
        PlainType::Int => "Int",
        PlainType::Double => "Double",
        PlainType::Boolean => "Boolean",
        PlainType::StringArray => "StringArray",
        PlainType::Any => "Any",
    }
}

fn metric(entry: &Entry<Metric>) -> String {
    let Metric { name, instrument, unit, brief, annotations, .. } = &entry.item;
    let keys = carried(&entry.item.attributes, &annotations.more_attributes);
    let legacy: String = annotations.legacy.iter().map(legacy_metric).collect();
    format!(
        "/// `{name}` in `{unit}`: {brief}\npub static {}: MetricDef = MetricDef {{ \
         name: {name:?}, instrument: Instrument::{instrument:?}, unit: {unit:?}, brief: {brief:?}, \
         probe: {:?}, attributes: &{}, bounds: &{:?}, opt_in: {}, legacy: &[{legacy}] }};\n",
        constant(name),
        annotations.probe,
        references(&keys),
        annotations.bounds,
        matches!(entry.item.requirement_level, RequirementLevel::OptIn),
    )
}

/// Label names, sorted as on the page, with the attributes that fill them.
pub(super) fn labels(labels: &BTreeMap<String, String>) -> String {
    let label =
        |(label, key): (&String, &String)| format!("({label:?}, &attribute::{}), ", constant(key));
    labels.iter().map(label).collect()
}

fn legacy_metric(legacy: &LegacyMetric) -> String {
    let LegacyMetric { name, kind, help, factor, zones, skip_below, pages, scope, .. } = legacy;
    let labels = labels(&legacy.labels);
    let select: String = legacy
        .select
        .0
        .iter()
        .map(|(key, values)| {
            let key = constant(key);
            format!("Select {{ attribute: &attribute::{key}, values: &{values:?} }}, ")
        })
        .collect();
    format!(
        "LegacyMetric {{ name: {name:?}, kind: LegacyKind::{kind:?}, help: {help:?}, \
         factor: {factor:?}, labels: &[{labels}], words: &{:?}, select: &[{select}], \
         zones: &{zones:?}, skip_below: {skip_below}, pages: {pages}, \
         scope: LegacyScope::{scope:?} }}, ",
        legacy.words.0,
    )
}

fn event(entry: &Entry<Event>) -> String {
    let Event { name, brief, attributes, annotations, .. } = &entry.item;
    let keys = carried(attributes, &[]);
    format!(
        "/// `{name}`: {brief}\npub static {}: EventDef = EventDef {{ name: {name:?}, \
         brief: {brief:?}, severity: {}, probe: {:?}, attributes: &{}, legacy: {} }};\n",
        constant(name),
        annotations.severity,
        annotations.probe,
        references(&keys),
        legacy_event(&annotations.legacy),
    )
}

fn legacy_event(legacy: &LegacyEvent) -> String {
    let fields: String = legacy
        .fields
        .0
        .iter()
        .map(|(key, source)| {
            let source = source.converted();
            let attribute = source
                .attribute
                .map_or("None".to_owned(), |key| format!("Some(&attribute::{})", constant(&key)));
            format!(
                "LegacyField {{ key: {key:?}, attribute: {attribute}, factor: {:?}, \
                 format: LegacyFormat::{:?}, words: &{:?}, absent: {:?} }}, ",
                source.factor, source.format, source.words.0, source.absent
            )
        })
        .collect();
    let tracer = &legacy.tracer;
    format!("LegacyEvent {{ tracer: {tracer:?}, fields: &[{fields}] }}")
}

fn references(keys: &[&str]) -> String {
    let keys: String = keys.iter().map(|key| format!("&attribute::{}, ", constant(key))).collect();
    format!("[{keys}]")
}
