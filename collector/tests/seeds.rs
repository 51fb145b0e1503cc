// SPDX-License-Identifier: Apache-2.0
//! What the fuzz targets of binary input begin with (`fuzz/seeds`) is as it would be made now: fields
//! move when records change. `UPDATE_GENERATED=1 cargo test --test seeds` writes it anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::mem::offset_of;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use ebpf::cpu_softirq::records::{softirq_disabled, softirq_holder};
use ebpf::event_packet::event_packet;
use ebpf::event_task::event_task;
use ebpf::memory_oom::records::oom_kill;
use ebpf::memory_stall::records::reclaim_stall;
use ebpf::network_dropwatch::records::dropped_packet;
use ebpf::network_receive_latency::records::{late_packet, receive_clock};
use ebpf::network_transmit_timeout::records::transmit_timeout;
use ebpf::system_hung_task::records::hung_task;
use ebpf::system_ras::records::{
    RAS_AER, RAS_ARM, RAS_EDAC, RAS_GHES, RAS_MCE, RAS_MCE_THRESHOLD, ras_aer, ras_arm, ras_edac,
    ras_ghes, ras_head, ras_mce, ras_threshold,
};
use ebpf::system_softlockup::records::softlockup;
use huatuo_otel::bpf::{Enumeration, members};
use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::export::otlp::{Accepted, Failure, Signal};
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::{KernelSupport, Symbols, boot_offset};
use huatuo_otel::netlink::{RTM_NEWLINK, device};
use huatuo_otel::probes::{DecodeContext, KnownIssues, PROBES, StartContext};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

#[path = "../fuzz/files_of_a_container.rs"]
mod files_of_a_container;
use files_of_a_container::FILES;

/// A function of `fuzz/seeds/kernel_text/kallsyms`.
const FRAME: u64 = 0xffff_ffff_8100_0210;

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_current(target: &str, name: &str, bytes: &[u8]) {
    let path = manifest().join("fuzz/seeds").join(target).join(name);
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let committed = fs::read(&path).unwrap_or_default();
    assert!(committed == bytes, "{} is out of date; set UPDATE_GENERATED", path.display());
}

/// A record that is zero, but for some fields.
fn record<T>(fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<T>()];
    for (at, value) in fields {
        bytes[*at..at + value.len()].copy_from_slice(value);
    }
    bytes
}

fn of_packet<T>(at: usize, version: u32, more: &[(usize, &[u8])]) -> Vec<u8> {
    let version = version.to_ne_bytes();
    let mut fields = more.to_vec();
    fields.push((at + offset_of!(event_packet, version), &version));
    fields.push((at + offset_of!(event_packet, source), &[10, 0, 0, 1]));
    fields.push((at + offset_of!(event_packet, destination), &[10, 0, 0, 2]));
    fields.push((at + offset_of!(event_packet, device_name), b"eth0"));
    record::<T>(&fields)
}

fn of_task<T>(at: usize, more: &[(usize, &[u8])]) -> Vec<u8> {
    let id = 42u32.to_ne_bytes();
    let mut fields = more.to_vec();
    fields.push((at + offset_of!(event_task, pid), &id));
    fields.push((at + offset_of!(event_task, tid), &id));
    fields.push((at + offset_of!(event_task, comm), b"dd"));
    fields.push((at + offset_of!(event_task, cgroup_name), b"docker"));
    record::<T>(&fields)
}

