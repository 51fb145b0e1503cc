// SPDX-License-Identifier: Apache-2.0
//! Load averages of the host.
//! Source: `/proc/loadavg` (fs/proc/loadavg.c).   Signals: `system.cpu.load_average.*`.

use semconv::metric;

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::Recorder;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "cpu.loadavg",
    legacy_names: &["loadavg"],
    start: |_| Started::from_files(LoadAverage),
    decoder: None,
};

struct LoadAverage;

impl Probe for LoadAverage {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let Some(loads) = parse::load_averages(cx.files.proc("loadavg")?) else {
            return Err(cx.files.malformed("loadavg", "has not three averages").into());
        };
        let metrics = [
            &metric::SYSTEM_CPU_LOAD_AVERAGE_1M,
            &metric::SYSTEM_CPU_LOAD_AVERAGE_5M,
            &metric::SYSTEM_CPU_LOAD_AVERAGE_15M,
        ];
        for (metric, load) in metrics.into_iter().zip(loads) {
            out.host().gauge(metric, Vec::new(), load);
        }
        Ok(())
    }
}
