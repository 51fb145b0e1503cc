// SPDX-License-Identifier: Apache-2.0
//! Each fault of the lab is told by the kernel, without the agent: where a test of a probe fails and
//! this one passes, the probe is at fault.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::time::{Duration, Instant};

use anyhow::Result;
use integration::lab::firmware::{Error, Severity};
use integration::lab::{
    ClockStep, HeldReports, HungTask, KernelLog, Nic, Overrun, SlowDisk, Throttled, Trace,
    TransmitHang, aer_by_monitor, is_elsewhere, mce_by_monitor, mce_by_software, monitor,
    scratch_disk, threshold_by_software,
};
use integration::unix_now;

/// Whether these faults cannot be made here, which it prints.
fn elsewhere() -> bool {
    is_elsewhere("lab_faults", "the lab's machine")
}

/// The event that the kernel tells of after `provoke`.
fn told<T>(event: &str, provoke: impl FnOnce() -> Result<T>) -> String {
    let trace = Trace::of(&[event]).unwrap();
    let _provoked = provoke().unwrap();
    let (_, name) = event.split_once(':').unwrap();
    trace.until(&format!("{name}:")).unwrap()
}

#[test]
fn the_monitor_does_what_is_allowed_and_nothing_else() {
    if elsewhere() {
        return;
    }
    let refused = monitor("quit").unwrap_err().to_string();
    assert!(refused.contains("does not allow"), "{refused}");
    let wrong = monitor("set_link nothing on").unwrap_err().to_string();
    assert!(wrong.contains("nothing"), "{wrong}");
}

#[test]
fn a_card_that_hangs_is_told_by_the_transmit_watchdog() {
    if elsewhere() {
        return;
    }
    let mut log = KernelLog::from_now().unwrap();
    let trace = Trace::of(&["net:net_dev_xmit_timeout"]).unwrap();
    let hang = TransmitHang::new().unwrap();
    let line = trace.until("net_dev_xmit_timeout:").unwrap();
    assert!(line.contains(&format!("dev={} driver=e1000e", hang.nic.name)), "{line}");
    // The driver does; some kernels complain once only.
    log.until("Reset adapter unexpectedly").unwrap();
}

#[test]
fn a_pulled_cable_is_told_by_the_driver() {
    if elsewhere() {
        return;
    }
    let nic = Nic::up().unwrap();
    let mut log = KernelLog::from_now().unwrap();
    nic.plug(false).unwrap();
    log.until("NIC Link is Down").unwrap();
    nic.plug(true).unwrap();
    log.until("NIC Link is Up").unwrap();
}

#[test]
fn packets_that_a_card_has_no_room_for_are_not_received() {
    if elsewhere() {
        return;
    }
    let cards = Overrun::ready().unwrap();
    let before = cards.received("rx_packets").unwrap();
    cards.drop_packets(50).unwrap();
    assert_eq!(cards.received("rx_packets").unwrap(), before);
}

#[test]
fn an_error_of_a_device_is_told_with_its_name() {
    if elsewhere() {
        return;
    }
    let line = told("ras:aer_event", || aer_by_monitor("port0", "COMP_TIME"));
    assert!(line.contains("Completion Timeout"), "{line}");
}

#[test]
fn errors_that_a_port_held_back_are_told_at_once() {
    if elsewhere() {
        return;
    }
    let trace = Trace::of(&["ras:aer_event"]).unwrap();
    let held = HeldReports::new().unwrap();
    let port = held.port.clone();
    aer_by_monitor("port0", "COMP_TIME").unwrap();
    aer_by_monitor("port0", "POISON_TLP 0x11111111 0x22222222 0x33333333 0x44444444").unwrap();
    drop(held);
    let line = trace.until("aer_event:").unwrap();
    for text in [
        &*port,
        "non-fatal",
        "Poisoned TLP",
        "Completion Timeout",
        // More follow on newer kernels (6.18).
        "{0x11111111,0x22222222,0x33333333,0x44444444",
    ] {
        assert!(line.contains(text), "{line}");
    }
}

#[test]
fn errors_of_processors_are_told_by_their_banks() {
    if elsewhere() {
        return;
    }
    let line = told("mce:mce_record", mce_by_monitor);
    assert!(line.contains("CPU: 1, MCGc/s: "), "{line}");
    let line = told("mce:mce_record", mce_by_software);
    assert!(line.contains("CPU: 0, MCGc/s: "), "{line}");
    let line = told("irq_vectors:threshold_apic_entry", threshold_by_software);
    assert!(line.contains("vector=249"), "{line}");
}

#[test]
fn errors_that_firmware_tells_of_are_told() {
    if elsewhere() {
        return;
    }
    for (error, event) in [
        (Error::Memory, "mce:mce_record"),
        (Error::Processor, "ras:arm_event"),
        (Error::Pcie, "ras:aer_event"),
        (Error::Vendor, "ras:non_standard_event"),
    ] {
        told(event, || error.raise(Severity::Corrected));
    }
}

#[test]
fn a_clock_that_is_set_is_back_when_that_is_over() {
    if elsewhere() {
        return;
    }
    let (wall, begin) = (unix_now(), Instant::now());
    let since = || unix_now() as f64 - wall as f64 - begin.elapsed().as_nanos() as f64;
    for seconds in [100, -100] {
        let step = ClockStep::by(seconds).unwrap();
        assert!((since() - seconds as f64 * 1e9).abs() < 1e9, "{} ns", since());
        drop(step);
        assert!(since().abs() < 1e9, "{} ns", since());
    }
}

#[test]
fn a_task_that_hangs_is_told_with_its_name() {
    if elsewhere() {
        return;
    }
    let mut log = KernelLog::from_now().unwrap();
    let trace = Trace::of(&["sched:sched_process_hang"]).unwrap();
    let hung = HungTask::new(5).unwrap();
    let line = trace.until("sched_process_hang:").unwrap();
    assert!(line.contains(&format!("comm=dd pid={}", hung.pid())), "{line}");
    log.until(&format!("task dd:{} blocked for more than", hung.pid())).unwrap();
}

/// How long one read of the device takes.
fn read_time(path: &std::path::Path, skip: u32) -> Duration {
    let (begin, skip) = (Instant::now(), format!("skip={skip}"));
    let path = format!("if={}", path.display());
    let options = ["of=/dev/null", "bs=4k", "count=1", "iflag=direct", "status=none"];
    let mut read = std::process::Command::new("dd");
    assert!(read.args([&path, &skip]).args(options).status().unwrap().success(), "{path}");
    begin.elapsed()
}

#[test]
fn reads_of_a_slow_disk_are_slow() {
    if elsewhere() {
        return;
    }
    let delay = Duration::from_millis(500);
    let disk = SlowDisk::new(delay).unwrap();
    let took = read_time(&disk.path, 0);
    assert!(took >= delay, "{took:?}");
}

#[test]
fn reads_of_a_throttled_disk_wait_for_each_other() {
    if elsewhere() {
        return;
    }
    let disk = scratch_disk().unwrap();
    let _throttled = Throttled::to(2).unwrap();
    let begin = Instant::now();
    for at in 0..8 {
        read_time(disk, at);
    }
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
}
