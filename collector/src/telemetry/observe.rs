// SPDX-License-Identifier: Apache-2.0
//! Instruments that are read when they are exported: state of the probes, their costs and losses,
//! the process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::AsyncInstrument;
use semconv::{MetricDef, attribute, metric};

use super::instrument::meter;
use super::process::ProcessUsage;
use crate::collect::{Costs, Lost};
use crate::entity::Census;
use crate::status::Board;
use crate::sync::lock;

/// What is observed.
pub struct Observed {
    /// Verdicts of the probes.
    pub board: Arc<Board>,
    /// Tells what the probes cost and lost.
    pub costs: Box<dyn Fn() -> Costs + Send + Sync>,
    /// Tells of the containers that are known.
    pub census: Box<dyn Fn() -> Census + Send + Sync>,
    /// Tells how many clients watch.
    pub watchers: Box<dyn Fn() -> usize + Send + Sync>,
}

/// Registers the instruments with the global provider, which must be set before.
pub fn observe(observed: Observed) {
    let Observed { board, costs, census, watchers } = observed;
    observe_probes(board);
    observe_costs(&Arc::new(Shared::new(costs)));
    observe_containers(&Arc::new(Shared::new(census)));
    up_down(&metric::HUATUO_WATCH_CLIENT_COUNT, move |out| {
        out.observe(watchers() as i64, &[]);
    });
    observe_process();
}

/// One reading that all instruments of an export share.
struct Shared<T> {
    read: Box<dyn Fn() -> T + Send + Sync>,
    last: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Shared<T> {
    fn new(read: Box<dyn Fn() -> T + Send + Sync>) -> Self {
        Self { read, last: Mutex::new(None) }
    }

    fn get(&self) -> Arc<T> {
        let mut last = lock(&self.last);
        if let Some((at, value)) = last.as_ref()
            && at.elapsed() < Duration::from_millis(100)
        {
            return Arc::clone(value);
        }
        let value = Arc::new((self.read)());
        *last = Some((Instant::now(), Arc::clone(&value)));
        value
    }
}

fn observe_probes(board: Arc<Board>) {
    up_down(&metric::HUATUO_PROBE_STATUS, move |out| {
        for verdict in board.verdicts().probes {
            for state in attribute::HUATUO_PROBE_STATE.members {
                let name = KeyValue::new(attribute::HUATUO_PROBE_NAME.key, verdict.probe);
                let state_key = KeyValue::new(attribute::HUATUO_PROBE_STATE.key, *state);
                out.observe(i64::from(verdict.state.as_str() == *state), &[name, state_key]);
            }
        }
    });
}

fn observe_costs(costs: &Arc<Shared<Costs>>) {
    let shared = Arc::clone(costs);
    up_down(&metric::HUATUO_SERIES_COUNT, move |out| out.observe(shared.get().series as i64, &[]));

    let shared = Arc::clone(costs);
    let time = &metric::HUATUO_BPF_PROGRAM_RUN_TIME;
    seconds(time, move |out| {
        for cost in &shared.get().programs {
            out.observe(cost.seconds, &[program(&cost.program)]);
        }
    });
    let shared = Arc::clone(costs);
    total(&metric::HUATUO_BPF_PROGRAM_RUN_COUNT, move |out| {
        for cost in &shared.get().programs {
            out.observe(cost.runs, &[program(&cost.program)]);
        }
    });
    let shared = Arc::clone(costs);
    total(&metric::HUATUO_BPF_EVENTS_LOST, move |out| {
        for lost in &shared.get().lost {
            observe_lost(lost, out);
        }
    });
}

fn observe_lost(lost: &Lost, out: &dyn AsyncInstrument<u64>) {
    out.observe(lost.rate_limited, &because(lost.probe, "rate_limited"));
    out.observe(lost.ring_full, &because(lost.probe, "ring_full"));
    out.observe(lost.queue_full, &because(lost.probe, "queue_full"));
    out.observe(lost.malformed, &because(lost.probe, "decode_failed"));
}

fn program(name: &str) -> KeyValue {
    KeyValue::new(attribute::HUATUO_BPF_PROGRAM_NAME.key, name.to_owned())
}

fn because(probe: &'static str, reason: &'static str) -> [KeyValue; 2] {
    let name = KeyValue::new(attribute::HUATUO_PROBE_NAME.key, probe);
    [name, KeyValue::new(attribute::HUATUO_LOSS_REASON.key, reason)]
}

fn observe_containers(census: &Arc<Shared<Census>>) {
    let shared = Arc::clone(census);
    up_down(&metric::HUATUO_CONTAINER_COUNT, move |out| {
        let census = shared.get();
        for (state, count) in [("running", census.running), ("ended", census.ended)] {
            let state = KeyValue::new(attribute::HUATUO_CONTAINER_STATE.key, state);
            out.observe(i64::try_from(count).unwrap_or(i64::MAX), &[state]);
        }
    });
    let shared = Arc::clone(census);
    total(&metric::HUATUO_CONTAINER_UNSEEN, move |out| out.observe(shared.get().unseen, &[]));
}

fn observe_process() {
    let started = Instant::now();
    let usage = Arc::new(Shared::new(Box::new(ProcessUsage::read)));

    let shared = Arc::clone(&usage);
    seconds(&metric::PROCESS_CPU_TIME, move |out| {
        if let Some(usage) = *shared.get() {
            for (mode, time) in [("user", usage.user), ("system", usage.system)] {
                out.observe(time, &[KeyValue::new(attribute::CPU_MODE.key, mode)]);
            }
        }
    });
    let whole = |def, value: fn(&ProcessUsage) -> i64| {
        let shared = Arc::clone(&usage);
        up_down(def, move |out| {
            if let Some(usage) = &*shared.get() {
                out.observe(value(usage), &[]);
            }
        });
    };
    whole(&metric::PROCESS_MEMORY_USAGE, |usage| usage.resident);
    whole(&metric::PROCESS_THREAD_COUNT, |usage| usage.threads);
    whole(&metric::PROCESS_UNIX_FILE_DESCRIPTOR_COUNT, |usage| usage.descriptors);
    let def = &metric::PROCESS_UPTIME;
    meter()
        .f64_observable_gauge(def.name)
        .with_unit(def.unit)
        .with_description(def.brief)
        .with_callback(move |out| out.observe(started.elapsed().as_secs_f64(), &[]))
        .build();
}

fn up_down(
    def: &'static MetricDef,
    callback: impl Fn(&dyn AsyncInstrument<i64>) + Send + Sync + 'static,
) {
    let meter = meter();
    let builder = meter.i64_observable_up_down_counter(def.name);
    builder.with_unit(def.unit).with_description(def.brief).with_callback(callback).build();
}

fn total(
    def: &'static MetricDef,
    callback: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    let meter = meter();
    let builder = meter.u64_observable_counter(def.name);
    builder.with_unit(def.unit).with_description(def.brief).with_callback(callback).build();
}

fn seconds(
    def: &'static MetricDef,
    callback: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
) {
    let meter = meter();
    let builder = meter.f64_observable_counter(def.name);
    builder.with_unit(def.unit).with_description(def.brief).with_callback(callback).build();
}
