// SPDX-License-Identifier: Apache-2.0
//! The push against receivers that refuse, throttle, are late, go away and come back.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod receiver;
mod sample;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use huatuo_otel::collect::TakeSnapshot;
use huatuo_otel::export::otlp::{
    Compression, LogPush, MetricPush, OtlpConfig, Protocol, Signal, resolve,
};
use huatuo_otel::journal::{Follower, Journal, MemoryJournal};
use huatuo_otel::status::Board;
use receiver::{Answer, Received, Receiver};
use sample::{oom, snapshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn config(address: SocketAddr, protocol: Protocol) -> OtlpConfig {
    let endpoint = format!("http://{address}");
    OtlpConfig { endpoint, protocol, ..OtlpConfig::default() }
}

struct Pushing {
    journal: Arc<MemoryJournal>,
    board: Arc<Board>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Pushing {
    /// Pushes the events of a journal.
    fn logs(config: &OtlpConfig) -> Self {
        let journal = Arc::new(MemoryJournal::new(64));
        let board = Arc::new(Board::default());
        let target = resolve(config, Signal::Logs).unwrap().unwrap();
        let status = board.exporter("otlp/logs", String::new());
        let follower = Follower::from_start(journal.clone());
        let push = LogPush::new(target, follower, status, true).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(push.run(stop.clone()));
        Self { journal, board, stop, task }
    }

    /// Pushes one gauge every 50 ms.
    fn metrics(config: &OtlpConfig) -> Self {
        let board = Arc::new(Board::default());
        let target = resolve(config, Signal::Metrics).unwrap().unwrap();
        let status = board.exporter("otlp/metrics", String::new());
        let take = TakeSnapshot::from_fn(snapshot);
        let push = MetricPush::new(target, take, Duration::from_millis(50), status).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(push.run(stop.clone()));
        Self { journal: Arc::new(MemoryJournal::new(1)), board, stop, task }
    }

    fn works(&self) -> Option<bool> {
        self.board.verdicts().exporters[0].works
    }

    /// The answer may still be on its way when the receiver has the request.
    async fn until_it_works(&self) {
        let begin = Instant::now();
        while self.works() != Some(true) {
            assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", self.works());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Pids of the victims, in the order they came.
fn pids(received: &[Received]) -> Vec<i64> {
    let records = received
        .iter()
        .flat_map(|received| &received.logs.as_ref().unwrap().resource_logs)
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records);
    records
        .map(|record| {
            let pid = record.attributes.iter().find(|a| a.key == "process.pid").unwrap();
            match pid.value.as_ref().unwrap().value {
                Some(opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue(pid)) => {
                    pid
                }
                _ => panic!(),
            }
        })
        .collect()
}

#[tokio::test]
async fn a_lone_event_leaves_at_once_with_headers_over_both_protocols() {
    for (protocol, compression) in [
        (Protocol::Grpc, Compression::None),
        (Protocol::Grpc, Compression::Gzip),
        (Protocol::Grpc, Compression::Zstd),
        (Protocol::HttpProtobuf, Compression::None),
        (Protocol::HttpProtobuf, Compression::Gzip),
        (Protocol::HttpProtobuf, Compression::Zstd),
    ] {
        let receiver = Receiver::default();
        let (address, _) = match protocol {
            Protocol::Grpc => receiver.serve_grpc(ANY).await,
            Protocol::HttpProtobuf => receiver.serve_http(ANY).await,
        };
        let mut config = config(address, protocol);
        config.compression = compression;
        config.headers = [("X-Scope-OrgID".to_owned(), "7".to_owned())].into();
        let pushing = Pushing::logs(&config);
        let begin = Instant::now();
        pushing.journal.append(oom(42));
        let received = receiver.until(1).await;
        assert!(begin.elapsed() < Duration::from_millis(500), "{protocol:?} {compression:?}");
        assert_eq!(pids(&received), [42]);
        let headers = &received[0].headers;
        assert_eq!(headers["x-scope-orgid"], "7");
        assert!(headers["user-agent"].to_str().unwrap().starts_with("huatuo-otel/"));
        if protocol == Protocol::HttpProtobuf {
            assert_eq!(received[0].path, "/v1/logs");
        }
        pushing.until_it_works().await;
        pushing.stop.cancel();
        pushing.task.await.unwrap();
        assert_eq!(receiver.count(), 1, "an event that arrived is not sent again");
    }
}

#[tokio::test]
async fn events_wait_in_order_for_a_receiver_that_is_away() {
    let receiver = Receiver::default();
    let (address, server) = receiver.serve_http(ANY).await;
    let pushing = Pushing::logs(&config(address, Protocol::HttpProtobuf));
    pushing.journal.append(oom(1));
    receiver.until(1).await;
    server.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for pid in 2..=5 {
        pushing.journal.append(oom(pid));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pushing.works(), Some(false));
    let _server = receiver.serve_http(address).await;
    let begin = Instant::now();
    while pids(&receiver.received.lock().unwrap()).len() < 5 {
        assert!(begin.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(pids(&receiver.received.lock().unwrap()), [1, 2, 3, 4, 5]);
    pushing.until_it_works().await;
}

#[tokio::test]
async fn what_may_be_retried_is_and_what_may_not_is_given_up() {
    let answers =
        [Answer::Http(503, Vec::new()), Answer::Take, Answer::Http(400, Vec::new()), Answer::Take];
    let receiver = Receiver::answering(answers);
    let (address, _) = receiver.serve_http(ANY).await;
    let pushing = Pushing::logs(&config(address, Protocol::HttpProtobuf));
    pushing.journal.append(oom(1));
    receiver.until(2).await;
    pushing.journal.append(oom(2));
    receiver.until(3).await;
    pushing.journal.append(oom(3));
    let received = receiver.until(4).await;
    assert_eq!(pids(&received), [1, 1, 2, 3]);
}

#[tokio::test]
async fn a_receiver_that_says_when_is_asked_again_then() {
    let after = vec![("retry-after", "2".to_owned())];
    let receiver = Receiver::answering([Answer::Http(429, after)]);
    let (address, _) = receiver.serve_http(ANY).await;
    let pushing = Pushing::logs(&config(address, Protocol::HttpProtobuf));
    pushing.journal.append(oom(1));
    let received = receiver.until(2).await;
    let waited = received[1].at - received[0].at;
    assert!((1.9..3.0).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[tokio::test]
async fn over_grpc_the_wish_of_the_receiver_and_its_refusal_count_too() {
    let wait = Some(Duration::from_millis(700));
    let receiver = Receiver::answering([
        Answer::Grpc(Code::ResourceExhausted, wait),
        Answer::Take,
        Answer::Grpc(Code::ResourceExhausted, None),
        Answer::Grpc(Code::InvalidArgument, None),
        Answer::Grpc(Code::Unavailable, None),
        Answer::Take,
    ]);
    let (address, _) = receiver.serve_grpc(ANY).await;
    let pushing = Pushing::logs(&config(address, Protocol::Grpc));
    for (pid, count) in [(1, 2), (2, 3), (3, 4), (4, 6)] {
        pushing.journal.append(oom(pid));
        receiver.until(count).await;
    }
    let received = receiver.until(6).await;
    assert_eq!(pids(&received), [1, 1, 2, 3, 4, 4]);
    let waited = received[1].at - received[0].at;
    assert!((0.69..1.5).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[tokio::test]
async fn a_partial_success_is_never_sent_again() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let receiver = Receiver::answering([Answer::Partial(1)]);
        let (address, _) = match protocol {
            Protocol::Grpc => receiver.serve_grpc(ANY).await,
            Protocol::HttpProtobuf => receiver.serve_http(ANY).await,
        };
        let pushing = Pushing::logs(&config(address, protocol));
        pushing.journal.append(oom(1));
        receiver.until(1).await;
        pushing.journal.append(oom(2));
        let received = receiver.until(2).await;
        assert_eq!(pids(&received), [1, 2]);
        assert_eq!(pushing.board.verdicts().exporters[0].reason, "too old");
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_is_asked_again() {
    let receiver = Receiver::answering([Answer::Late(Duration::from_secs(5))]);
    let (address, _) = receiver.serve_grpc(ANY).await;
    let mut config = config(address, Protocol::Grpc);
    config.timeout = 0.2;
    let pushing = Pushing::logs(&config);
    pushing.journal.append(oom(1));
    let received = receiver.until(2).await;
    assert!(received[1].at - received[0].at < Duration::from_secs(4));
}

#[tokio::test]
async fn metrics_of_the_time_without_receiver_arrive_when_it_is_back() {
    let receiver = Receiver::default();
    let (address, server) = receiver.serve_http(ANY).await;
    server.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let pushing = Pushing::metrics(&config(address, Protocol::HttpProtobuf));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pushing.works(), Some(false));
    let _server = receiver.serve_http(address).await;
    // Ten intervals have passed at least by the time of the first retry.
    let received = receiver.until(10).await;
    assert_eq!(received[0].path, "/v1/metrics");
    let scope = &received[0].metrics.as_ref().unwrap().resource_metrics[0].scope_metrics[0];
    assert_eq!(scope.metrics[0].name, "system.cpu.load_average.1m");
}

#[tokio::test]
async fn the_end_sends_what_is_there_and_does_not_wait_for_a_receiver_that_is_away() {
    let receiver = Receiver::default();
    let (address, server) = receiver.serve_grpc(ANY).await;
    let pushing = Pushing::metrics(&config(address, Protocol::Grpc));
    receiver.until(1).await;
    pushing.stop.cancel();
    pushing.task.await.unwrap();
    let flushed = receiver.count();
    assert!(flushed >= 2, "the last snapshot came");
    server.abort();
    let mut away = config(address, Protocol::HttpProtobuf);
    away.timeout = 0.5;
    let pushing = Pushing::logs(&away);
    pushing.journal.append(oom(1));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    pushing.stop.cancel();
    pushing.task.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}
