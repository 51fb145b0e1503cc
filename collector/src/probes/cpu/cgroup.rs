// SPDX-License-Identifier: Apache-2.0
//! CPU time of containers, and how their quota holds them back.
//! Source: `cpuacct.stat`, `cpu.stat`, `cpu.cfs_*` and `cpuset.effective_cpus` of v1, `cpu.stat`,
//! `cpu.max` and `cpuset.cpus.effective` of v2 (Documentation/admin-guide/cgroup-v1/cpuacct.rst and
//! cpusets.rst, Documentation/scheduler/sched-bwc.rst, Documentation/admin-guide/cgroup-v2.rst).
//! Signals: `container.cpu.time`, `linux.cgroup.cpu.*`.

use semconv::{MetricDef, attribute, metric};

use super::{in_mode, utilization};
use crate::hostfs::{CgroupFiles, parse};
use crate::kernel::ticks_per_second;
use crate::probes::{
    Collect, CollectError, ContainerFiles, PerContainer, Probe, ProbeDef, Started,
};
use crate::signal::{Attribute, EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "cpu.cgroup",
    legacy_names: &[],
    start: |cx| {
        Started::from_files(CgroupCpu {
            // HUATUO's word for the host's use is the word for that of containers too.
            tells_use: !utilization::PROBE.is_listed(cx.config),
            tells_bandwidth: !cx.config.is_listed(BANDWIDTH_WORD),
            cpu: ContainerFiles::new(cx.fs, "cpu"),
            cpuset: ContainerFiles::new(cx.fs, "cpuset"),
            accounting: ContainerFiles::new(cx.fs, "cpuacct"),
            hertz: ticks_per_second() as f64,
            last: PerContainer::default(),
        })
    },
    decoder: None,
};

/// HUATUO's for what held a container back.
const BANDWIDTH_WORD: &str = "cpu_stat";

struct CgroupCpu {
    tells_use: bool,
    tells_bandwidth: bool,
    cpu: ContainerFiles,
    cpuset: ContainerFiles,
    /// The hierarchy that counts CPU time on v1.
    accounting: ContainerFiles,
    hertz: f64,
    last: PerContainer<Option<Last>>,
}

/// Seconds since the cgroup was made.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usage {
    user: f64,
    system: f64,
}

/// What `cpu.stat` tells of the quota, in seconds and periods; `None` where the kernel does not.
#[derive(Debug, Default, PartialEq)]
struct Bandwidth {
    periods: Option<u64>,
    throttled_periods: Option<u64>,
    throttled: Option<f64>,
    burst_periods: Option<u64>,
    burst: Option<f64>,
}

/// What the kernels of some vendors tell of waiting, in seconds, by the reason.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Waits([f64; 3]);

const REASONS: [&str; 3] = ["throttle", "inner", "outer"];

/// What the last collection saw, for shares of the time since.
#[derive(Debug, Clone, Copy)]
struct Last {
    time: UnixNanos,
    usage: Usage,
    waits: Option<Waits>,
}

impl Probe for CgroupCpu {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        if !self.tells_use && !self.tells_bandwidth {
            return Ok(());
        }
        let (now, hertz) = (cx.now, self.hertz);
        let online = parse::online_cpus(cx.files.proc("stat")?).max(1) as f64;
        for container in cx.entities.containers() {
            let mut entity = out.entity(&container.resource);
            let (mut waits, mut usage) = (None, None);
            let mut files = self.cpu.of(&container, now);
            let limit = files.as_mut().and_then(|files| limit(files));
            let set = self.cpuset.of(&container, now).and_then(cpus);
            let allotted = [limit, set].into_iter().flatten().fold(online, f64::min);
            if let Some(files) = files {
                if self.tells_use {
                    record_limit(limit, allotted, container.started, &mut entity);
                }
                let v1 = files.v1;
                let text = files.read("cpu.stat").unwrap_or_default();
                usage = parse_usage(text, ["user_usec", "system_usec"], 1e6);
                if self.tells_bandwidth {
                    record_bandwidth(&parse_bandwidth(text, v1), container.started, &mut entity);
                    waits = parse_waits(text);
                    record_waits(waits, container.started, &mut entity);
                }
            }
            let usage = usage.or_else(|| {
                let text = self.accounting.of(&container, now)?.read("cpuacct.stat")?;
                parse_usage(text, ["user", "system"], hertz)
            });
            if let Some(usage) = usage {
                let this = Last { time: now, usage, waits };
                let last = self.last.of(&container, now, || None).replace(this);
                if self.tells_use {
                    record_usage(usage, container.started, &mut entity);
                    record_share(last, &this, allotted, &mut entity);
                }
                if let Some(last) = last {
                    record_wait_share(&last, &this, &mut entity);
                }
            }
        }
        self.cpu.retain_seen(now);
        self.cpuset.retain_seen(now);
        self.accounting.retain_seen(now);
        self.last.retain_seen(now);
        Ok(())
    }
}

