// SPDX-License-Identifier: Apache-2.0
//! From snapshots and events to the bytes of OTLP requests (opentelemetry-proto v1).
//!
//! Whoever wants a leaner writer replaces [`metrics`] or [`logs`] and nothing else.

mod logs;
mod metrics;
mod value;
mod wire;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource as ResourceProto;

pub use logs::logs;
pub use metrics::metrics;

use crate::signal::Resource;

/// Bytes of a request, uncompressed, that no receiver refuses: gRPC servers take 4 MiB by default.
pub const MAX_REQUEST: usize = 4_000_000;

/// One request: an `Export…ServiceRequest` and how many points or records it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The message.
    pub body: Vec<u8>,
    /// Data points or log records.
    pub items: u64,
}

/// Fills requests up to a limit, cutting at the borders of Resources.
struct Packer {
    limit: usize,
    full: Vec<Request>,
    open: Request,
}

impl Packer {
    fn new(limit: usize) -> Self {
        Self { limit, full: Vec::new(), open: Request { body: Vec::new(), items: 0 } }
    }

    /// Whether a message of that length fits a request of its own.
    fn fits(&self, length: usize) -> bool {
        length + 8 <= self.limit
    }

    /// Appends a `ResourceMetrics` or `ResourceLogs`: field 1 of both kinds of request.
    fn push(&mut self, resource: &[u8], items: u64) {
        if self.open.items > 0 && self.open.body.len() + resource.len() + 8 > self.limit {
            let next = Request { body: Vec::new(), items: 0 };
            self.full.push(std::mem::replace(&mut self.open, next));
        }
        wire::bytes(&mut self.open.body, 1, resource);
        self.open.items += items;
    }

    fn finish(mut self) -> Vec<Request> {
        if self.open.items > 0 {
            self.full.push(self.open);
        }
        self.full
    }
}

fn resource(resource: &Resource) -> ResourceProto {
    ResourceProto { attributes: value::attributes(&resource.attributes), ..Default::default() }
}

fn scope(probe: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: format!("huatuo-otel/{probe}"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    }
}
