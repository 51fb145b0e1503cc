// SPDX-License-Identifier: Apache-2.0
//! Runs the built agent against a real kernel and real consumers: what the tests and the benchmark
//! share.

mod agent;
mod bpf;
mod burner;
mod cable;
mod cgroup;
mod collector;
mod engine;
pub mod expectations;
pub mod lab;
mod network;
mod program;
mod received;
mod scene;
mod watch;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use semconv::{MetricDef, event, metric};

pub use agent::Agent;
pub use bpf::bpf_entries;
pub use burner::Burner;
pub use cable::{CLIENT_MAC, Cable, Namespace, SERVER, SERVER_MAC};
pub use cgroup::{Cgroup, Held, Inside, Killed, LIMIT, container_id};
pub use collector::{Collector, Tls};
pub use engine::{Containerd, Podman};
pub use network::{Network, ip};
pub use program::{KernelText, Program};
pub use received::{Attributes, Point, Received, Record};
pub use scene::Scene;
pub use watch::Watch;

/// How many times slower than a usual machine this one is: `HUATUO_TEST_SLOWNESS`, for emulation.
pub fn slowness() -> u32 {
    std::env::var("HUATUO_TEST_SLOWNESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Asks until `ask` has an answer, for at most `patience` on a usual machine. The last refusal is
/// the error.
pub fn wait_for<T>(patience: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let (begin, patience) = (Instant::now(), patience * slowness());
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if begin.elapsed() > patience => return Err(error),
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}

/// Nanoseconds since the epoch.
pub fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A port that nobody listens on. Below those that the kernel gives to clients
/// (`net.ipv4.ip_local_port_range`), so that none of them has it before its server does.
pub fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = 10_000 + (RandomState::new().build_hasher().finish() % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port between 10000 and 30000 is free")
}

/// The root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The agent that is tested: `HUATUO_OTEL_BIN`, or what `make build` made.
pub fn binary() -> Result<PathBuf> {
    let built = root().join("target/release/huatuo-otel");
    let path = std::env::var_os("HUATUO_OTEL_BIN").map_or(built, PathBuf::from);
    ensure!(path.exists(), "{} is missing; run `make integration`", path.display());
    Ok(path)
}

/// Where a program is installed; an error that says how to get it where it is not.
pub fn installed(program: &str) -> Result<PathBuf> {
    let output = Command::new("sh").arg("-c").arg(format!("command -v {program}")).output()?;
    let path = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(!path.is_empty(), "{program} is not installed; run `make deps`");
    Ok(path.into())
}

/// The answer to a GET.
pub fn get(url: &str) -> Result<String> {
    let mut answer = ureq::get(url).call().with_context(|| format!("GET {url}"))?;
    Ok(answer.body_mut().read_to_string()?)
}

/// Seconds between two pushes: one, or more where the machine is slow and could not keep up with
/// reading what comes.
pub fn push_interval() -> u32 {
    slowness().div_ceil(3)
}

/// A configuration that pushes to a Collector on this host every [`push_interval`]; `more` keys of
/// `[Otlp]`.
pub fn push_config(
    protocol: &str,
    port: u16,
    compression: &str,
    scheme: &str,
    more: &str,
) -> String {
    let interval = push_interval();
    format!(
        "Region = \"dev\"\n[Otlp]\nEndpoint = \"{scheme}://localhost:{port}\"\n\
         Protocol = \"{protocol}\"\nCompression = \"{compression}\"\nInterval = {interval}\n{more}"
    )
}

/// A line of a configuration that turns off all probes but these, and the one of the [`HEARTBEAT`]:
/// where the machine is emulated, programs that nobody looks at take a minute to load.
pub fn only(probes: &[&str]) -> String {
    let of_metrics = metric::ALL.iter().map(|def| def.probe);
    let all: BTreeSet<&str> = of_metrics.chain(event::ALL.iter().map(|def| def.probe)).collect();
    // Without a point it is no probe but a word for what is not: the agent itself, any GPU.
    let is_other =
        |name: &&str| name.contains('.') && !probes.contains(name) && *name != HEARTBEAT.probe;
    let others: Vec<&str> = all.into_iter().filter(is_other).collect();
    format!("BlackList = {others:?}\n")
}

/// A metric that is in each push.
pub const HEARTBEAT: &MetricDef = &metric::SYSTEM_CPU_LOAD_AVERAGE_1M;

/// A file of `/proc` as text.
pub fn proc(path: &str) -> Result<String> {
    let path = Path::new("/proc").join(path);
    std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// The number behind a word in a file of `name value` lines.
pub fn number(text: &str, word: &str) -> Result<u64> {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some(word) {
            let value = words.next().with_context(|| format!("{word} has no value"))?;
            return value.parse().with_context(|| format!("{word} {value}"));
        }
    }
    bail!("no {word}")
}
