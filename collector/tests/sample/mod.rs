// SPDX-License-Identifier: Apache-2.0
//! A host, what was measured on it, and what happened to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use huatuo_otel::signal::{
    EntityKind, Event, Recorder, Resource, RunType, Severity, Snapshot, Value,
};
use semconv::{attribute, event, metric};
use uuid::Uuid;

pub fn host() -> Arc<Resource> {
    let attributes = vec![(&attribute::HOST_NAME, Value::Static("node-1"))];
    Arc::new(Resource::new(EntityKind::Host, attributes))
}

/// One gauge, each time at another time.
pub fn snapshot() -> Snapshot {
    static TIME: AtomicU64 = AtomicU64::new(1);
    let mut recorder = Recorder::new(&host());
    recorder.set_probe("cpu.loadavg");
    recorder.host().gauge(&metric::SYSTEM_CPU_LOAD_AVERAGE_1M, Vec::new(), 0.5);
    recorder.finish(TIME.fetch_add(1, Ordering::Relaxed))
}

/// An OOM kill of that process.
pub fn oom(pid: i64) -> Arc<Event> {
    Arc::new(Event {
        uid: Uuid::now_v7(),
        def: &event::LINUX_MEMORY_OOM_KILL,
        time: 1,
        observed: 2,
        severity: Severity(17),
        run_type: RunType::Auto,
        resource: host(),
        attributes: vec![(&attribute::PROCESS_PID, Value::Int(pid))],
        body: String::new(),
    })
}
