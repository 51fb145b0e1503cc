// SPDX-License-Identifier: Apache-2.0
//! Memory of TCP's buffers, of all network namespaces together.
//! Source: `/proc/net/sockstat`, `/proc/sys/net/ipv4/tcp_mem` (net/ipv4/tcp.c).   Signals:
//! `linux.tcp.memory.*`.

use semconv::metric;

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::Recorder;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.tcp_memory",
    legacy_names: &["tcp_memory"],
    start: |_| {
        let page_size = rustix::param::page_size() as u64;
        Started::from_files(TcpMemory { page_size })
    },
    decoder: None,
};

/// Pages: low, pressure, limit.
const LIMITS: &str = "sys/net/ipv4/tcp_mem";

struct TcpMemory {
    page_size: u64,
}

impl Probe for TcpMemory {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let (start, page_size) = (cx.boot_time, self.page_size);
        let limits = cx.files.proc(LIMITS).ok();
        let limit = limits.and_then(|text| text.split_ascii_whitespace().nth(2)?.parse().ok());
        let text = cx.files.first_of(["1/net/sockstat", "net/sockstat"])?;
        let memory =
            parse::sockets(text).find(|(group, name, _)| (*group, *name) == ("TCP", "mem"));
        let mut host = out.host();
        let Some((_, _, pages)) = memory else { return Ok(()) };
        let usage = pages.saturating_mul(page_size);
        host.sum(&metric::LINUX_TCP_MEMORY_USAGE, Vec::new(), start, usage);
        let Some(limit) = limit.filter(|limit: &u64| *limit > 0) else { return Ok(()) };
        let bytes = limit.saturating_mul(page_size);
        host.sum(&metric::LINUX_TCP_MEMORY_LIMIT, Vec::new(), start, bytes);
        let share = pages as f64 / limit as f64;
        host.gauge(&metric::LINUX_TCP_MEMORY_UTILIZATION, Vec::new(), share);
        Ok(())
    }
}
