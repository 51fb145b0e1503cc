// SPDX-License-Identifier: Apache-2.0
//! What is not compared, and why.

/// Metrics that come from no file, or that no second reader of their files can tell; where they are
/// compared with something else. With a dot at the end, all that begin with it.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("huatuo.", "the agent's own: tests/push.rs"),
    ("otel.", "the agent's own: tests/push.rs"),
    ("process.", "the agent's own: tests/push.rs"),
    ("hw.", "libraries of vendors: collector/tests/gpu.rs"),
    ("metax.", "libraries of vendors: collector/tests/gpu.rs"),
    ("linux.block.", "BPF: tests/kernel.rs"),
    ("linux.cgroup.block.", "BPF: tests/kernel.rs"),
    ("linux.cpu.runqueue.wait.duration", "BPF: tests/scheduler.rs"),
    ("linux.cgroup.cpu.runqueue.wait.duration", "BPF: tests/containers.rs"),
    ("linux.cpu.softirq.wait.duration", "BPF: tests/kernel.rs"),
    ("linux.softirq.wait.duration", "BPF: tests/kernel.rs"),
    ("linux.memory.", "BPF: tests/kernel.rs, tests/containers.rs"),
    ("linux.cgroup.memory.oom_kills", "BPF: tests/containers.rs"),
    ("linux.cgroup.memory.direct_reclaims", "BPF: tests/kernel.rs"),
    ("linux.task.", "BPF: tests/kernel.rs"),
    ("linux.cgroup.task.", "BPF: tests/kernel.rs"),
    ("linux.kernel.", "events: tests/events_cpu.rs"),
    ("linux.ras.errors", "events: tests/events_ras.rs"),
    ("linux.network.packet.drops", "events: tests/events_network.rs"),
    ("linux.network.transmit_queue.timeouts", "events: tests/lab_faults.rs"),
    ("linux.network.bond.lacp.changes", "events: tests/events_lacp.rs"),
    ("linux.network.interface.state_changes", "events: tests/events_link.rs"),
    ("system.network.connection.count", "netlink: tests/kernel.rs"),
    ("linux.network.qdisc.", "netlink: tests/kernel.rs"),
    ("linux.network.dcb.pfc.frames", "netlink: unit test of netlink/dcb.rs"),
    ("linux.network.hardware.packet.dropped", "drivers: tests/kernel.rs in the lab"),
    ("linux.network.interface.detailed_errors", "netlink: tests/registry.rs"),
    ("linux.network.interface.unhandled_packets", "netlink: tests/registry.rs"),
    ("linux.network.interface.packet.", "of network namespaces: tests/networks.rs"),
    ("container.network.io", "of network namespaces: tests/networks.rs"),
    ("k8s.pod.network.", "of network namespaces: tests/networks.rs"),
    ("system.cpu.utilization", "a share since the last snapshot: tests/truth.rs"),
    ("linux.cgroup.cpu.utilization", "a share since the last snapshot: tests/containers.rs"),
    ("linux.cgroup.cpu.wait.", "kernels of some vendors: unit test of cpu.cgroup"),
    ("system.filesystem.utilization", "a share of two that are compared"),
];

/// What some machines do not have, and why.
pub const ABSENT: &[(&str, &str)] = &[
    ("system.irq.linux.pressure.", "the kernel does not account interrupt time"),
    ("linux.cgroup.cpu.burst.", "the kernel is older than 5.14"),
    ("linux.cgroup.memory.events", "cgroup v1"),
    ("linux.cgroup.pressure.time", "cgroup v1"),
    ("linux.rdma.", "no RDMA device; the lab has one"),
    ("system.disk.", "no disk was read from"),
    ("system.filesystem.usage", "no file system is on a device"),
    ("system.filesystem.limit", "no file system is on a device"),
];