/// Microseconds on v2, clock ticks on v1.
fn parse_usage(text: &str, words: [&str; 2], unit: f64) -> Option<Usage> {
    let [user, system] = words.map(|word| parse::field(text, word));
    Some(Usage { user: user? as f64 / unit, system: system? as f64 / unit })
}

/// CPUs of the quota; `None` where there is none.
fn limit(files: &mut CgroupFiles) -> Option<f64> {
    let (quota, period) = if files.v1 {
        (files.number("cpu.cfs_quota_us")?, files.number("cpu.cfs_period_us")?)
    } else {
        parse_max(files.read("cpu.max")?)?
    };
    (period > 0).then(|| quota as f64 / period as f64)
}

/// CPUs that it may run on.
fn cpus(files: &mut CgroupFiles) -> Option<f64> {
    let name = if files.v1 { "cpuset.effective_cpus" } else { "cpuset.cpus.effective" };
    Some(parse::cpu_list(files.read(name)?)? as f64)
}

/// `cpu.max`: quota, or `max`, and period in microseconds.
fn parse_max(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_ascii_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn parse_bandwidth(text: &str, v1: bool) -> Bandwidth {
    let (throttled, burst, unit) = if v1 {
        ("throttled_time", "burst_time", 1e9)
    } else {
        ("throttled_usec", "burst_usec", 1e6)
    };
    let seconds = |word| parse::field(text, word).map(|time| time as f64 / unit);
    Bandwidth {
        periods: parse::field(text, "nr_periods"),
        throttled_periods: parse::field(text, "nr_throttled"),
        throttled: seconds(throttled),
        burst_periods: parse::field(text, "nr_bursts"),
        burst: seconds(burst),
    }
}

/// Nanoseconds that the whole wait took, and its part within the container; `None` on kernels that
/// do not tell.
fn parse_waits(text: &str) -> Option<Waits> {
    let seconds = |word| parse::field(text, word).map(|time| time as f64 / 1e9);
    let (all, inner) = (seconds("hierarchy_wait_sum")?, seconds("inner_wait_sum")?);
    let throttle = seconds("throttled_time").unwrap_or(0.0);
    Some(Waits([throttle, inner, (all - inner - throttle).max(0.0)]))
}

fn record_waits(waits: Option<Waits>, start: UnixNanos, out: &mut EntityRecorder<'_>) {
    for (reason, time) in waits.into_iter().flat_map(|waits| REASONS.into_iter().zip(waits.0)) {
        out.sum_f64(&metric::LINUX_CGROUP_CPU_WAIT_TIME, because(reason), start, time);
    }
}

/// Shares of the time that tasks ran or waited.
fn record_wait_share(last: &Last, now: &Last, out: &mut EntityRecorder<'_>) {
    let (Some(before), Some(waits)) = (last.waits, now.waits) else { return };
    let spent: [f64; 3] = std::array::from_fn(|at| (waits.0[at] - before.0[at]).max(0.0));
    let ran = now.usage.user + now.usage.system - last.usage.user - last.usage.system;
    let wanted = spent.iter().sum::<f64>() + ran.max(0.0);
    for (reason, time) in REASONS.into_iter().zip(spent) {
        let share = if wanted > 0.0 { time / wanted } else { 0.0 };
        out.gauge(&metric::LINUX_CGROUP_CPU_WAIT_UTILIZATION, because(reason), share);
    }
}

fn because(reason: &'static str) -> Vec<Attribute> {
    vec![(&attribute::LINUX_CGROUP_CPU_WAIT_REASON, Value::Static(reason))]
}

fn record_limit(limit: Option<f64>, allotted: f64, start: UnixNanos, out: &mut EntityRecorder<'_>) {
    if let Some(limit) = limit {
        out.sum_f64(&metric::LINUX_CGROUP_CPU_LIMIT, Vec::new(), start, limit);
    }
    out.sum_f64(&metric::LINUX_CGROUP_CPU_ALLOTTED, Vec::new(), start, allotted);
}

fn record_bandwidth(bandwidth: &Bandwidth, start: UnixNanos, out: &mut EntityRecorder<'_>) {
    let counts: [(&'static MetricDef, Option<u64>); 3] = [
        (&metric::LINUX_CGROUP_CPU_PERIODS, bandwidth.periods),
        (&metric::LINUX_CGROUP_CPU_THROTTLED_PERIODS, bandwidth.throttled_periods),
        (&metric::LINUX_CGROUP_CPU_BURST_PERIODS, bandwidth.burst_periods),
    ];
    for (def, count) in counts {
        if let Some(count) = count {
            out.sum(def, Vec::new(), start, count);
        }
    }
    let times: [(&'static MetricDef, Option<f64>); 2] = [
        (&metric::LINUX_CGROUP_CPU_THROTTLED_TIME, bandwidth.throttled),
        (&metric::LINUX_CGROUP_CPU_BURST_TIME, bandwidth.burst),
    ];
    for (def, time) in times {
        if let Some(time) = time {
            out.sum_f64(def, Vec::new(), start, time);
        }
    }
}

fn record_usage(usage: Usage, start: UnixNanos, out: &mut EntityRecorder<'_>) {
    for (mode, time) in [("user", usage.user), ("system", usage.system)] {
        out.sum_f64(&metric::CONTAINER_CPU_TIME, in_mode(mode), start, time);
    }
}

/// Shares of the CPU time that the container could have had since the last collection.
fn record_share(last: Option<Last>, now: &Last, allotted: f64, out: &mut EntityRecorder<'_>) {
    let Some(last) = last else { return };
    let possible = now.time.saturating_sub(last.time) as f64 / 1e9 * allotted;
    if possible <= 0.0 {
        return;
    }
    let (last, now) = (last.usage, now.usage);
    let modes = [("user", now.user - last.user), ("system", now.system - last.system)];
    for (mode, spent) in modes {
        let share = spent.max(0.0) / possible;
        out.gauge(&metric::LINUX_CGROUP_CPU_UTILIZATION, in_mode(mode), share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_of_the_quota_in_their_units() {
        let v1 = "nr_periods 10\nnr_throttled 3\nthrottled_time 1500000000\n";
        let bandwidth = parse_bandwidth(v1, true);
        assert_eq!((bandwidth.periods, bandwidth.throttled_periods), (Some(10), Some(3)));
        assert_eq!((bandwidth.throttled, bandwidth.burst), (Some(1.5), None));
        let v2 =
            "usage_usec 5\nnr_periods 10\nthrottled_usec 1500000\nnr_bursts 2\nburst_usec 500000\n";
        let bandwidth = parse_bandwidth(v2, false);
        assert_eq!((bandwidth.throttled, bandwidth.burst), (Some(1.5), Some(0.5)));
        assert_eq!(bandwidth.burst_periods, Some(2));
        assert_eq!(parse_bandwidth("", false), Bandwidth::default());
    }

    #[test]
    fn a_wait_is_throttled_or_within_or_without() {
        let text = "nr_throttled 1\nthrottled_time 1000000000\n\
                    hierarchy_wait_sum 6000000000\ninner_wait_sum 2000000000\n";
        assert_eq!(parse_waits(text), Some(Waits([1.0, 2.0, 3.0])));
        assert_eq!(parse_waits("nr_throttled 1\n"), None);
    }

    #[test]
    fn a_quota_is_two_numbers_and_max_is_none() {
        assert_eq!(parse_max("150000 100000\n"), Some((150_000, 100_000)));
        assert_eq!(parse_max("max 100000\n"), None);
        assert_eq!(parse_max(""), None);
    }
}
