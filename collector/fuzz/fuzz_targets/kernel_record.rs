// SPDX-License-Identifier: Apache-2.0
//! Records that the kernel hands out: of ring buffers and netlink sockets. Decoders keep what they
//! have learned from one record to the next.
#![no_main]

use std::cell::RefCell;
use std::mem::offset_of;
use std::sync::LazyLock;

use ebpf::cpu_softirq::records::softirq_disabled;
use ebpf::memory_oom::records::oom_kill;
use ebpf::memory_stall::records::reclaim_stall;
use ebpf::network_dropwatch::records::dropped_packet;
use ebpf::network_receive_latency::records::{late_packet, receive_clock};
use ebpf::network_transmit_timeout::records::transmit_timeout;
use ebpf::system_hung_task::records::hung_task;
use ebpf::system_ras::records::{ras_aer, ras_arm, ras_edac, ras_ghes, ras_mce, ras_threshold};
use ebpf::system_softlockup::records::softlockup;
use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::export::document::cloud_event;
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::{KernelSupport, Symbols, boot_offset};
use huatuo_otel::probes::{Decode, DecodeContext, KnownIssues, PROBES, StartContext};
use libfuzzer_sys::fuzz_target;

/// Probes whose decoders read records of a BPF program, with the sizes of these.
const RECORDS: [(&str, &[usize]); 9] = [
    ("cpu.softirq", &[size_of::<softirq_disabled>()]),
    ("memory.oom", &[size_of::<oom_kill>()]),
    ("memory.stall", &[size_of::<reclaim_stall>()]),
    ("network.dropwatch", &[size_of::<dropped_packet>()]),
    ("network.receive_latency", &[size_of::<late_packet>()]),
    ("network.transmit_timeout", &[size_of::<transmit_timeout>()]),
    ("system.hung_task", &[size_of::<hung_task>()]),
    ("system.softlockup", &[size_of::<softlockup>()]),
    (
        "system.ras",
        &[
            size_of::<ras_mce>(),
            size_of::<ras_edac>(),
            size_of::<ras_ghes>(),
            size_of::<ras_aer>(),
            size_of::<ras_threshold>(),
            size_of::<ras_arm>(),
        ],
    ),
];
/// Probes whose decoders read netlink messages, of any size.
const OF_NETLINK: [&str; 2] = ["network.lacp", "network.link"];
/// By which clock a late packet was measured: by any but the present one it is not told.
const CLOCK: usize = offset_of!(late_packet, clock) + offset_of!(receive_clock, offset_ns);
/// Where a netlink message has its number.
const NUMBER: std::ops::Range<usize> = 8..12;
const NETLINK_HEADER: usize = 16;

/// Inputs until all begin anew: what decoders learn of ever new devices would fill the memory.
const LIFE: u32 = 10_000;

/// A machine without cgroups.
static NOBODY: LazyLock<Entities> =
    LazyLock::new(|| Entities::discover(&Config::default(), &HostFs::new("/nowhere")));
static SYMBOLS: LazyLock<Symbols> =
    LazyLock::new(|| Symbols::read(&include_bytes!("../seeds/kernel_text/kallsyms")[..]).unwrap());
static ISSUES: LazyLock<KnownIssues> = LazyLock::new(KnownIssues::default);

thread_local! {
    static DECODERS: RefCell<Decoders> = RefCell::new(Decoders::new());
}

struct Decoders {
    of_records: Vec<(&'static [usize], Box<dyn Decode>)>,
    of_netlink: Vec<Box<dyn Decode>>,
    /// Number of the next netlink message. After any other, all devices are asked for.
    number: u32,
    age: u32,
}

impl Decoders {
    fn new() -> Self {
        let (mut config, fs) = (Config::default(), HostFs::new("/nowhere"));
        config.event_tracing.netdev.device_list = vec![".*".to_owned()];
        let support = KernelSupport::gather(&fs);
        let cx = StartContext { config: &config, fs: &fs, support: &support, types: None };
        let mut all = Self { of_records: vec![], of_netlink: vec![], number: 0, age: 0 };
        for def in PROBES {
            let Some(decoder) = def.decoder.map(|make| make(&cx)) else { continue };
            let sizes = RECORDS.into_iter().find(|(name, _)| *name == def.name);
            match sizes {
                Some((_, sizes)) => all.of_records.push((sizes, decoder)),
                None if OF_NETLINK.contains(&def.name) => all.of_netlink.push(decoder),
                None => panic!("{} has a decoder: say here what it reads", def.name),
            }
        }
        for decoder in &mut all.of_netlink {
            decoder.begin(&mut DecodeContext::new(&NOBODY, &SYMBOLS, &ISSUES));
        }
        all
    }

    fn read(&mut self, bytes: &[u8]) {
        for (sizes, decoder) in &mut self.of_records {
            decode(&mut **decoder, bytes);
            // A record of another size ends there.
            for size in *sizes {
                let mut record = bytes.to_vec();
                record.resize(*size, 0);
                if *size == size_of::<late_packet>() {
                    record[CLOCK..CLOCK + 8].copy_from_slice(&boot_offset().to_ne_bytes());
                }
                decode(&mut **decoder, &record);
            }
        }
        let mut message = bytes.to_vec();
        if message.len() >= NETLINK_HEADER {
            message[NUMBER].copy_from_slice(&self.number.to_ne_bytes());
            self.number += 1;
        }
        for decoder in &mut self.of_netlink {
            decode(&mut **decoder, &message);
        }
        self.age += 1;
    }
}

fn decode(decoder: &mut dyn Decode, record: &[u8]) {
    let mut cx = DecodeContext::new(&NOBODY, &SYMBOLS, &ISSUES);
    let _ = decoder.decode(record, &mut cx);
    for event in cx.into_found().0 {
        cloud_event(&event);
    }
}

fuzz_target!(|bytes: &[u8]| {
    DECODERS.with_borrow_mut(|decoders| {
        decoders.read(bytes);
        if decoders.age == LIFE {
            *decoders = Decoders::new();
        }
    });
});
