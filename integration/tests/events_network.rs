// SPDX-License-Identifier: Apache-2.0
//! Packets that are dropped or received late, provoked between two network namespaces.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use integration::{
    Agent, CLIENT_MAC, Cable, Cgroup, Collector, Point, Received, Record, SERVER, container_id,
    free_port, push_config,
};

const DROPPED: &str = "linux.network.packet.dropped";
const DELAYED: &str = "linux.network.receive.delayed";

/// An agent, and a container with a network of its own.
struct Scene {
    cable: Cable,
    id: String,
    collector: Collector,
    agent: Agent,
    _cgroups: [Cgroup; 2],
}

impl Scene {
    fn new(seed: u8) -> Self {
        let collector = Collector::start(None).unwrap();
        let config = push_config("grpc", collector.grpc, "gzip", "http", "");
        let [id, other] = [seed, seed + 1].map(container_id);
        let cgroups = [&id, &other].map(|id| Cgroup::new(&format!("docker/{id}")).unwrap());
        let cable = Cable::between(&cgroups[1], &cgroups[0]).unwrap();
        let agent = Agent::with(&config).start().unwrap();
        Self { cable, id, collector, agent, _cgroups: cgroups }
    }

    /// What has happened by now is in the Collector after two pushes.
    fn settle(&self) {
        for _ in 0..2 {
            let now = unix_now();
            let pushed = |got: &Received| {
                ensure!(got.last("linux.cpu.runqueue.wait.duration")?.time > now, "not yet");
                Ok(())
            };
            self.collector.until(pushed).unwrap();
        }
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Records of an event to this address and port, oldest first.
fn to<'a>(got: &'a Received, event: &str, end: SocketAddr) -> Vec<&'a Record> {
    let (address, port) = (end.ip().to_string(), end.port().to_string());
    let is_it = |record: &&Record| {
        record.event_name == event
            && record.attributes["destination.address"] == address
            && record.attributes["destination.port"] == port
    };
    got.records.iter().filter(is_it).collect()
}

fn first(got: &Received, event: &str, end: SocketAddr) -> Result<Record> {
    to(got, event, end).first().copied().cloned().context("no event yet")
}

