// SPDX-License-Identifier: Apache-2.0
//! The HTTP server over real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod sample;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use huatuo_otel::collect::TakeSnapshot;
use huatuo_otel::journal::{Journal, MemoryJournal};
use huatuo_otel::server::{Doors, EventsWatchConfig, Server, ServerConfig, Watchers};
use huatuo_otel::status::Board;
use reqwest::{Client, StatusCode};
use sample::{oom, snapshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Running {
    url: String,
    client: Client,
    journal: Arc<MemoryJournal>,
    watchers: Arc<Watchers>,
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(server: ServerConfig, watch: EventsWatchConfig) -> Running {
    let config = ServerConfig { listen: ([127, 0, 0, 1], 0).into(), ..server };
    let server = Server::bind(&config, watch.max_clients).await.unwrap();
    let url = server.url();
    let stop = CancellationToken::new();
    let journal = Arc::new(MemoryJournal::new(8));
    let watchers = Arc::new(Watchers::new(journal.clone(), &watch, stop.clone()));
    let ready = Arc::new(AtomicBool::new(false));
    let doors = Doors {
        take: TakeSnapshot::from_fn(snapshot),
        board: Arc::new(Board::default()),
        census: Box::new(Default::default),
        watchers: Arc::clone(&watchers),
        ready: Arc::clone(&ready),
        token: config.token.clone(),
        started: Instant::now(),
    };
    let task = tokio::spawn(server.run(doors.router(), stop.clone()));
    huatuo_otel::crypto::install();
    Running { url, client: Client::new(), journal, watchers, ready, stop, task }
}

async fn plain() -> Running {
    start(ServerConfig::default(), EventsWatchConfig::default()).await
}

impl Running {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.at(path)).send().await.unwrap()
    }

    async fn watch(&self, body: &'static str) -> reqwest::Response {
        self.client.post(self.at("/v1/events/watch")).body(body).send().await.unwrap()
    }

    async fn clients(&self, wanted: usize) {
        let begin = Instant::now();
        while self.watchers.count() != wanted {
            assert!(begin.elapsed() < Duration::from_secs(5), "{}", self.watchers.count());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

type Chunks = futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>;

async fn next_text(chunks: &mut Chunks) -> String {
    let chunk = tokio::time::timeout(Duration::from_secs(5), chunks.next()).await;
    String::from_utf8(chunk.unwrap().unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn every_page_is_there() {
    let running = plain().await;
    assert!(running.get("/").await.text().await.unwrap().contains("/v1/events/watch"));
    let page = running.get("/metrics").await;
    assert_eq!(page.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = page.text().await.unwrap();
    assert!(text.contains("huatuo_bamai_loadavg_load1{host=\"node-1\",region=\"\"} 0.5\n"));
    let status: serde_json::Value =
        serde_json::from_str(&running.get("/status").await.text().await.unwrap()).unwrap();
    assert!(status["probes"].is_array() && status["exporters"].is_array());
    let version = running.get("/version").await.text().await.unwrap();
    assert!(version.contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(running.get("/healthz").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(running.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    running.ready.store(true, Ordering::Relaxed);
    assert_eq!(running.get("/readyz").await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_page_comes_as_open_metrics_and_compressed_to_those_who_ask() {
    let running = plain().await;
    let request = running.client.get(running.at("/metrics"));
    let answer = request.header("accept", "application/openmetrics-text").send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/open"));
    assert!(answer.text().await.unwrap().ends_with("# EOF\n"));
    let request = running.client.get(running.at("/metrics"));
    let answer = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let body = answer.bytes().await.unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*body), &mut text).unwrap();
    assert!(text.contains("loadavg_load1"));
}

#[tokio::test]
async fn wrong_requests_get_their_status_and_a_message() {
    let running = plain().await;
    let long = "x".repeat(100_000);
    let client = &running.client;
    let watch = running.at("/v1/events/watch");
    for (answer, status, code) in [
        (running.get("/nowhere").await, 404, "not_found"),
        (client.post(running.at("/metrics")).send().await.unwrap(), 405, "method_not_allowed"),
        (client.get(watch.clone()).send().await.unwrap(), 405, "method_not_allowed"),
        (running.watch(r#"{"filters":{"bogus":"x"}}"#).await, 400, "invalid_request"),
        (client.post(watch).body(long).send().await.unwrap(), 413, "too_large"),
    ] {
        assert_eq!(answer.status().as_u16(), status, "{code}");
        let text = answer.text().await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["error"]["code"], code);
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_token_is_asked_for_everywhere_but_at_the_health_checks() {
    let config = ServerConfig { token: "sesame".to_owned(), ..ServerConfig::default() };
    let running = start(config, EventsWatchConfig::default()).await;
    for path in ["/", "/metrics", "/status", "/version"] {
        assert_eq!(running.get(path).await.status(), StatusCode::UNAUTHORIZED, "{path}");
        for (token, status) in [("sesame", 200), ("sesam", 401), ("sesamE", 401)] {
            let request = running.client.get(running.at(path)).bearer_auth(token);
            assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{path} {token}");
        }
    }
    assert_eq!(running.watch("{}").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(running.get("/healthz").await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn subscribers_get_what_they_asked_for_at_once() {
    let running = plain().await;
    let all = running.watch("").await;
    assert_eq!(all.headers()["content-type"], "text/event-stream");
    let mut all = all.bytes_stream().boxed();
    let none = running.watch(r#"{"filters":{"tracer_name":"^other$"}}"#).await;
    let mut none = none.bytes_stream().boxed();
    running.clients(2).await;
    let begin = Instant::now();
    running.journal.append(oom(42));
    let text = next_text(&mut all).await;
    assert!(begin.elapsed() < Duration::from_millis(500));
    let data = text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
    let event: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(event["data"]["tracer_data"]["victim_pid"], 42);
    let silent = tokio::time::timeout(Duration::from_millis(100), none.next()).await;
    assert!(silent.is_err(), "{silent:?}");
}

#[tokio::test]
async fn events_of_before_the_subscription_are_not_sent() {
    let running = plain().await;
    running.journal.append(oom(1));
    let mut stream = running.watch("{}").await.bytes_stream().boxed();
    running.clients(1).await;
    running.journal.append(oom(2));
    assert!(next_text(&mut stream).await.contains("\"victim_pid\":2"));
}

#[tokio::test]
async fn an_idle_stream_is_kept_alive_by_pings() {
    let watch = EventsWatchConfig { keep_alive_interval: 1, ..EventsWatchConfig::default() };
    let running = start(ServerConfig::default(), watch).await;
    let mut stream = running.watch("{}").await.bytes_stream().boxed();
    assert_eq!(next_text(&mut stream).await, ": ping\n\n");
    assert_eq!(next_text(&mut stream).await, ": ping\n\n");
}

#[tokio::test]
async fn too_many_subscribers_are_sent_away_and_a_slot_comes_free_again() {
    let watch = EventsWatchConfig { max_clients: 1, ..EventsWatchConfig::default() };
    let running = start(ServerConfig::default(), watch).await;
    let first = running.watch("{}").await;
    assert_eq!(first.status(), StatusCode::OK);
    let second = running.watch("{}").await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(second.text().await.unwrap().contains("EventsWatch.MaxClients"));
    drop(first);
    running.clients(0).await;
    assert_eq!(running.watch("{}").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_subscriber_that_is_too_slow_is_told_what_it_missed() {
    let running = plain().await;
    let mut stream = running.watch("{}").await.bytes_stream().boxed();
    running.clients(1).await;
    // The journal of this test holds eight; all of them come between two looks of the stream.
    for pid in 0..20 {
        running.journal.append(oom(pid));
    }
    let text = next_text(&mut stream).await;
    assert!(text.starts_with(": 12 events were lost"), "{text}");
    assert!(text.contains("\"victim_pid\":19"));
}

#[tokio::test]
async fn the_end_does_not_wait_for_streams() {
    let running = plain().await;
    let mut stream = running.watch("{}").await.bytes_stream().boxed();
    running.clients(1).await;
    let begin = Instant::now();
    running.stop.cancel();
    running.task.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert!(stream.next().await.is_none_or(|chunk| chunk.is_err()));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let config = ServerConfig { listen, ..ServerConfig::default() };
    let error = Server::bind(&config, 1).await.err().unwrap().to_string();
    assert!(error.starts_with(&format!("Server.Listen {listen}: ")), "{error}");
    assert!(error.contains("choose another port"), "{error}");
}

#[tokio::test]
async fn with_a_certificate_it_speaks_https() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = folder.path().join("cert.pem");
    let key = folder.path().join("key.pem");
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = ServerConfig { certificate: certificate.clone(), key, ..ServerConfig::default() };
    let running = start(config, EventsWatchConfig::default()).await;
    let authority = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([authority]).build().unwrap();
    let url = running.at("/version").replace("127.0.0.1", "localhost");
    assert!(url.starts_with("https://"));
    assert_eq!(client.get(url).send().await.unwrap().status(), StatusCode::OK);
    let half = ServerConfig { certificate, ..ServerConfig::default() };
    let error = Server::bind(&half, 1).await.err().unwrap().to_string();
    assert_eq!(error, "Server: Certificate and Key must both be set, or none of them");
}
