// SPDX-License-Identifier: Apache-2.0
//! Packets that are dropped, between two network namespaces.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fmt::Display;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::lab::is_elsewhere;
use integration::{
    Agent, CLIENT_MAC, Cable, Collector, Namespace, Point, Received, Record, SERVER, SERVER_MAC,
    Scene, free_port, proc, unix_now,
};

const DROPPED: &str = "linux.network.packet.dropped";
const CLIENT: [&str; 2] = ["10.9.0.1", "fd09::1"];
/// Of nobody: what is sent there goes astray.
const ASTRAY: &str = "02:00:00:00:00:99";

/// Has the server take this for the client's hardware address. It would not answer who looks for
/// its own either.
fn answer_to(cable: &Cable, mac: &str) {
    for (client, server) in CLIENT.into_iter().zip(SERVER) {
        let neighbour = |whose: &dyn Display, mac: &str, device: &str| {
            format!("neigh replace {whose} lladdr {mac} dev {device} nud permanent")
        };
        cable.client.ip(&neighbour(&server, SERVER_MAC, "v0")).unwrap();
        cable.server.ip(&neighbour(&client, mac, "v1")).unwrap();
    }
}

fn first(got: &Received, end: SocketAddr) -> Result<Record> {
    got.to(DROPPED, end).first().copied().cloned().context("no event yet")
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
        let told = got.to(DROPPED, end);
        let named = told.iter().find(has_name).context("no event with names yet")?;
        Ok(named.attributes["huatuo.destination.host_name"].clone())
    });
    assert!(known.unwrap().contains("localhost"));
}

