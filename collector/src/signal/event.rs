// SPDX-License-Identifier: Apache-2.0
//! Something that happened.

use std::sync::Arc;

use semconv::{AttributeDef, EventDef, attribute};
use uuid::Uuid;

use crate::kernel::unix_now;

use super::{Attribute, Resource, UnixNanos, Value};

/// OpenTelemetry severity number, 1 (TRACE) to 24 (FATAL4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(pub u8);

impl Severity {
    /// The short name of the number's range: `WARN`, `ERROR`, ….
    pub fn text(self) -> &'static str {
        match self.0 {
            0..=4 => "TRACE",
            5..=8 => "DEBUG",
            9..=12 => "INFO",
            13..=16 => "WARN",
            17..=20 => "ERROR",
            _ => "FATAL",
        }
    }
}

/// How an event came about, HUATUO's `tracer_run_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunType {
    /// The kernel or a threshold set it off.
    Auto,
    /// A person asked for it.
    Manual,
}

impl RunType {
    /// HUATUO's word.
    pub fn as_str(self) -> &'static str {
        match self {
            RunType::Auto => "auto",
            RunType::Manual => "manual",
        }
    }
}

/// Something that happened: one log record.
#[derive(Debug, Clone)]
pub struct Event {
    /// UUIDv7; two records with the same one are the same record.
    pub uid: Uuid,
    /// Its name and structure.
    pub def: &'static EventDef,
    /// When it happened.
    pub time: UnixNanos,
    /// When the agent read it.
    pub observed: UnixNanos,
    /// How bad it is.
    pub severity: Severity,
    /// How it came about.
    pub run_type: RunType,
    /// Whom it happened to.
    pub resource: Arc<Resource>,
    /// Its structure.
    pub attributes: Vec<Attribute>,
    /// One line for people; nothing parses it.
    pub body: String,
}

impl Event {
    /// Version of the CloudEvents specification that the names below follow.
    pub const CLOUDEVENTS_VERSION: &'static str = "1.0";
    /// CloudEvents type of every event.
    pub const CLOUDEVENTS_TYPE: &'static str = "tech.huatuo.kernel.event";

    /// What the kernel or a threshold set off, as bad as the registry says.
    pub fn new(
        def: &'static EventDef,
        time: UnixNanos,
        resource: Arc<Resource>,
        attributes: Vec<Attribute>,
        body: String,
    ) -> Self {
        Self {
            uid: Uuid::now_v7(),
            def,
            time,
            observed: unix_now(),
            severity: Severity(def.severity),
            run_type: RunType::Auto,
            resource,
            attributes,
            body,
        }
    }

    /// CloudEvents source: the host and the tracer.
    pub fn source(&self) -> String {
        format!("/huatuo/{}/{}", self.resource.text(&attribute::HOST_NAME), self.def.legacy.tracer)
    }

    /// CloudEvents subject: what it happened to, the container or else the host.
    pub fn subject(&self) -> &str {
        match self.resource.text(&attribute::CONTAINER_ID) {
            "" => self.resource.text(&attribute::HOST_NAME),
            container => container,
        }
    }

    /// The value of `key` on the record.
    pub fn get(&self, key: &'static AttributeDef) -> Option<&Value> {
        self.attributes.iter().find(|(def, _)| def.key == key.key).map(|(_, value)| value)
    }
}
