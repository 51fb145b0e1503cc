// SPDX-License-Identifier: Apache-2.0
//! The YAML as types: the part of Weaver's `definition/2` that we use, and our annotations.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ordered::Ordered;

/// A registry's `manifest.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by Weaver; parsed so that a typing error shows")]
pub struct Manifest {
    pub description: String,
    pub schema_url: String,
    pub stability: Stability,
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by Weaver")]
pub struct Dependency {
    pub schema_url: String,
    pub registry_path: String,
}

/// A file of a registry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub file_format: Format,
    #[serde(default)]
    pub attributes: Vec<Attribute>,
    #[serde(default)]
    pub metrics: Vec<Metric>,
    #[serde(default)]
    pub events: Vec<Event>,
    #[serde(default)]
    pub entities: Vec<Entity>,
}

#[derive(Debug, Deserialize)]
pub enum Format {
    #[serde(rename = "definition/2")]
    Definition2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stability {
    Development,
    ReleaseCandidate,
    Stable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    pub key: String,
    #[serde(rename = "type")]
    pub kind: AttributeType,
    pub brief: String,
    #[serde(rename = "stability")]
    pub _stability: Stability,
    #[serde(default)]
    pub examples: Vec<Scalar>,
    #[serde(default)]
    pub annotations: AttributeAnnotations,
}

/// An example value.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by Weaver")]
pub enum Scalar {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum AttributeType {
    Plain(PlainType),
    Enum(EnumType),
}

#[derive(Debug, Deserialize)]
pub enum PlainType {
    #[serde(rename = "string")]
    String,
    #[serde(rename = "int")]
    Int,
    #[serde(rename = "double")]
    Double,
    #[serde(rename = "boolean")]
    Boolean,
    #[serde(rename = "string[]")]
    StringArray,
    #[serde(rename = "any")]
    Any,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnumType {
    pub members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    #[serde(rename = "id")]
    pub _id: String,
    pub value: String,
    #[serde(rename = "brief")]
    pub _brief: Option<String>,
    #[serde(rename = "stability")]
    pub _stability: Stability,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttributeAnnotations {
    pub status: Status,
    /// Values that we add to an open list of upstream.
    pub more_members: Vec<String>,
}

/// Whose name it is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Defined by OpenTelemetry.
    Exact,
    /// Not defined, but shipped by a receiver of the OpenTelemetry Collector.
    Defacto,
    /// Ours.
    #[default]
    Own,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    pub name: String,
    pub instrument: Instrument,
    pub unit: String,
    pub brief: String,
    #[serde(rename = "stability")]
    pub _stability: Stability,
    pub requirement_level: RequirementLevel,
    #[serde(default)]
    pub attributes: Vec<AttributeRef>,
    pub entity_associations: Vec<String>,
    pub annotations: MetricAnnotations,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instrument {
    Counter,
    UpDownCounter,
    Gauge,
    Histogram,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeRef {
    #[serde(rename = "ref")]
    pub key: String,
    #[serde(rename = "requirement_level")]
    pub _requirement_level: Option<RequirementLevel>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequirementLevel {
    Required,
    Recommended,
    OptIn,
    ConditionallyRequired(#[expect(dead_code, reason = "read by Weaver")] String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricAnnotations {
    pub probe: String,
    pub status: Status,
    /// What upstream would call it, were it adopted there.
    #[serde(rename = "upstream_candidate")]
    pub _upstream_candidate: Option<String>,
    /// Attributes that we send beside those that upstream lists.
    #[serde(default)]
    pub more_attributes: Vec<String>,
    #[serde(default)]
    pub bounds: Vec<f64>,
    #[serde(default)]
    pub legacy: Vec<LegacyMetric>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegacyMetric {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: LegacyKind,
    pub help: String,
    #[serde(default = "one")]
    pub factor: f64,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub select: Ordered<Vec<String>>,
    /// What a label says instead of the attribute's value.
    #[serde(default)]
    pub words: Ordered<String>,
    #[serde(default)]
    pub zones: Vec<f64>,
    /// What lies below the first edge is left out, and zone 0 begins there.
    #[serde(default)]
    pub skip_below: bool,
    /// Bytes are shown as pages of the machine.
    #[serde(default)]
    pub pages: bool,
    /// Whose points it shows, where the metric is of both.
    #[serde(default)]
    pub scope: LegacyScope,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegacyScope {
    #[default]
    Any,
    Host,
    Container,
    #[serde(rename = "each_container")]
    EachContainer,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegacyKind {
    Gauge,
    Counter,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub name: String,
    pub brief: String,
    #[serde(rename = "note")]
    pub _note: Option<String>,
    #[serde(rename = "stability")]
    pub _stability: Stability,
    #[serde(rename = "requirement_level")]
    pub _requirement_level: RequirementLevel,
    #[serde(default)]
    pub attributes: Vec<AttributeRef>,
    pub entity_associations: Vec<String>,
    pub annotations: EventAnnotations,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventAnnotations {
    pub probe: String,
    pub severity: u8,
    pub legacy: LegacyEvent,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegacyEvent {
    pub tracer: String,
    pub fields: Ordered<LegacyField>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum LegacyField {
    Key(String),
    Converted(ConvertedField),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvertedField {
    /// Left out where HUATUO's field has nothing to tell, or its format needs none.
    pub attribute: Option<String>,
    #[serde(default = "one")]
    pub factor: f64,
    #[serde(default)]
    pub format: LegacyFormat,
    /// What the field says instead of the attribute's texts.
    #[serde(default)]
    pub words: Ordered<String>,
    /// What it says without the attribute, where that is not just empty.
    #[serde(default)]
    pub absent: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegacyFormat {
    #[default]
    Plain,
    Whole,
    Hex,
    Stack,
    Stacks,
    Joined,
    Json,
    Time,
}

impl LegacyField {
    /// With what the short form leaves out.
    pub fn converted(&self) -> ConvertedField {
        match self {
            LegacyField::Key(key) => ConvertedField {
                attribute: Some(key.clone()),
                factor: one(),
                format: LegacyFormat::Plain,
                words: Ordered::default(),
                absent: String::new(),
            },
            LegacyField::Converted(field) => field.clone(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "brief")]
    pub _brief: String,
    #[serde(rename = "stability")]
    pub _stability: Stability,
    pub identity: Vec<AttributeRef>,
    #[serde(default)]
    pub description: Vec<AttributeRef>,
}

/// `kernel_fields.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Families {
    pub families: Vec<Family>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    pub name: String,
    pub prefix: String,
    pub brief: String,
    pub probe: String,
    /// Words are `<group>_<name>` in the kernel's spelling.
    #[serde(default)]
    pub grouped: bool,
    /// Its words may have capitals; those of grouped families always may.
    #[serde(default)]
    pub mixed_case: bool,
    /// Attributes that tell words of several objects apart.
    #[serde(default)]
    pub attributes: Vec<String>,
    pub legacy: LegacyFamily,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegacyFamily {
    pub prefix: String,
    /// The same for containers, where they have a name of their own.
    #[serde(default)]
    pub container: String,
    /// Labels that the attributes fill.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(rename = "type")]
    pub kind: LegacyKind,
    pub help: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    pub words: Vec<String>,
    #[serde(default)]
    pub prefixes: Vec<String>,
    #[serde(default)]
    pub any: bool,
    /// The kernel counts it for the whole host.
    #[serde(default)]
    pub host_only: bool,
    /// What follows the family's prefix, where the word does not.
    #[serde(default)]
    pub rename: String,
    /// Another legacy HELP text than the family's.
    #[serde(default)]
    pub help: String,
    pub instrument: Instrument,
    pub unit: String,
    #[serde(default = "whole")]
    pub factor: i64,
}

fn one() -> f64 {
    1.0
}

fn whole() -> i64 {
    1
}
