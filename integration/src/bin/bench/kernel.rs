// SPDX-License-Identifier: Apache-2.0
//! What our programs cost the machine.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration::{Agent, installed, number, proc};

use super::{Figure, at, figure, sorted};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Switches there and back of a pair of processes.
const LOOPS: &str = "150000";
/// Pairs of runs, with and without the agent.
const PAIRS: usize = 25;

/// Seconds that `perf bench sched pipe` takes on one CPU, where it does nothing but switch.
fn pipe() -> Result<f64> {
    let perf = installed("perf")?;
    let output = Command::new(installed("taskset")?)
        .args(["-c", "0"])
        .arg(perf)
        .args(["bench", "-f", "simple", "sched", "pipe", "-l", LOOPS])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().with_context(|| format!("perf bench says {text}"))
}

fn hackbench() -> Result<f64> {
    let output = Command::new(installed("hackbench")?).args(["-g", "4", "-l", "2000"]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let time = text.lines().find_map(|line| line.strip_prefix("Time: ")).context("no time")?;
    Ok(time.trim().parse()?)
}

/// Run time in ns and runs of the agent's busiest program.
fn busiest(pid: u32) -> Result<(u64, u64)> {
    let mut best = (0, 0);
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        if let (Ok(time), Ok(runs)) = (number(&text, "run_time_ns:"), number(&text, "run_cnt:"))
            && runs > best.1
        {
            best = (time, runs);
        }
    }
    Ok(best)
}

pub fn switch() -> Result<Vec<Figure>> {
    let agent = Agent::with("").start()?;
    let before = fs::read_to_string(SWITCH)?;
    fs::write(SWITCH, "1")?;
    let measured = (|| {
        let (time_before, runs_before) = busiest(agent.pid())?;
        pipe()?;
        let (time, runs) = busiest(agent.pid())?;
        let (time, runs) = (time - time_before, runs - runs_before);
        ensure!(runs > 100_000, "only {runs} switches were seen");
        Ok((time as f64 / runs as f64, runs))
    })();
    fs::write(SWITCH, before)?;
    let (each, runs) = measured?;
    let value = format!("{each:.0} ns per sched_switch, over {runs} of them");
    Ok(vec![figure("cpu.runqlat, BPF statistics of the kernel", value, "")])
}

/// Runs in pairs, in turn first with and first without the agent.
fn paired(name: &str, run: fn() -> Result<f64>) -> Result<Figure> {
    let mut losses = Vec::new();
    let with = || -> Result<f64> {
        let _agent = Agent::with("").start()?;
        run()
    };
    run()?;
    for pair in 0..PAIRS {
        let (without, with) = if pair % 2 == 0 {
            let without = run()?;
            (without, with()?)
        } else {
            let with = with()?;
            (run()?, with)
        };
        losses.push((with / without - 1.0) * 100.0);
    }
    let losses = sorted(losses);
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| at(&losses, share));
    let value = format!(
        "{middle:+.1} % time (median of {PAIRS} pairs, half of them {low:+.1} to {high:+.1})"
    );
    Ok(figure(format!("{name} with the agent"), value, ""))
}

pub fn throughput() -> Result<Vec<Figure>> {
    // Shows that nothing else is at work.
    let load = proc("loadavg")?;
    Ok(vec![
        figure("load average before the paired runs", load.split(' ').next().unwrap_or(""), "< 1"),
        paired("perf bench sched pipe on one CPU", pipe)?,
        paired("hackbench -g 4 -l 2000", hackbench)?,
    ])
}