fn of_hardware<T>(source: u32) -> Vec<u8> {
    record::<T>(&[(offset_of!(ras_head, source), &source.to_ne_bytes())])
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (4 + value.len()) as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A message of netlink in answer to the first question.
fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = (16 + payload.len()) as u32;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([kind.to_ne_bytes(), [2, 0]].concat());
    bytes.extend([1u32.to_ne_bytes(), [0; 4]].concat());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A port of a bond that speaks LACP (include/uapi/linux/if_link.h).
fn port() -> Vec<u8> {
    let mut bytes = vec![0; 16];
    bytes[4..8].copy_from_slice(&70_000u32.to_ne_bytes());
    bytes[8..12].copy_from_slice(&0x10001u32.to_ne_bytes());
    bytes.extend(attribute(3, b"eth70\0"));
    bytes.extend(attribute(4, &9000u32.to_ne_bytes()));
    bytes.extend(attribute(1, &[2, 0, 0, 0, 0, 1]));
    bytes.extend(attribute(10, &3u32.to_ne_bytes()));
    let data = [attribute(1, &[0]), attribute(7, &[0x3f]), attribute(8, &[0x3d, 0])].concat();
    bytes.extend(attribute(18, &[attribute(4, b"bond\0"), attribute(5, &data)].concat()));
    bytes.extend(attribute(23, &[1; 8 * 24]));
    bytes
}

/// Records that are understood to their end, by the probe that decodes them.
fn records() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let (frame, on) = (FRAME.to_ne_bytes(), 1u32.to_ne_bytes());
    let frames_of_softirq = offset_of!(softirq_disabled, holder);
    let held = [
        (offset_of!(softirq_disabled, is_sampled), &on[..]),
        (frames_of_softirq + offset_of!(softirq_holder, frames), &frame[..]),
    ];
    let task = frames_of_softirq + offset_of!(softirq_holder, task);
    let dropped = [(offset_of!(dropped_packet, frames), &frame[..])];
    let locked = [(offset_of!(softlockup, frames), &frame[..])];
    let (drop, late) = (offset_of!(dropped_packet, packet), offset_of!(late_packet, packet));
    let device = offset_of!(transmit_timeout, device);
    vec![
        ("cpu.softirq", "", of_task::<softirq_disabled>(task, &held)),
        ("memory.oom", "", of_task::<oom_kill>(offset_of!(oom_kill, victim), &[])),
        ("memory.stall", "", of_task::<reclaim_stall>(offset_of!(reclaim_stall, task), &[])),
        ("network.dropwatch", ".v4", of_packet::<dropped_packet>(drop, 4, &dropped)),
        ("network.dropwatch", ".v6", of_packet::<dropped_packet>(drop, 6, &dropped)),
        ("network.receive_latency", ".v4", of_packet::<late_packet>(late, 4, &[])),
        ("network.receive_latency", ".v6", of_packet::<late_packet>(late, 6, &[])),
        ("network.transmit_timeout", "", record::<transmit_timeout>(&[(device, b"eth0")])),
        ("system.hung_task", "", of_task::<hung_task>(offset_of!(hung_task, task), &[])),
        ("system.softlockup", "", of_task::<softlockup>(offset_of!(softlockup, task), &locked)),
        ("system.ras", ".mce", of_hardware::<ras_mce>(RAS_MCE)),
        ("system.ras", ".edac", of_hardware::<ras_edac>(RAS_EDAC)),
        ("system.ras", ".ghes", of_hardware::<ras_ghes>(RAS_GHES)),
        ("system.ras", ".aer", of_hardware::<ras_aer>(RAS_AER)),
        ("system.ras", ".threshold", of_hardware::<ras_threshold>(RAS_MCE_THRESHOLD)),
        ("system.ras", ".arm", of_hardware::<ras_arm>(RAS_ARM)),
    ]
}

#[test]
fn each_record_is_understood_to_its_end() {
    let (config, fs) = (Config::default(), HostFs::new("/nowhere"));
    let entities = Entities::discover(&config, &fs);
    let (symbols, issues) = (Symbols::default(), KnownIssues::default());
    let support = KernelSupport::gather(&fs);
    let start = StartContext { config: &config, fs: &fs, support: &support, types: None };
    for (name, kind, mut bytes) in records() {
        is_current("kernel_record", &format!("{name}{kind}"), &bytes);
        if name == "network.receive_latency" {
            // Measured by the clock as it is now, as the target has it.
            let at = offset_of!(late_packet, clock) + offset_of!(receive_clock, offset_ns);
            bytes[at..at + 8].copy_from_slice(&boot_offset().to_ne_bytes());
        }
        let def = PROBES.iter().find(|def| def.name == name).unwrap();
        let mut decoder = def.decoder.unwrap()(&start);
        let mut cx = DecodeContext::new(&entities, &symbols, &issues);
        assert_eq!(decoder.decode(&bytes, &mut cx), Ok(()), "{name}{kind}");
        let (events, held_back) = cx.into_found();
        // A stall is told of containers only, and this machine has none.
        let counts = (events.len(), held_back.len());
        let expected = if name == "memory.stall" { (0, 1) } else { (1, 0) };
        assert_eq!(counts, expected, "{name}{kind}");
    }
}