#[test]
fn a_packet_to_a_closed_port_is_told_with_its_reason_and_container() {
    let scene = Scene::new(0x21, "").unwrap();
    for address in SERVER {
        let end = SocketAddr::new(address, 9);
        scene.cable.client.run(|| TcpStream::connect(end).unwrap_err()).unwrap();
        let record = scene.collector.until(|got| first(got, end)).unwrap();
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
        assert_eq!(record.severity, 13);
        assert_eq!(record.resource.get("container.id"), Some(&scene.id));
        // Kernels before v5.17 have no reasons, those before v5.12 no cookie until one is asked for.
        let reason = of("linux.network.drop.reason");
        assert!(["", "no_socket"].contains(&reason), "{reason}");
        let cookie = of("linux.network.namespace.cookie");
        let is_old = reason.is_empty() && cookie.is_empty();
        assert!(is_old || cookie.parse::<u64>().unwrap() > 0, "{cookie}");
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
    let scene = Scene::new(0x23, "").unwrap();
    scene.collector.settled().unwrap();
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
    scene.collector.settled().unwrap();
    let of_udp = reasons() - before;
    println!("flood: {datagrams} datagrams sent, {of_udp} drops counted");
    // The machine may drop others'.
    assert!(of_udp >= f64::from(datagrams) && of_udp < f64::from(datagrams) * 1.02, "{of_udp}");

    let (begin, since) = (Instant::now(), unix_now());
    let connect = || (0..requests).for_each(|_| drop(TcpStream::connect(end)));
    scene.cable.client.run(connect).unwrap();
    let (seconds, until) = (begin.elapsed().as_secs_f64(), unix_now());
    let got = scene.collector.settled().unwrap();
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
    let scene = Scene::new(0x25, "").unwrap();
    let end: SocketAddr = "10.9.0.77:80".parse().unwrap();
    let wait = Duration::from_secs(5) * integration::slowness();
    scene.cable.client.run(|| TcpStream::connect_timeout(&end, wait).unwrap_err()).unwrap();
    scene
        .collector
        .until(|got| {
            let excluded = got.suppressed(DROPPED, "excluded");
            ensure!(excluded >= 1.0, "{excluded} excluded");
            Ok(())
        })
        .unwrap();
    let got = scene.collector.received().unwrap();
    assert!(got.to(DROPPED, end).is_empty(), "{:?}", got.to(DROPPED, end));
    let reasons: Vec<_> = got.of("linux.network.packet.drops");
    let reasons = reasons.iter().map(|point| &*point.attributes["linux.network.drop.reason"]);
    assert!(reasons.into_iter().any(|reason| ["neigh_failed", "not_specified"].contains(&reason)));
}

#[test]
fn the_last_ack_of_a_handshake_that_finds_a_full_queue_is_told() {
    let scene = Scene::new(0x27, "").unwrap();
    let Cable { client, server } = &scene.cable;
    for (address, source) in SERVER.into_iter().zip(CLIENT) {
        let listener = server.run(|| TcpListener::bind((address, 0)).unwrap()).unwrap();
        let end = listener.local_addr().unwrap();
        // Answers go astray until eight requests wait: two CPUs that find room for one at the same
        // time both take it.
        answer_to(&scene.cable, ASTRAY);
        let connects = (0..8).map(|_| {
            // A thread that is started in the namespace is in it too.
            let wait = Duration::from_secs(5) * integration::slowness();
            client.run(|| spawn(move || TcpStream::connect_timeout(&end, wait))).unwrap()
        });
        let connects: Vec<_> = connects.collect();
        sleep(Duration::from_millis(300) * integration::slowness());
        rustix::net::listen(&listener, 1).unwrap();
        answer_to(&scene.cable, CLIENT_MAC);
        let record = scene
            .collector
            .until(|got| {
                let records = got.to(DROPPED, end).into_iter();
                let overflow = |record: &&Record| {
                    record.attributes["linux.network.drop.type"] == "listen_overflow_handshake3"
                };
                records.rev().find(overflow).cloned().context("no overflow yet")
            })
            .unwrap();
        println!("{}", record.body);
        assert_eq!(record.attributes["source.address"], source);
        assert_eq!(record.attributes["linux.socket.accept_queue.limit"], "1");
        assert_eq!(record.attributes["network.connection.state"], "listen");
        assert_eq!(record.resource.get("container.id"), Some(&scene.id));
        drop(connects);
    }
}

#[test]
fn connection_requests_that_find_a_full_queue_are_told() {
    if is_elsewhere("events_network", "fentry or kprobes") {
        return;
    }
    let scene = Scene::new(0x29, "").unwrap();
    for (address, source) in SERVER.into_iter().zip(CLIENT) {
        let bind = || TcpListener::bind((address, 0)).unwrap();
        let listener = scene.cable.server.run(bind).unwrap();
        let end = listener.local_addr().unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let wait = Duration::from_millis(300) * integration::slowness();
        let connect = || (0..4).map(|_| TcpStream::connect_timeout(&end, wait)).collect::<Vec<_>>();
        let _held = scene.cable.client.run(connect).unwrap();
        let record = scene.collector.until(|got| first(got, end)).unwrap();
        println!("{}", record.body);
        assert_eq!(record.attributes["source.address"], source);
        assert_eq!(record.attributes["linux.network.drop.type"], "listen_overflow_handshake1");
        assert_eq!(record.attributes["network.connection.state"], "listen");
    }
}

/// Connection requests that listeners of the namespace have refused.
fn refused(server: &Namespace) -> usize {
    let text = server.run(|| proc("thread-self/net/netstat").unwrap()).unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with("TcpExt: "));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let column = names.split(' ').position(|name| name == "ListenDrops").unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

#[test]
fn connection_requests_over_those_that_may_wait_are_told_where_there_are_no_cookies() {
    if is_elsewhere("events_network", "fentry or kprobes") {
        return;
    }
    let scene = Scene::new(0x2b, "").unwrap();
    let Cable { client, server } = &scene.cable;
    for (name, value) in [("tcp_syncookies", "0"), ("tcp_max_syn_backlog", "8")] {
        let path = format!("/proc/sys/net/ipv4/{name}");
        server.run(|| fs::write(path, value).unwrap()).unwrap();
    }
    // Who asks never answers.
    answer_to(&scene.cable, ASTRAY);
    // A queue that is full, and one with room for more than the last quarter of all that may wait.
    for (room, address, source) in [(3, SERVER[0], CLIENT[0]), (100, SERVER[1], CLIENT[1])] {
        let listener = server.run(|| TcpListener::bind((address, 0)).unwrap()).unwrap();
        let end = listener.local_addr().unwrap();
        rustix::net::listen(&listener, room).unwrap();
        let before = refused(server);
        // Each gives up before it would ask again.
        let ask = || drop(TcpStream::connect_timeout(&end, Duration::from_millis(50)));
        client.run(|| (0..12).for_each(|_| ask())).unwrap();
        let got = scene.collector.settled().unwrap();
        // A packet may be on its way until now.
        let refused = refused(server) - before;
        let told = got.to(DROPPED, end);
        println!("room for {room}: {refused} refused, {} told", told.len());
        assert!(refused > 0 && refused < 12, "{refused} of 12 are refused");
        // The first that finds the queue full may have been let in.
        assert!([refused, refused + 1].contains(&told.len()));
        for record in told {
            let of = |key: &str| &*record.attributes[key];
            assert_eq!(of("linux.network.drop.type"), "syn_flood");
            assert_eq!((of("source.address"), of("network.connection.state")), (source, "listen"));
            assert_eq!(of("linux.socket.accept_queue.limit"), room.to_string());
            assert_eq!(record.severity, 13);
            assert_eq!(record.resource.get("container.id"), Some(&scene.id));
            let data = &scene.agent.document("dropwatch", record).unwrap()["tracer_data"];
            assert_eq!((&data["type"], &data["saddr"]), (&"syn_flood".into(), &source.into()));
            assert_eq!(data["daddr"], address.to_string());
            assert_eq!((&data["dport"], &data["sk_state"]), (&end.port().into(), &"LISTEN".into()));
        }
    }
}

#[test]
fn a_connection_that_opens_talks_and_closes_is_not_told() {
    let scene = Scene::new(0x2d, "").unwrap();
    for address in SERVER {
        let (mut client, mut server) = scene.connection(address).unwrap();
        let mut room = [0; 1000];
        client.write_all(&room).unwrap();
        server.read_exact(&mut room).unwrap();
        server.write_all(&room).unwrap();
        client.read_exact(&mut room).unwrap();
        drop(client);
        assert_eq!(server.read(&mut room).unwrap(), 0);
        // The kernel has forgotten the client's socket by then, all but its numbers.
        sleep(Duration::from_millis(200) * integration::slowness());
    }
    let got = scene.collector.settled().unwrap();
    let is_ours = |record: &&Record| {
        let ends = ["source.address", "destination.address"];
        record.event_name == DROPPED
            && ends.iter().any(|key| CLIENT.contains(&&*record.attributes[*key]))
    };
    let told: Vec<_> = got.records.iter().filter(is_ours).collect();
    assert!(told.is_empty(), "{told:#?}");
}
