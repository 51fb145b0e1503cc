// SPDX-License-Identifier: Apache-2.0
//! The shapes of the registry's entries.

/// How a metric's points combine over time and attributes (OpenTelemetry metrics data model).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instrument {
    /// Monotonic cumulative sum.
    Counter,
    /// Non-monotonic cumulative sum.
    UpDownCounter,
    /// Last value; summing it over attributes means nothing.
    Gauge,
    /// Distribution over the explicit bounds of [`MetricDef::bounds`].
    Histogram,
}

/// The type of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeType {
    /// UTF-8 text.
    String,
    /// Signed 64-bit integer.
    Int,
    /// IEEE 754 double.
    Double,
    /// True or false.
    Boolean,
    /// A list of strings.
    StringArray,
    /// A map, or a list of maps.
    Any,
}

/// One attribute key.
#[derive(Debug, PartialEq)]
pub struct AttributeDef {
    /// The key as it goes over the wire.
    pub key: &'static str,
    /// The type of its value.
    pub kind: AttributeType,
    /// One sentence for people.
    pub brief: &'static str,
    /// Known values of an enumeration; empty when the value is free.
    pub members: &'static [&'static str],
}

/// One metric.
#[derive(Debug, PartialEq)]
pub struct MetricDef {
    /// Its OpenTelemetry name.
    pub name: &'static str,
    /// Its instrument.
    pub instrument: Instrument,
    /// Its UCUM unit.
    pub unit: &'static str,
    /// One sentence for people.
    pub brief: &'static str,
    /// The probe that produces it; no other may record it.
    pub probe: &'static str,
    /// Attributes that its points may carry.
    pub attributes: &'static [&'static AttributeDef],
    /// Upper inclusive bucket bounds of a histogram, ascending, in [`MetricDef::unit`].
    pub bounds: &'static [f64],
    /// Too many series for what most need: not pushed, on the legacy page only.
    pub opt_in: bool,
    /// How it looks on the legacy Prometheus page; empty when HUATUO has no such metric.
    pub legacy: &'static [LegacyMetric],
}

/// The type that HUATUO's page gives a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyKind {
    /// `# TYPE … gauge`
    Gauge,
    /// `# TYPE … counter`
    Counter,
}

/// Keeps only the points whose attribute has one of the given values.
#[derive(Debug, PartialEq)]
pub struct Select {
    /// The attribute looked at.
    pub attribute: &'static AttributeDef,
    /// The values that pass.
    pub values: &'static [&'static str],
}

/// One metric of the legacy page, rendered from the points of a [`MetricDef`].
///
/// Points that pass every `select` and agree in all `labels` are added up and multiplied by
/// `factor`.
#[derive(Debug, PartialEq)]
pub struct LegacyMetric {
    /// Name without [`crate::LEGACY_PREFIX`].
    pub name: &'static str,
    /// Type on the page.
    pub kind: LegacyKind,
    /// HELP text.
    pub help: &'static str,
    /// What a value is multiplied with.
    pub factor: f64,
    /// Label names beside the common ones, sorted, each with the attribute that fills it.
    pub labels: &'static [(&'static str, &'static AttributeDef)],
    /// What labels say instead of an attribute's value.
    pub words: &'static [(&'static str, &'static str)],
    /// Which points count.
    pub select: &'static [Select],
    /// Upper edges of HUATUO's `zone` label, a subset of the histogram's bounds; the last zone is
    /// open. Empty for metrics that are not zoned.
    pub zones: &'static [f64],
    /// What lies below the first edge is left out, and zone 0 begins there.
    pub skip_below: bool,
    /// Bytes are shown as pages of the machine.
    pub pages: bool,
    /// Whose points it shows, where the metric is of hosts and containers.
    pub scope: LegacyScope,
}

/// Whose points a [`LegacyMetric`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyScope {
    /// All.
    Any,
    /// Those of the host.
    Host,
    /// Those of containers, and of pods once for each of their containers.
    Container,
    /// Those of the host, once for each container: HUATUO has read them in each.
    EachContainer,
}

/// One event: the name and structure of a log record.
#[derive(Debug, PartialEq)]
pub struct EventDef {
    /// `EventName` of the record.
    pub name: &'static str,
    /// One sentence for people.
    pub brief: &'static str,
    /// OpenTelemetry severity number (1..=24) unless the probe knows better.
    pub severity: u8,
    /// The probe that produces it.
    pub probe: &'static str,
    /// Attributes beyond the common ones.
    pub attributes: &'static [&'static AttributeDef],
    /// Its form in HUATUO's documents.
    pub legacy: LegacyEvent,
}

/// How HUATUO writes an event.
#[derive(Debug, PartialEq)]
pub struct LegacyEvent {
    /// `tracer_name`.
    pub tracer: &'static str,
    /// Fields of `tracer_data`.
    pub fields: &'static [LegacyField],
}

/// One field of `tracer_data`.
#[derive(Debug, PartialEq)]
pub struct LegacyField {
    /// Its key.
    pub key: &'static str,
    /// The attribute that fills it, looked up on the record and then on its Resource; `None` where
    /// it has nothing to tell, or its format needs none.
    pub attribute: Option<&'static AttributeDef>,
    /// What a number is multiplied with.
    pub factor: f64,
    /// How the value is written.
    pub format: LegacyFormat,
    /// What it says instead of the attribute's texts.
    pub words: &'static [(&'static str, &'static str)],
    /// What it says without the attribute, where that is not just empty.
    pub absent: &'static str,
}

/// How a document of HUATUO writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyFormat {
    /// As JSON has it.
    Plain,
    /// A number without its fraction.
    Whole,
    /// An integer as text, `0x` and lower-case hexadecimal digits.
    Hex,
    /// A stack as text, a line `function/offset [module]` per frame.
    Stack,
    /// A list of maps as text: a line about each, and below it its `stack`. Text as it is.
    Stacks,
    /// A list as text, its items with `, ` between them.
    Joined,
    /// A map as the text of a JSON document.
    Json,
    /// When it happened, in nanoseconds since the Unix epoch.
    Time,
}
