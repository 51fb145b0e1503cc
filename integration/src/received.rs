// SPDX-License-Identifier: Apache-2.0
//! What a Collector received, as its file exporter wrote it (OTLP/JSON, one request per line).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value as Json;

/// Attributes as text.
pub type Attributes = BTreeMap<String, String>;

/// Everything received.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// Data points.
    pub points: Vec<Point>,
    /// Log records.
    pub records: Vec<Record>,
    /// Names of spans.
    pub spans: Vec<String>,
    /// Bytes of each file that are in here.
    read: [u64; 3],
}

/// One data point with what stands around it.
#[derive(Debug, Clone)]
pub struct Point {
    /// Attributes of its Resource.
    pub resource: Attributes,
    /// Name of its scope.
    pub scope: String,
    /// Name of its metric.
    pub name: String,
    /// Unit of its metric.
    pub unit: String,
    /// `gauge`, `sum` or `histogram`.
    pub kind: &'static str,
    /// Whether a sum is monotonic.
    pub is_monotonic: bool,
    /// Its attributes.
    pub attributes: Attributes,
    /// The last point of a series that ended.
    pub ended: bool,
    /// Nanoseconds since the epoch; 0 where it is left out.
    pub start: u64,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Number of a gauge or sum.
    pub value: f64,
    /// Counts of a histogram.
    pub buckets: Vec<u64>,
    /// Number of values of a histogram.
    pub count: u64,
    /// Sum of a histogram.
    pub sum: f64,
    /// Bounds of a histogram.
    pub bounds: Vec<f64>,
}

/// One log record with what stands around it.
#[derive(Debug, Clone)]
pub struct Record {
    /// Attributes of its Resource.
    pub resource: Attributes,
    /// Name of its scope.
    pub scope: String,
    /// Its name, for events.
    pub event_name: String,
    /// Its severity.
    pub severity: u64,
    /// Its body.
    pub body: String,
    /// Its attributes.
    pub attributes: Attributes,
    /// Nanoseconds since the epoch.
    pub time: u64,
}

impl Received {
    /// Adds what is new in `metrics.json`, `logs.json` and `traces.json` of a folder, as far as it is
    /// written. Read from the start each time they would take minutes in emulation.
    pub fn catch_up(&mut self, folder: &Path) -> Result<()> {
        let [metrics, logs, traces] = &mut self.read;
        let file = folder.join("metrics.json");
        each(&file, metrics, ["resourceMetrics", "scopeMetrics"], |resource, scope, group| {
            for metric in list(&group["metrics"]) {
                self.points.extend(points(resource, scope, metric));
            }
        })?;
        let file = folder.join("logs.json");
        each(&file, logs, ["resourceLogs", "scopeLogs"], |resource, scope, group| {
            for record in list(&group["logRecords"]) {
                self.records.push(Record {
                    resource: resource.clone(),
                    scope: scope.to_owned(),
                    event_name: text(&record["eventName"]),
                    severity: whole(&record["severityNumber"]),
                    body: value(&record["body"]),
                    attributes: attributes(record),
                    time: whole(&record["timeUnixNano"]),
                });
            }
        })?;
        let file = folder.join("traces.json");
        each(&file, traces, ["resourceSpans", "scopeSpans"], |_, _, group| {
            self.spans.extend(list(&group["spans"]).iter().map(|span| text(&span["name"])));
        })
    }

    /// Points of a metric, oldest first.
    pub fn of(&self, name: &str) -> Vec<&Point> {
        self.points.iter().filter(|point| point.name == name).collect()
    }

    /// The newest point of a metric.
    pub fn last(&self, name: &str) -> Result<&Point> {
        self.of(name).last().copied().with_context(|| format!("{name} was not received"))
    }

    /// The first event of a name with an attribute of that value.
    pub fn event(&self, name: &str, key: &str, value: &str) -> Result<&Record> {
        let is_it = |record: &&Record| {
            record.event_name == name && record.attributes.get(key).is_some_and(|v| v == value)
        };
        let found = self.records.iter().find(is_it);
        found.with_context(|| format!("no event {name} with {key}={value} was received"))
    }

    /// Events of a name about packets to this address and port, oldest first.
    pub fn to(&self, event: &str, end: SocketAddr) -> Vec<&Record> {
        let (address, port) = (end.ip().to_string(), end.port().to_string());
        let is_it = |record: &&Record| {
            record.event_name == event
                && record.attributes["destination.address"] == address
                && record.attributes["destination.port"] == port
        };
        self.records.iter().filter(is_it).collect()
    }

    /// Events of a name that were held back for this reason.
    pub fn suppressed(&self, event: &str, reason: &str) -> f64 {
        let points = self.of("huatuo.event.suppressed");
        let newest = points.iter().rfind(|point| {
            point.attributes["huatuo.event.name"] == event
                && point.attributes["huatuo.suppression.reason"] == reason
        });
        newest.map_or(0.0, |point| point.value)
    }
}

/// Visits the groups of a file behind what was `read`: resource, scope, and what is in it.
fn each(
    path: &Path,
    read: &mut u64,
    [by_resource, by_scope]: [&str; 2],
    mut visit: impl FnMut(&Attributes, &str, &Json),
) -> Result<()> {
    let Ok(mut file) = File::open(path) else { return Ok(()) };
    file.seek(SeekFrom::Start(*read))?;
    let mut new = Vec::new();
    file.read_to_end(&mut new)?;
    // The last line may be half written.
    for line in new.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        *read += line.len() as u64;
        let request: Json = serde_json::from_slice(line)?;
        for resource in list(&request[by_resource]) {
            let attributes = attributes(&resource["resource"]);
            for scope in list(&resource[by_scope]) {
                visit(&attributes, scope["scope"]["name"].as_str().unwrap_or_default(), scope);
            }
        }
    }
    Ok(())
}

fn points(resource: &Attributes, scope: &str, metric: &Json) -> Vec<Point> {
    let kinds = ["gauge", "sum", "histogram"];
    let Some(kind) = kinds.into_iter().find(|kind| metric.get(kind).is_some()) else {
        return Vec::new();
    };
    let data = &metric[kind];
    let point = |point: &Json| Point {
        resource: resource.clone(),
        scope: scope.to_owned(),
        name: text(&metric["name"]),
        unit: text(&metric["unit"]),
        kind,
        is_monotonic: data["isMonotonic"] == true,
        attributes: attributes(point),
        ended: whole(&point["flags"]) & 1 == 1,
        start: whole(&point["startTimeUnixNano"]),
        time: whole(&point["timeUnixNano"]),
        value: point["asDouble"].as_f64().unwrap_or_else(|| whole(&point["asInt"]) as f64),
        buckets: list(&point["bucketCounts"]).iter().map(whole).collect(),
        count: whole(&point["count"]),
        sum: point["sum"].as_f64().unwrap_or_default(),
        bounds: list(&point["explicitBounds"]).iter().filter_map(Json::as_f64).collect(),
    };
    list(&data["dataPoints"]).iter().map(point).collect()
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

/// 64-bit numbers are texts in OTLP/JSON.
fn whole(json: &Json) -> u64 {
    json.as_u64().or_else(|| json.as_str()?.parse().ok()).unwrap_or_default()
}

fn attributes(json: &Json) -> Attributes {
    let pairs = list(&json["attributes"]).iter();
    pairs.map(|pair| (text(&pair["key"]), value(&pair["value"]))).collect()
}

fn value(json: &Json) -> String {
    match json.as_object().and_then(|object| object.values().next()) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
