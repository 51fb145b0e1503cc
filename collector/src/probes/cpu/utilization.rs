// SPDX-License-Identifier: Apache-2.0
//! What the host's CPUs spend their time on.
//! Source: `/proc/stat` (fs/proc/stat.c).   Signals: `system.cpu.time`, `system.cpu.utilization`,
//! `system.cpu.logical.count`.

use semconv::metric;

use super::in_mode;
use crate::hostfs::parse;
use crate::kernel::ticks_per_second;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::Recorder;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "cpu.utilization",
    legacy_names: &["cpu_util"],
    start: |_| Started::from_files(Utilization { hertz: ticks_per_second() as f64, last: None }),
    decoder: None,
};

/// Columns of the `cpu` line. Guest time is left out: the kernel has it in user and nice already.
const MODES: [&str; 8] =
    ["user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal"];

type Ticks = [u64; MODES.len()];

struct Utilization {
    /// Clock ticks per second in which the kernel shows CPU time (USER_HZ).
    hertz: f64,
    last: Option<Ticks>,
}

impl Probe for Utilization {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let text = cx.files.proc("stat")?;
        let cpus = parse::online_cpus(text);
        let Some(columns) = parse::cpu_ticks(text) else {
            return Err(cx.files.malformed("stat", "has no `cpu` line of numbers").into());
        };
        let mut ticks = Ticks::default();
        ticks.copy_from_slice(&columns[..MODES.len()]);

        let mut host = out.host();
        host.sum(&metric::SYSTEM_CPU_LOGICAL_COUNT, Vec::new(), cx.boot_time, cpus as u64);
        for (mode, ticks) in MODES.into_iter().zip(ticks) {
            let seconds = ticks as f64 / self.hertz;
            host.sum_f64(&metric::SYSTEM_CPU_TIME, in_mode(mode), cx.boot_time, seconds);
        }
        if let Some(shares) = self.last.and_then(|last| shares(&last, &ticks)) {
            for (mode, share) in MODES.into_iter().zip(shares) {
                host.gauge(&metric::SYSTEM_CPU_UTILIZATION, in_mode(mode), share);
            }
        }
        self.last = Some(ticks);
        Ok(())
    }
}

/// Share of each mode in the time between two readings, 0..=1. The kernel lets idle and iowait go
/// backwards now and then; such a mode had nothing. `None` when no time passed.
fn shares(last: &Ticks, now: &Ticks) -> Option<[f64; MODES.len()]> {
    let mut spent = [0.0; MODES.len()];
    for (spent, (last, now)) in spent.iter_mut().zip(last.iter().zip(now)) {
        *spent = now.saturating_sub(*last) as f64;
    }
    let all: f64 = spent.iter().sum();
    (all > 0.0).then(|| spent.map(|spent| spent / all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_one() {
        let shares = shares(&[0; 8], &[50, 0, 25, 25, 0, 0, 0, 0]).unwrap();
        assert_eq!(shares[..4], [0.5, 0.0, 0.25, 0.25]);
    }

    #[test]
    fn a_mode_that_goes_backwards_had_nothing_and_no_time_gives_no_shares() {
        let shares_after_step = shares(&[10, 0, 0, 100, 0, 0, 0, 0], &[20, 0, 0, 90, 0, 0, 0, 0]);
        assert_eq!(shares_after_step.unwrap()[3], 0.0);
        assert_eq!(shares(&[1; 8], &[1; 8]), None);
    }
}
