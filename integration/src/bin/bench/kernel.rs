// SPDX-License-Identifier: Apache-2.0
//! What our programs cost the machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use integration::{Agent, Cgroup, Network, installed, number, proc};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::storm::strikes::segments;
use super::{Figure, at, figure, sorted};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Switches there and back of a pair of processes.
const LOOPS: &str = "150000";
/// Packets of a flood.
const DROPS: u32 = 1_000_000;
/// Bytes through a TCP connection.
const TCP_BYTES: usize = 4 << 30;
/// Bytes of one read or write, as iperf3 has them.
const PIECE: usize = 128 << 10;
/// Pairs of runs, with and without the agent.
const PAIRS: usize = 40;

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

/// Seconds until a scheduler's and a disk's load, side by side, are both done.
fn mixed() -> Result<f64> {
    let folder = tempfile::tempdir_in(integration::root().join("target"))?;
    let file = folder.path().join("data");
    let data = file.display();
    let dd = |options: &str| {
        Command::new("sh").arg("-c").arg(format!("dd status=none {options}")).spawn()
    };
    dd(&format!("if=/dev/zero of={data} bs=1M count=64 oflag=direct"))?.wait()?;
    let begin = Instant::now();
    let mut reader = dd(&format!("if={data} of=/dev/null bs=4k iflag=direct"))?;
    hackbench()?;
    ensure!(reader.wait()?.success(), "dd failed");
    Ok(begin.elapsed().as_secs_f64())
}

/// Has this thread run on one CPU only.
fn stay_on(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}

/// Seconds that 4 GiB take from one socket to another on this host. Each end has a CPU: where the
/// scheduler puts them makes more of a difference than anything else.
fn tcp() -> Result<f64> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    let reader = std::thread::spawn(move || -> Result<usize> {
        stay_on(0)?;
        let (mut from, _) = server.accept()?;
        let (mut received, mut piece) = (0, vec![0; PIECE]);
        loop {
            match from.read(&mut piece)? {
                0 => return Ok(received),
                length => received += length,
            }
        }
    });
    let writer = std::thread::spawn(move || -> Result<Instant> {
        stay_on(1)?;
        let mut to = TcpStream::connect(address)?;
        let begin = Instant::now();
        let piece = vec![0; PIECE];
        for _ in 0..TCP_BYTES / PIECE {
            to.write_all(&piece)?;
        }
        Ok(begin)
    });
    let begin = writer.join().map_err(|_| anyhow!("the writer panicked"))??;
    let received = reader.join().map_err(|_| anyhow!("the reader panicked"))??;
    ensure!(received == TCP_BYTES, "{received} bytes came");
    Ok(begin.elapsed().as_secs_f64())
}

/// Seconds that it takes to send a million packets which the kernel drops, as fast as one CPU can.
fn drops() -> Result<f64> {
    Network::new("drops")?.run(|| {
        let mut send = segments()?;
        let begin = Instant::now();
        (0..DROPS).try_for_each(|_| send())?;
        Ok(begin.elapsed().as_secs_f64())
    })
}

/// Has tasks reclaim the memory that they took before.
fn reclaims() -> Result<()> {
    Cgroup::new("huatuo-bench")?.take_page_cache(400, 2)
}

/// Run time in ns and runs of each of the agent's programs, by its number.
fn programs(pid: u32) -> Result<BTreeMap<u64, (u64, u64)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let of = |word: &str| number(&text, word);
        if let (Ok(id), Ok(time), Ok(runs)) = (of("prog_id:"), of("run_time_ns:"), of("run_cnt:")) {
            found.insert(id, (time, runs));
        }
    }
    Ok(found)
}

/// Names of the kernel's programs by their numbers.
fn names() -> Result<BTreeMap<u64, String>> {
    let output = Command::new(installed("bpftool")?).args(["prog", "list", "--json"]).output()?;
    let list: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let named = list.as_array().context("bpftool gives no list")?.iter();
    Ok(named
        .filter_map(|program| Some((program["id"].as_u64()?, program["name"].as_str()?.to_owned())))
        .collect())
}

/// What one run of each program takes under loads of the scheduler, a disk, TCP, packets that are
/// dropped, and a cgroup at its limit of memory.
pub fn hooks() -> Result<Vec<Figure>> {
    let agent = Agent::with("").start()?;
    let names = names()?;
    let before = fs::read_to_string(SWITCH)?;
    fs::write(SWITCH, "1")?;
    let measured = (|| {
        let before = programs(agent.pid())?;
        mixed()?;
        tcp()?;
        drops()?;
        reclaims()?;
        let mut figures = Vec::new();
        for (id, (time, runs)) in programs(agent.pid())? {
            let (time_before, runs_before) = before.get(&id).copied().unwrap_or_default();
            let (time, runs) = (time - time_before, runs - runs_before);
            let name = names.get(&id).map_or("?", String::as_str);
            if runs > 100 {
                let each = time as f64 / runs as f64;
                let value = format!("{each:.0} ns per run, over {runs} runs");
                figures.push(figure(format!("BPF program {name}"), value, ""));
            }
        }
        Ok(figures)
    })();
    fs::write(SWITCH, before)?;
    measured
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

/// What TCP loses.
pub fn loopback() -> Result<Vec<Figure>> {
    Ok(vec![paired("4 GiB through a TCP connection on loopback", tcp)?])
}

/// What a flood of packets that are dropped loses.
pub fn flood() -> Result<Vec<Figure>> {
    let rate = f64::from(DROPS) / drops()?;
    Ok(vec![
        figure("dropped packets a second without the agent", format!("{rate:.0}"), ""),
        paired("a million dropped packets", drops)?,
    ])
}

pub fn throughput() -> Result<Vec<Figure>> {
    // Shows that nothing else is at work.
    let load = proc("loadavg")?;
    Ok(vec![
        figure("load average before the paired runs", load.split(' ').next().unwrap_or(""), "< 1"),
        paired("perf bench sched pipe on one CPU", pipe)?,
        paired("hackbench -g 4 -l 2000", hackbench)?,
        paired("the same beside 16,384 direct reads of 4 KiB", mixed)?,
    ])
}
