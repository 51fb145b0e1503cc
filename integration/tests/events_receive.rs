// SPDX-License-Identifier: Apache-2.0
//! Packets that are received late, between two network namespaces.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{sleep, spawn};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::lab::{ClockStep, SlowDisk, is_elsewhere};
use integration::{Burner, Received, Record, SERVER, Scene, wait_for};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

const DELAYED: &str = "linux.network.receive.delayed";
const STAGE: &str = "linux.network.receive.stage";

fn first(got: &Received, end: SocketAddr) -> Result<Record> {
    got.to(DELAYED, end).first().copied().cloned().context("no event yet")
}

#[test]
fn a_reader_that_is_late_is_told_and_one_that_is_not_and_the_hosts_are_not() {
    let scene = Scene::new(0x2b, "").unwrap();
    let prompt = |(mut from, mut to): (TcpStream, TcpStream), wait: Duration| {
        from.write_all(b"hello").unwrap();
        sleep(wait);
        to.read_exact(&mut [0; 5]).unwrap();
        (from, to)
    };
    let late = Duration::from_millis(1500);
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let of_host = TcpStream::connect(own.local_addr().unwrap()).unwrap();
    let of_host = prompt((of_host, own.accept().unwrap().0), late);
    for address in SERVER {
        let (quick, _held) = prompt(scene.connection(address).unwrap(), Duration::ZERO);
        let quick = quick.peer_addr().unwrap();
        let (slow, reader) = prompt(scene.connection(address).unwrap(), late);
        let end = reader.local_addr().unwrap();
        let record = scene.collector.until(|got| first(got, end)).unwrap();
        println!("{}", record.body);
        let of = |key: &str| record.attributes[key].as_str();
        assert_eq!(of(STAGE), "driver_to_user");
        let delay: f64 = of("linux.network.receive.delay").parse().unwrap();
        assert!((1.5..1.5 + 0.5 * f64::from(integration::slowness())).contains(&delay), "{delay}");
        let source = slow.local_addr().unwrap();
        assert_eq!(of("source.address"), source.ip().to_string());
        assert_eq!(of("source.port"), source.port().to_string());
        assert_eq!(of("process.pid"), std::process::id().to_string());
        assert_eq!((of("network.connection.state"), of("linux.skb.length")), ("established", "5"));
        assert_eq!(record.resource.get("container.id"), Some(&scene.id));
        let got = scene.collector.received().unwrap();
        assert_eq!(got.to(DELAYED, end).len(), 1);
        assert!(got.to(DELAYED, quick).is_empty());
    }
    let got = scene.collector.received().unwrap();
    assert!(got.to(DELAYED, of_host.1.local_addr().unwrap()).is_empty());
    let text = fs::read_to_string(scene.agent.event_file("net_rx_latency")).unwrap();
    let told: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(told["tracer_data"]["where"], "TO_USER_COPY");
    assert!(told["tracer_data"]["latency_ms"].as_u64().unwrap() >= 1500);
}

/// Numbers of the packet that is late, and its ports.
const SEQUENCE: u32 = 0x1122_3344;
const ACK_SEQUENCE: u32 = 0x5566_7788;
const PORTS: [u16; 2] = [40_001, 40_002];

/// A header of TCP without data, of no connection. What TCP sends itself has a time to send, which
/// the kernel does not replace by a stamp until it is past the stack.
fn header() -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&PORTS[0].to_be_bytes());
    header[2..4].copy_from_slice(&PORTS[1].to_be_bytes());
    header[4..8].copy_from_slice(&SEQUENCE.to_be_bytes());
    header[8..12].copy_from_slice(&ACK_SEQUENCE.to_be_bytes());
    // Its length in words, and the bit that says that it acknowledges.
    header[12..14].copy_from_slice(&[5 << 4, 1 << 4]);
    header
}

/// Sends it from a thread of this name.
fn send(scene: &Scene, burner: &Burner, address: IpAddr, name: &str) {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let raw = || socket(family, SocketType::RAW, Some(ipproto::TCP)).unwrap();
    let socket = scene.cable.client.run(raw).unwrap();
    let end = SocketAddr::new(address, 0);
    let send = move || sendto(&socket, &header(), SendFlags::empty(), &end).unwrap();
    assert_eq!(burner.run(name, send).unwrap(), 20);
}

#[test]
fn a_packet_that_waits_for_the_network_stack_is_told_and_one_that_does_not_is_not() {
    let more = "[EventTracing.NetRxLatency]\nDriver2NetRx = 20\n";
    let scene = Scene::new(0x2d, more).unwrap();
    let burner = Burner::attach().unwrap();
    for (address, length) in SERVER.into_iter().zip(["40", "60"]) {
        let end = SocketAddr::new(address, PORTS[1]);
        send(&scene, &burner, address, "does not wait");
        assert!(scene.collector.settled().unwrap().to(DELAYED, end).is_empty());
        // The packet is in the queue of its CPU when the sender holds that up, in the softirq that is
        // to take it out. Or in another one, before it was sent.
        let record = wait_for(Duration::from_secs(60), || {
            send(&scene, &burner, address, "softirq 60");
            wait_for(Duration::from_secs(3), || first(&scene.collector.received()?, end))
        });
        let record = record.unwrap();
        println!("{}", record.body);
        let of = |key: &str| record.attributes[key].as_str();
        assert_eq!(of(STAGE), "driver_to_stack");
        let delay: f64 = of("linux.network.receive.delay").parse().unwrap();
        assert!((0.02..0.2 * f64::from(integration::slowness())).contains(&delay), "{delay}");
        for (key, value) in [
            ("source.address", if address.is_ipv4() { "10.9.0.1" } else { "fd09::1" }),
            ("source.port", "40001"),
            ("network.interface.name", "v1"),
            ("linux.tcp.seq", &SEQUENCE.to_string()),
            ("linux.tcp.ack_seq", &ACK_SEQUENCE.to_string()),
            ("linux.skb.length", length),
            ("process.pid", &std::process::id().to_string()),
        ] {
            assert_eq!(of(key), value, "{key}");
        }
        assert_eq!(record.severity, 13);
        assert_eq!(record.resource.get("container.id"), Some(&scene.id));
        let data = &scene.agent.document("net_rx_latency", &record).unwrap()["tracer_data"];
        assert_eq!(data["where"], "TO_NETIF_RCV");
        assert!(data["latency_ms"].as_u64().unwrap() >= 20);
    }
}