#[test]
fn netlink_messages_are_current() {
    assert!(device(&port()).is_some_and(|device| device.lacp.is_some()));
    let added = message(RTM_NEWLINK, &port());
    is_current("kernel_record", "network.link", &added);
    let (done, listening) = (message(3, &[0; 4]), message(18, &[2, 10]));
    is_current("netlink_answer", "devices", &[added, done.clone()].concat());
    is_current("netlink_answer", "sockets", &[listening, done].concat());
    is_current("netlink_answer", "refused", &message(2, &[0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
    is_current("netlink_answer", "least", &message(2, &[0, 0, 0, 0x80, 0, 0, 0, 0]));

    let mut queue = [[0; 4], 2u32.to_ne_bytes(), [0; 4], [0xff; 4], [0; 4]].concat();
    queue.extend(attribute(1, b"fq_codel\0"));
    let counts = [attribute(1, &[1; 16]), attribute(8, &[1; 8]), attribute(3, &[1; 20])].concat();
    queue.extend(attribute(7, &counts));
    is_current("netlink_answer", "queue", &message(36, &queue));

    let pfc = attribute(2, &[1; 8 + 16 * 8]);
    let frames = [vec![0, 21, 0, 0], attribute(13 | 0x8000, &pfc)].concat();
    is_current("netlink_answer", "frames", &message(78, &frames));

    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let (names, values): (Vec<u8>, Vec<u8>) = (words(&[27, 1, 1]), words(&[29, 1, 7, 0]));
    is_current("netlink_answer", "names", &[&names[..], b"rx_packets", &[0; 22]].concat());
    is_current("netlink_answer", "values", &values);
}

/// An int, and the enumerations that the target looks for (Documentation/bpf/btf.rst).
#[test]
fn types_of_a_kernel_are_current() {
    let strings = b"\0skb_drop_reason\0NO_SOCKET\0TCP_MIB_ACTIVEOPENS\0";
    let reasons = [1, 6 << 24 | 1, 4, 17, 2];
    let numbers = [0, 6 << 24 | 1, 4, 27, 5];
    let types: Vec<u32> = [&[0, 1 << 24, 4, 32][..], &reasons, &numbers].concat();
    let length = 4 * types.len() as u32;
    let head = [24, 0, length, length, strings.len() as u32];
    let mut bytes = 0xeb9fu16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    bytes.extend(head.iter().chain(&types).flat_map(|word: &u32| word.to_ne_bytes()));
    bytes.extend(strings);
    let found = members(&bytes, Enumeration::Named("skb_drop_reason"));
    assert_eq!(found, [("NO_SOCKET".to_owned(), 2)]);
    let found = members(&bytes, Enumeration::With("TCP_MIB_ACTIVEOPENS"));
    assert_eq!(found, [("TCP_MIB_ACTIVEOPENS".to_owned(), 5)]);
    is_current("kernel_types", "enumerations", &bytes);
}

#[test]
fn answers_of_a_receiver_are_current() {
    let partial =
        ExportLogsPartialSuccess { rejected_log_records: 3, error_message: "old".to_owned() };
    let answer = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    assert_eq!(Accepted::parse(Signal::Logs, &answer).rejected, 3);
    is_current("http_message", "partial_success", &answer);
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
    let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
    assert_eq!(Failure::grpc(&status).after, Some(Duration::from_secs(7)));
    is_current("http_message", "retry_info", status.details());
}

#[test]
fn files_of_a_container_are_current() {
    for kernel in ["5.10", "6.12"] {
        let folder = manifest().join("tests/kernels").join(kernel).join("sys/fs/cgroup/docker");
        let folder = folder.join("ab".repeat(32));
        let text = |name: &str| match name {
            "cpuset.cpus.effective" => "0-3,8\n".to_owned(),
            name => fs::read_to_string(folder.join(name)).unwrap(),
        };
        is_current("container_files", kernel, FILES.map(text).join("\0").as_bytes());
    }
}
