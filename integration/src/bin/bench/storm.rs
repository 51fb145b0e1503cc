// SPDX-License-Identifier: Apache-2.0
//! A flood of events of one kind: what it costs, and that others still come through.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use integration::{Agent, Cgroup, Collector, Watch};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use super::cost::{cpu, resident};
use super::{Figure, at, figure, sorted};

const DURATION: Duration = Duration::from_secs(10);
/// Packets per millisecond.
const RATE: u64 = 100;
/// A TCP segment from port 9 to port 9 whose checksum is wrong: the kernel drops it.
const SEGMENT: [u8; 20] = [0, 9, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 4, 0, 0xba, 0xd0, 0, 0];

/// Sends segments until `is_over`, and counts them.
fn flood(is_over: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::TCP))?;
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let begin = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        let due = begin.elapsed().as_micros() as u64 * RATE / 1000;
        while sent.load(Ordering::Relaxed) < due {
            sendto(&raw, &SEGMENT, SendFlags::empty(), &to)?;
            sent.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_micros(500));
    }
    Ok(())
}

/// Milliseconds from each OOM kill to the subscriber, one kill a second.
fn kills(watch: &Watch, cgroup: &Cgroup) -> Result<Vec<f64>> {
    let mut delays = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < DURATION {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        cgroup.kill_one()?;
        let (at, _) = watch.next()?;
        delays.push((at.duration_since(UNIX_EPOCH)? - now).as_secs_f64() * 1000.0);
        sleep(Duration::from_secs(1));
    }
    Ok(delays)
}

/// 100,000 dropped TCP packets a second, beside OOM kills.
pub fn drops() -> Result<Vec<Figure>> {
    let collector = Collector::start(None)?;
    let config = format!("[Otlp]\nEndpoint = \"http://127.0.0.1:{}\"\n", collector.grpc);
    let agent = Agent::with(&config).start()?;
    let watch = Watch::subscribe(&agent, r#"{"filters":{"tracer_name":"oom"}}"#)?;
    let cgroup = Cgroup::new("huatuo-bench")?;
    sleep(Duration::from_secs(2));
    let memory_before = resident(agent.pid())?;
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (before, begin) = (cpu(agent.pid())?, Instant::now());
    let delays = scope(|threads| {
        let sender = threads.spawn(|| flood(&is_over, &sent));
        let delays = kills(&watch, &cgroup);
        is_over.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| anyhow!("the sender panicked"))??;
        delays
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    let share = (cpu(agent.pid())? - before) / seconds * 100.0;
    let memory = resident(agent.pid())?;
    let rate = sent.load(Ordering::Relaxed) as f64 / seconds;
    let worst = at(&sorted(delays), 1.0);
    Ok(vec![
        figure(
            format!("CPU during {rate:.0} dropped packets a second, with their events"),
            format!("{share:.1} % of a core"),
            "≤ 20 %",
        ),
        figure(
            "RSS before and after it",
            format!("{memory_before:.1}, {memory:.1} MiB"),
            "bounded",
        ),
        figure(
            "start of an OOM kill to SSE subscriber meanwhile",
            format!("{worst:.0} ms at worst"),
            "≤ 1 s",
        ),
    ])
}
