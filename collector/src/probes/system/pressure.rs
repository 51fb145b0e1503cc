// SPDX-License-Identifier: Apache-2.0
//! Pressure stall information: the time that tasks could not work for want of a resource.
//! Source: `/proc/pressure/*` and `<resource>.pressure` of cgroup v2
//! (Documentation/accounting/psi.rst).   Signals: `system.*.linux.pressure.*`,
//! `linux.cgroup.pressure.time`.

use semconv::{MetricDef, attribute, metric};

use crate::hostfs::parse;
use crate::probes::{
    Collect, CollectError, ContainerFiles, Probe, ProbeDef, StartContext, Started,
};
use crate::signal::{Attribute, Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "system.pressure", legacy_names: &[], start, decoder: None };

/// One resource of the host: its file, the total and the three averages.
struct Resource {
    file: &'static str,
    total: &'static MetricDef,
    averages: [&'static MetricDef; 3],
}

static RESOURCES: [Resource; 4] = [
    Resource {
        file: "pressure/cpu",
        total: &metric::SYSTEM_CPU_LINUX_PRESSURE_TOTAL,
        averages: [
            &metric::SYSTEM_CPU_LINUX_PRESSURE_10S,
            &metric::SYSTEM_CPU_LINUX_PRESSURE_1M,
            &metric::SYSTEM_CPU_LINUX_PRESSURE_5M,
        ],
    },
    Resource {
        file: "pressure/memory",
        total: &metric::SYSTEM_MEMORY_LINUX_PRESSURE_TOTAL,
        averages: [
            &metric::SYSTEM_MEMORY_LINUX_PRESSURE_10S,
            &metric::SYSTEM_MEMORY_LINUX_PRESSURE_1M,
            &metric::SYSTEM_MEMORY_LINUX_PRESSURE_5M,
        ],
    },
    Resource {
        file: "pressure/io",
        total: &metric::SYSTEM_IO_LINUX_PRESSURE_TOTAL,
        averages: [
            &metric::SYSTEM_IO_LINUX_PRESSURE_10S,
            &metric::SYSTEM_IO_LINUX_PRESSURE_1M,
            &metric::SYSTEM_IO_LINUX_PRESSURE_5M,
        ],
    },
    // Since Linux 6.1, where interrupt time is accounted.
    Resource {
        file: "pressure/irq",
        total: &metric::SYSTEM_IRQ_LINUX_PRESSURE_TOTAL,
        averages: [
            &metric::SYSTEM_IRQ_LINUX_PRESSURE_10S,
            &metric::SYSTEM_IRQ_LINUX_PRESSURE_1M,
            &metric::SYSTEM_IRQ_LINUX_PRESSURE_5M,
        ],
    },
];

/// Files of a cgroup, with the resource that each tells of.
const OF_CGROUP: [(&str, &str); 3] =
    [("cpu.pressure", "cpu"), ("memory.pressure", "memory"), ("io.pressure", "io")];

fn start(cx: &StartContext<'_>) -> Started {
    // Left out of the kernel, or turned off until it boots with psi=1.
    match cx.fs.read_proc("pressure/cpu") {
        Err(error) => Started::failed(error.into(), Vec::new()),
        Ok(_) => Started::from_files(Pressure { files: ContainerFiles::new(cx.fs, "memory") }),
    }
}

struct Pressure {
    files: ContainerFiles,
}

impl Probe for Pressure {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        for resource in &RESOURCES {
            let Ok(text) = cx.files.proc(resource.file) else { continue };
            for stall in parse::stalls(text) {
                // A host that runs anything runs something: the kernel prints zeros.
                if resource.file == "pressure/cpu" && stall.kind == "full" {
                    continue;
                }
                let Some(kind) = stall_type(stall.kind) else { continue };
                let seconds = stall.total_us as f64 / 1e6;
                host.sum_f64(resource.total, vec![kind.clone()], cx.boot_time, seconds);
                for (metric, percent) in resource.averages.into_iter().zip(stall.averages) {
                    host.gauge(metric, vec![kind.clone()], percent / 100.0);
                }
            }
        }
        self.collect_containers(cx, out);
        Ok(())
    }
}

impl Pressure {
    fn collect_containers(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) {
        for container in cx.entities.containers() {
            // Only v2 has files of pressure.
            let files = self.files.of(&container, cx.now).filter(|files| !files.v1);
            let Some(files) = files else { break };
            let mut entity = out.entity(&container.resource);
            for (file, resource) in OF_CGROUP {
                for stall in files.read(file).into_iter().flat_map(parse::stalls) {
                    let Some(kind) = stall_type(stall.kind) else { continue };
                    let of = (&attribute::LINUX_PRESSURE_RESOURCE, Value::Static(resource));
                    let def = &metric::LINUX_CGROUP_PRESSURE_TIME;
                    let seconds = stall.total_us as f64 / 1e6;
                    entity.sum_f64(def, vec![of, kind], container.started, seconds);
                }
            }
        }
        self.files.retain_seen(cx.now);
    }
}

/// `some` or `full`; what else a kernel may print is not known here.
fn stall_type(word: &str) -> Option<Attribute> {
    let members = attribute::SYSTEM_PRESSURE_STALL_TYPE.members;
    let known = members.iter().find(|member| **member == word)?;
    Some((&attribute::SYSTEM_PRESSURE_STALL_TYPE, Value::Static(known)))
}