/// A connection from the client to a server that listens on `address`, both ends.
fn connection(cable: &Cable, address: IpAddr) -> (TcpStream, TcpStream) {
    let listener = cable.server.run(|| TcpListener::bind((address, 0)).unwrap()).unwrap();
    let end = listener.local_addr().unwrap();
    let client = cable.client.run(|| TcpStream::connect(end).unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn addresses_of_a_dropped_packet_have_the_names_that_the_machine_knows() {
    let collector = Collector::start(None).unwrap();
    let _agent = Agent::pushing(&collector).unwrap();
    let end = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    // The first may go without.
    let known = collector.until(|got| {
        TcpStream::connect(end).unwrap_err();
        let has_name = |record: &&&Record| {
            let ends = ["source", "destination"].map(|end| format!("huatuo.{end}.host_name"));
            ends.iter().all(|key| record.attributes.get(key).is_some_and(|name| !name.is_empty()))
        };
        let told = to(got, DROPPED, end);
        let named = told.iter().find(has_name).context("no event with names yet")?;
        Ok(named.attributes["huatuo.destination.host_name"].clone())
    });
    assert!(known.unwrap().contains("localhost"));
}

#[test]
fn a_packet_to_a_closed_port_is_told_with_its_reason_and_container() {
    let scene = Scene::new(0x21);
    for address in SERVER {
        let end = SocketAddr::new(address, 9);
        scene.cable.client.run(|| TcpStream::connect(end).unwrap_err()).unwrap();
        let record = scene.collector.until(|got| first(got, DROPPED, end)).unwrap();
        let of = |key: &str| record.attributes.get(key).map_or("", String::as_str);
        println!("{}", record.body);
        let (source, version) = match address {
            IpAddr::V4(_) => ("10.9.0.1", "ipv4"),
            IpAddr::V6(_) => ("fd09::1", "ipv6"),
        };
        assert_eq!((of("source.address"), of("network.type")), (source, version));
        assert_eq!(
            (of("network.transport"), of("linux.network.drop.type")),
            ("tcp", "common_drop")
        );
        assert_eq!((of("network.interface.name"), of("linux.tcp.ack_seq")), ("v1", "0"));
        assert!(of("linux.network.interface.flags").contains("up"));
        assert!(of("linux.network.namespace.cookie").parse::<u64>().unwrap() > 0);
        assert_eq!(record.severity, 13);
        assert_eq!(record.resource.get("container.id"), Some(&scene.id));
        // Kernels before v5.17 have no reasons.
        let reason = of("linux.network.drop.reason");
        assert!(["", "no_socket"].contains(&reason), "{reason}");
        let stack = of("code.stacktrace");
        assert!(stack.contains("tcp_v4_rcv+") || stack.contains("tcp_v6_rcv+"), "{stack}");
        assert!(stack.lines().next().unwrap().contains("+0x"));
    }
    let text = fs::read_to_string(scene.agent.event_file("dropwatch")).unwrap();
    let told: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(told["container_id"], scene.id);
    assert_eq!(told["tracer_data"]["src_hostname"], "<nil>");
    assert_eq!(told["tracer_data"]["netdev_linkstatus"][0], "linkStatusUp");
}

#[test]
fn a_flood_of_drops_is_counted_and_told_as_far_as_the_limit_allows() {
    let scene = Scene::new(0x23);
    scene.settle();
    let reasons = || -> f64 {
        let got = scene.collector.received().unwrap();
        let points = got.of("linux.network.packet.drops");
        let newest = points.iter().map(|point| point.time).max().unwrap_or(0);
        points.iter().filter(|point| point.time == newest).map(|point| point.value).sum()
    };
    let (datagrams, requests) = (50_000 / integration::slowness(), 2_000);
    let before = reasons();
    let end = SocketAddr::new(SERVER[0], 9);
    scene
        .cable
        .client
        .run(|| {
            let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
            for _ in 0..datagrams {
                socket.send_to(&[0; 16], end).unwrap();
            }
        })
        .unwrap();
    scene.settle();
    let of_udp = reasons() - before;
    println!("flood: {datagrams} datagrams sent, {of_udp} drops counted");
    // The machine may drop others'.
    assert!(of_udp >= f64::from(datagrams) && of_udp < f64::from(datagrams) * 1.02, "{of_udp}");

    let (begin, since) = (Instant::now(), unix_now());
    let connect = || (0..requests).for_each(|_| drop(TcpStream::connect(end)));
    scene.cable.client.run(connect).unwrap();
    let (seconds, until) = (begin.elapsed().as_secs_f64(), unix_now());
    scene.settle();
    let got = scene.collector.received().unwrap();
    let is_of_flood =
        |record: &&Record| record.event_name == DROPPED && (since..until).contains(&record.time);
    let told = got.records.iter().filter(is_of_flood).count();
    let is_lost = |point: &&&Point| {
        point.attributes.get("huatuo.probe.name").is_some_and(|name| name == "network.dropwatch")
            && point.attributes.get("huatuo.loss.reason").is_some_and(|why| why == "rate_limited")
    };
    let points = got.of("huatuo.bpf.events.lost");
    let lost = points.iter().rfind(is_lost).map_or(0.0, |point| point.value);
    println!("flood: {requests} requests in {seconds} s, {told} told, {lost} held back");
    // The seconds of the limit are those of the clock: one more than passed can have begun.
    assert!(told > 0 && told as f64 <= 100.0 * (seconds.ceil() + 1.0), "{told}");
    assert!(told as f64 + lost >= f64::from(requests), "{told} and {lost}");
}

#[test]
fn who_does_not_answer_is_counted_and_not_told() {
    let scene = Scene::new(0x25);
    let end: SocketAddr = "10.9.0.77:80".parse().unwrap();
    let wait = Duration::from_secs(5) * integration::slowness();
    scene.cable.client.run(|| TcpStream::connect_timeout(&end, wait).unwrap_err()).unwrap();
    scene
        .collector
        .until(|got| {
            let excluded = |point: &&&Point| {
                point.attributes["huatuo.event.name"] == DROPPED
                    && point.attributes["huatuo.suppression.reason"] == "excluded"
            };
            let points = got.of("huatuo.event.suppressed");
            let point = points.iter().rfind(excluded).context("none was suppressed")?;
            ensure!(point.value >= 1.0, "{}", point.value);
            Ok(())
        })
        .unwrap();
    let got = scene.collector.received().unwrap();
    assert!(to(&got, DROPPED, end).is_empty(), "{:?}", to(&got, DROPPED, end));
    let reasons: Vec<_> = got.of("linux.network.packet.drops");
    let reasons = reasons.iter().map(|point| &*point.attributes["linux.network.drop.reason"]);
    assert!(reasons.into_iter().any(|reason| ["neigh_failed", "not_specified"].contains(&reason)));
}

#[test]
fn the_last_ack_of_a_handshake_that_finds_a_full_queue_is_told() {
    let scene = Scene::new(0x27);
    let Cable { client, server } = &scene.cable;
    let listener = server.run(|| TcpListener::bind((SERVER[0], 0)).unwrap()).unwrap();
    let end = listener.local_addr().unwrap();
    // Answers go astray until three requests wait.
    let astray = "02:00:00:00:00:99";
    let neighbour = |mac| format!("neigh replace 10.9.0.1 lladdr {mac} dev v1 nud permanent");
    server.ip(&neighbour(astray)).unwrap();
    let connects = (0..3).map(|_| {
        // A thread that is started in the namespace is in it too.
        let wait = Duration::from_secs(5) * integration::slowness();
        client.run(|| spawn(move || TcpStream::connect_timeout(&end, wait))).unwrap()
    });
    let connects: Vec<_> = connects.collect();
    sleep(Duration::from_millis(300) * integration::slowness());
    rustix::net::listen(&listener, 1).unwrap();
    server.ip(&neighbour(CLIENT_MAC)).unwrap();
    let record = scene
        .collector
        .until(|got| {
            let records = to(got, DROPPED, end).into_iter();
            let overflow = |record: &&Record| {
                record.attributes["linux.network.drop.type"] == "listen_overflow_handshake3"
            };
            records.rev().find(overflow).cloned().context("no overflow yet")
        })
        .unwrap();
    println!("{}", record.body);
    assert_eq!(record.attributes["linux.socket.accept_queue.limit"], "1");
    assert_eq!(record.attributes["network.connection.state"], "listen");
    assert_eq!(record.resource.get("container.id"), Some(&scene.id));
    drop(connects);
}

#[test]
fn connection_requests_that_find_a_full_queue_are_told() {
    if std::env::var_os("HUATUO_LAB").is_none() {
        println!("not here: needs fentry or kprobes; `make lab TEST=events_network` has them");
        return;
    }
    let scene = Scene::new(0x29);
    let listener = scene.cable.server.run(|| TcpListener::bind((SERVER[1], 0)).unwrap()).unwrap();
    let end = listener.local_addr().unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let wait = Duration::from_millis(300) * integration::slowness();
    let connect = || (0..4).map(|_| TcpStream::connect_timeout(&end, wait)).collect::<Vec<_>>();
    let _held = scene.cable.client.run(connect).unwrap();
    let record = scene.collector.until(|got| first(got, DROPPED, end)).unwrap();
    println!("{}", record.body);
    assert_eq!(record.attributes["linux.network.drop.type"], "listen_overflow_handshake1");
    assert_eq!(record.attributes["network.connection.state"], "listen");
}

#[test]
fn a_reader_that_is_late_is_told_and_one_that_is_not_and_the_hosts_are_not() {
    let scene = Scene::new(0x2b);
    scene.settle();
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
        let (quick, _held) = prompt(connection(&scene.cable, address), Duration::ZERO);
        let quick = quick.peer_addr().unwrap();
        let (slow, reader) = prompt(connection(&scene.cable, address), late);
        let end = reader.local_addr().unwrap();
        let record = scene.collector.until(|got| first(got, DELAYED, end)).unwrap();
        println!("{}", record.body);
        let of = |key: &str| record.attributes[key].as_str();
        assert_eq!(of("linux.network.receive.stage"), "driver_to_user");
        let delay: f64 = of("linux.network.receive.delay").parse().unwrap();
        assert!((1.5..1.5 + 0.5 * f64::from(integration::slowness())).contains(&delay), "{delay}");
        let source = slow.local_addr().unwrap();
        assert_eq!(of("source.address"), source.ip().to_string());
        assert_eq!(of("source.port"), source.port().to_string());
        assert_eq!(of("process.pid"), std::process::id().to_string());
        assert_eq!((of("network.connection.state"), of("linux.skb.length")), ("established", "5"));
        assert_eq!(record.resource.get("container.id"), Some(&scene.id));
        let got = scene.collector.received().unwrap();
        assert_eq!(to(&got, DELAYED, end).len(), 1);
        assert!(to(&got, DELAYED, quick).is_empty());
    }
    let got = scene.collector.received().unwrap();
    assert!(to(&got, DELAYED, of_host.1.local_addr().unwrap()).is_empty());
    let text = fs::read_to_string(scene.agent.event_file("net_rx_latency")).unwrap();
    let told: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(told["tracer_data"]["where"], "TO_USER_COPY");
    assert!(told["tracer_data"]["latency_ms"].as_u64().unwrap() >= 1500);
}
