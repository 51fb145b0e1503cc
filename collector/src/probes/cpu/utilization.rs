// SPDX-License-Identifier: Apache-2.0
//! What the host's CPUs spend their time on.
//! Source: `/proc/stat` (fs/proc/stat.c).   Signals: `system.cpu.time`, `system.cpu.utilization`,
//! `system.cpu.logical.count`.

use semconv::metric;

use super::in_mode;
use crate::hostfs::parse;
use crate::kernel::ticks_per_second;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::{Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "cpu.utilization",
    legacy_names: &["cpu_util"],
    start: |_| {
        let hertz = ticks_per_second();
        Started::from_files(Utilization { hertz, last: None, told: None, collected: 0 })
    },
    decoder: None,
};

/// Columns of the `cpu` line. Guest time is left out: the kernel has it in user and nice already.
const MODES: [&str; 8] =
    ["user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal"];

type Ticks = [u64; MODES.len()];

struct Utilization {
    /// Clock ticks per second in which the kernel shows CPU time (USER_HZ).
    hertz: u64,
    last: Option<Ticks>,
    told: Option<[Told; MODES.len()]>,
    /// The last collection.
    collected: UnixNanos,
}

/// CPU time of a mode as it was told last, and since when it counts.
#[derive(Debug, Clone, Copy)]
struct Told {
    ticks: u64,
    start: UnixNanos,
}

impl Told {
    /// The kernel lets idle and iowait fall by some ticks now and then: what was told stays until they
    /// are there again. By over `most` they began anew.
    fn see(&mut self, ticks: u64, most: u64, collected: UnixNanos) {
        let fell = self.ticks.saturating_sub(ticks);
        if fell > most {
            self.start = collected;
        }
        if fell == 0 || fell > most {
            self.ticks = ticks;
        }
    }
}

/// The most that idle time falls without having begun anew.
const FALL_SECONDS: u64 = 3;

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
        let told = self.told.get_or_insert([Told { ticks: 0, start: cx.boot_time }; MODES.len()]);
        for ((mode, ticks), told) in MODES.into_iter().zip(ticks).zip(told) {
            told.see(ticks, FALL_SECONDS * self.hertz, self.collected);
            let seconds = told.ticks as f64 / self.hertz as f64;
            host.sum_f64(&metric::SYSTEM_CPU_TIME, in_mode(mode), told.start, seconds);
        }
        if let Some(shares) = self.last.and_then(|last| shares(&last, &ticks)) {
            for (mode, share) in MODES.into_iter().zip(shares) {
                host.gauge(&metric::SYSTEM_CPU_UTILIZATION, in_mode(mode), share);
            }
        }
        self.last = Some(ticks);
        self.collected = cx.now;
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
    fn time_that_falls_by_some_ticks_waits_and_by_many_begins_anew() {
        let mut told = Told { ticks: 0, start: 1 };
        let mut see = |ticks, now| {
            told.see(ticks, 300, now);
            (told.ticks, told.start)
        };
        assert_eq!(see(1000, 10), (1000, 1));
        assert_eq!(see(990, 20), (1000, 1));
        assert_eq!(see(1001, 30), (1001, 1));
        assert_eq!(see(700, 40), (700, 40));
        assert_eq!(see(720, 50), (720, 40));
    }

    #[test]
    fn a_mode_that_goes_backwards_had_nothing_and_no_time_gives_no_shares() {
        let shares_after_step = shares(&[10, 0, 0, 100, 0, 0, 0, 0], &[20, 0, 0, 90, 0, 0, 0, 0]);
        assert_eq!(shares_after_step.unwrap()[3], 0.0);
        assert_eq!(shares(&[1; 8], &[1; 8]), None);
    }
}