#[test]
fn a_packet_that_waits_for_the_owner_of_its_socket_is_told_and_others_are_not() {
    if is_elsewhere("events_receive", "a slow disk") {
        return;
    }
    let more = "[EventTracing.NetRxLatency]\nDriver2TCP = 1000\nDriver2Userspace = 3600000\n";
    let scene = Scene::new(0x31, more).unwrap();
    for address in SERVER {
        let (mut from, mut to) = scene.connection(address).unwrap();
        let end = to.local_addr().unwrap();
        let others = scene.connection(address).unwrap();
        let other = others.1.local_addr().unwrap();
        let (stop, stopped) = channel();
        let chatting = spawn(move || chat(others, &stopped));
        // Who reads a socket owns it until the bytes are where they belong.
        let disk = SlowDisk::new(Duration::from_secs(3)).unwrap();
        let mut page = disk.page().unwrap();
        let reader = spawn(move || to.read_exact(&mut page[..5]).map(|()| to));
        from.write_all(b"taken").unwrap();
        sleep(Duration::from_millis(500));
        from.write_all(b"waits").unwrap();
        let _open = reader.join().unwrap().unwrap();
        let record = scene.collector.until(|got| first(got, end)).unwrap();
        println!("{}", record.body);
        let of = |key: &str| record.attributes[key].as_str();
        assert_eq!(of(STAGE), "driver_to_tcp");
        let delay: f64 = of("linux.network.receive.delay").parse().unwrap();
        assert!((1.0..4.5).contains(&delay), "{delay}");
        let source = from.local_addr().unwrap();
        assert_eq!(of("source.address"), source.ip().to_string());
        assert_eq!(of("source.port"), source.port().to_string());
        assert_eq!(of("network.connection.state"), "established");
        assert_eq!(record.resource.get("container.id"), Some(&scene.id));
        let data = &scene.agent.document("net_rx_latency", &record).unwrap()["tracer_data"];
        assert_eq!(data["where"], "TO_TCPV4_RCV");
        drop(stop);
        chatting.join().unwrap();
        let got = scene.collector.settled().unwrap();
        assert_eq!((got.to(DELAYED, end).len(), got.to(DELAYED, other).len()), (1, 0));
    }
}

/// Has both ends of a connection exchange words until the other end of `stopped` is gone.
fn chat((mut near, mut far): (TcpStream, TcpStream), stopped: &Receiver<()>) {
    let mut word = [0; 5];
    while stopped.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
        near.write_all(b"hello").unwrap();
        far.read_exact(&mut word).unwrap();
    }
}

#[test]
fn packets_that_are_on_their_way_when_the_clock_is_set_are_counted_and_not_told() {
    if is_elsewhere("events_receive", "a clock that may be set") {
        return;
    }
    let ms = 2000;
    let more = format!(
        "[EventTracing.NetRxLatency]\nDriver2NetRx = {ms}\nDriver2TCP = {ms}\n\
         Driver2Userspace = {ms}\n"
    );
    let scene = Scene::new(0x2f, &more).unwrap();
    let (stop, stopped) = channel();
    let ends = scene.connection(SERVER[0]).unwrap();
    let chatting = spawn(move || chat(ends, &stopped));
    // Forward, the reader seems late as soon as the agent knows; back, less late than it is.
    for (seconds, wait) in [(5, 1), (-5, 8)] {
        let (mut from, mut to_end) = scene.connection(SERVER[0]).unwrap();
        let before = scene.collector.received().unwrap().suppressed(DELAYED, "clock_step");
        from.write_all(b"hello").unwrap();
        to_end.peek(&mut [0]).unwrap();
        let step = ClockStep::by(seconds).unwrap();
        sleep(Duration::from_secs(wait));
        to_end.read_exact(&mut [0; 5]).unwrap();
        drop(step);
        let held = scene.collector.until(|got| {
            let held = got.suppressed(DELAYED, "clock_step");
            ensure!(held > before, "{held} held back");
            Ok(held)
        });
        println!("a step of {seconds} s: {} packets held back", held.unwrap() - before);
    }
    drop(stop);
    chatting.join().unwrap();
    let got = scene.collector.settled().unwrap();
    assert!(got.records.iter().all(|record| record.event_name != DELAYED), "{:?}", got.records);
    // So late that no step matters to it any more.
    sleep(Duration::from_secs(10));
    let (mut from, mut to_end) = scene.connection(SERVER[0]).unwrap();
    let end = to_end.local_addr().unwrap();
    from.write_all(b"hello").unwrap();
    sleep(Duration::from_millis(2500));
    to_end.read_exact(&mut [0; 5]).unwrap();
    let record = scene.collector.until(|got| first(got, end)).unwrap();
    let delay: f64 = record.attributes["linux.network.receive.delay"].parse().unwrap();
    assert!((2.5..2.5 + 0.5 * f64::from(integration::slowness())).contains(&delay), "{delay}");
}
