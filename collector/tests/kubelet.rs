// SPDX-License-Identifier: Apache-2.0
//! Names from a kubelet, over real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod stand_in;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use huatuo_otel::config::Config;
use huatuo_otel::entity::{Discovery, Entities};
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kubelet::{self, Kubelet, PodConfig};
use huatuo_otel::status::{Board, SourceStatus};
use semconv::attribute;
use stand_in::{Answer, Authority, StandIn};
use tokio_util::sync::CancellationToken;

const NODE: &str = "node-1";
const UID: &str = "275ecb36-5aa8-4c2a-9c47-000000000001";
/// The container of the ordinary pod.
const ID: &str = "0000000000000000000000000000000000000000000000000000000000000011";

/// A machine with one container of one pod.
struct Node {
    root: tempfile::TempDir,
    entities: Arc<Entities>,
    board: Arc<Board>,
    status: SourceStatus,
}

impl Node {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let mounts = "cgroup2 /cgroup cgroup2 rw 0 0\n";
        fs::write(root.path().join("proc/self/mounts"), mounts).unwrap();
        let folder = root.path().join(format!("cgroup/kubepods/burstable/pod{UID}"));
        fs::create_dir_all(folder.join(ID)).unwrap();
        let fs = HostFs::new(root.path());
        let entities = Arc::new(Entities::discover(&Config::default(), &fs));
        let board = Arc::new(Board::default());
        let status = board.source("kubelet", String::new());
        Self { root, entities, board, status }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn pod_name(&self) -> String {
        let container = self.entities.container(ID).unwrap();
        assert_eq!(container.resource.text(&attribute::K8S_POD_UID), UID);
        container.resource.text(&attribute::K8S_POD_NAME).to_owned()
    }

    async fn ask(&self, config: &PodConfig) -> Result<(), String> {
        let mut kubelet = Kubelet::new(config, NODE).unwrap();
        let works = kubelet::ask(&mut kubelet, &self.entities, &self.status).await;
        let verdict = self.board.verdicts().sources.remove(0);
        assert_eq!(verdict.works, Some(works));
        if works { Ok(()) } else { Err(verdict.reason) }
    }

    /// The question fails, says why, and takes nothing away.
    async fn fails(&self, config: &PodConfig, expected: &str) {
        let before = self.pod_name();
        let reason = self.ask(config).await.unwrap_err();
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(self.pod_name(), before);
    }

    async fn works(&self, config: &PodConfig) {
        self.ask(config).await.unwrap();
        assert_eq!(self.pod_name(), "web-7d4b9c5f6-x2x9k");
    }
}

fn ordinary() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pods/ordinary.json");
    fs::read(path).unwrap()
}

fn ok() -> Answer {
    Answer::Whole("200 OK", ordinary())
}

/// Asks the port without authentication only.
fn open(port: u16) -> PodConfig {
    PodConfig { kubelet_read_only_port: port, kubelet_authorized_port: 0, ..PodConfig::default() }
}

/// Asks the HTTPS port only, and trusts `authority`.
fn secure(node: &Node, port: u16, authority: &Authority) -> PodConfig {
    let ca = node.path("ca.crt");
    fs::write(&ca, authority.pem()).unwrap();
    PodConfig {
        kubelet_read_only_port: 0,
        kubelet_authorized_port: port,
        kubelet_ca_path: ca,
        ..PodConfig::default()
    }
}

#[tokio::test]
async fn the_port_without_authentication_names_pods() {
    let node = Node::new();
    assert!(node.entities.lacks_pods());
    let kubelet = StandIn::start(ok(), None).await;
    node.works(&open(kubelet.port)).await;
    assert!(!node.entities.lacks_pods());
    let container = node.entities.container(ID).unwrap();
    assert_eq!(container.resource.text(&attribute::K8S_CONTAINER_NAME), "nginx");
    assert_eq!(container.resource.text(&attribute::CONTAINER_RUNTIME_NAME), "containerd");
}

#[tokio::test]
async fn every_bad_answer_is_told_in_words_and_the_next_good_one_mends_it() {
    let node = Node::new();
    let kubelet = StandIn::start(ok(), None).await;
    let config = open(kubelet.port);
    let half = ordinary().split_off(ordinary().len() / 2);
    let html = b"<html><body>moved</body></html>".to_vec();
    for (answer, expected) in [
        (Answer::Whole("401 Unauthorized", Vec::new()), "KubeletClientCertPath"),
        (Answer::Whole("403 Forbidden", Vec::new()), "nodes/proxy"),
        (Answer::Whole("500 Internal Server Error", Vec::new()), "HTTP 500"),
        (Answer::Whole("302 Found", Vec::new()), "HTTP 302"),
        (Answer::Whole("200 OK", html), "does not answer with pods"),
        (Answer::Whole("200 OK", Vec::new()), "does not answer with pods"),
        (Answer::Whole("200 OK", half), "does not answer with pods"),
        (Answer::CutOff(ordinary()[..500].to_vec()), "does not answer with pods"),
        (Answer::Huge(50 << 20), "over 33554432 bytes"),
        (Answer::Nothing, "no answer within 5 s"),
    ] {
        kubelet.say(answer);
        node.fails(&config, expected).await;
    }
    kubelet.say(ok());
    node.works(&config).await;
    kubelet.say(Answer::Whole("500 Internal Server Error", Vec::new()));
    node.fails(&config, "HTTP 500").await;
    assert_eq!(node.pod_name(), "web-7d4b9c5f6-x2x9k", "what is known stays known");
}

#[tokio::test]
async fn where_nobody_listens_both_ports_are_named() {
    let node = Node::new();
    let gone = StandIn::start(ok(), None).await.port;
    let config = PodConfig { kubelet_authorized_port: gone, ..open(gone) };
    node.fails(&config, &format!("http://127.0.0.1:{gone}/pods")).await;
    node.fails(&config, &format!("https://127.0.0.1:{gone}/pods")).await;
}

#[tokio::test]
async fn what_answered_is_asked_first() {
    let (node, authority) = (Node::new(), Authority::new());
    let refuses = StandIn::start(Answer::Whole("403 Forbidden", Vec::new()), None).await;
    let answers = StandIn::start(ok(), Some(authority.acceptor(NODE, None))).await;
    let config = PodConfig {
        kubelet_read_only_port: refuses.port,
        ..secure(&node, answers.port, &authority)
    };
    let mut kubelet = Kubelet::new(&config, NODE).unwrap();
    for _ in 0..3 {
        assert!(kubelet::ask(&mut kubelet, &node.entities, &node.status).await);
    }
    assert_eq!((refuses.asked(), answers.asked()), (1, 3));
}

#[tokio::test]
async fn the_kubelets_certificate_is_verified() {
    let (node, authority, other) = (Node::new(), Authority::new(), Authority::new());
    let kubelet = StandIn::start(ok(), Some(authority.acceptor(NODE, None))).await;
    node.fails(&secure(&node, kubelet.port, &other), "Pod.KubeletCaPath").await;
    let renamed = PodConfig {
        kubelet_server_name: "node-2".to_owned(),
        ..secure(&node, kubelet.port, &authority)
    };
    node.fails(&renamed, "Pod.KubeletServerName").await;
    let missing = PodConfig {
        kubelet_ca_path: node.path("nowhere"),
        ..secure(&node, kubelet.port, &authority)
    };
    node.fails(&missing, "Pod.KubeletCaPath").await;
    assert_eq!(kubelet.asked(), 0, "nobody was asked who could not prove who he is");
    let unverified = PodConfig { kubelet_skip_verify: true, ..secure(&node, kubelet.port, &other) };
    node.works(&unverified).await;
    node.works(&secure(&node, kubelet.port, &authority)).await;
}

#[tokio::test]
async fn a_client_certificate_is_sent_from_one_file_or_two_and_may_be_replaced() {
    let (node, authority, other) = (Node::new(), Authority::new(), Authority::new());
    let acceptor = authority.acceptor(NODE, Some(&authority));
    let kubelet = StandIn::start(ok(), Some(acceptor)).await;
    let config = secure(&node, kubelet.port, &authority);
    node.fails(&config, "/pods: ").await;
    let (certificate, key) = (node.path("client.crt"), node.path("client.key"));
    let paths = format!("{},{}", certificate.display(), key.display());
    let config = PodConfig { kubelet_client_cert_path: paths, ..config };
    node.fails(&config, "Pod.KubeletClientCertPath").await;
    for (issuer, works) in [(&other, false), (&authority, true)] {
        let (chain, private) = issuer.issue("agent");
        fs::write(&certificate, &chain).unwrap();
        fs::write(&key, &private).unwrap();
        match works {
            true => node.works(&config).await,
            false => node.fails(&config, "/pods: ").await,
        }
    }
    let both = node.path("both.pem");
    let (chain, private) = authority.issue("agent");
    fs::write(&both, chain + &private).unwrap();
    let old = PodConfig {
        kubelet_client_cert_path: String::new(),
        kubelet_pod_client_cert_path: both.display().to_string(),
        ..config
    };
    node.works(&old).await;
}

#[tokio::test]
async fn a_token_is_sent_and_may_be_replaced() {
    let (node, authority) = (Node::new(), Authority::new());
    let answer = |token: &str| Answer::WithToken(token.to_owned(), ordinary());
    let kubelet = StandIn::start(answer("first"), Some(authority.acceptor(NODE, None))).await;
    let token = node.path("token");
    let config =
        PodConfig { kubelet_token_path: token.clone(), ..secure(&node, kubelet.port, &authority) };
    node.fails(&config, "Pod.KubeletTokenPath").await;
    fs::write(&token, "first\n").unwrap();
    node.works(&config).await;
    kubelet.say(answer("second"));
    node.fails(&config, "401").await;
    fs::write(&token, "second\n").unwrap();
    node.works(&config).await;
}

#[tokio::test]
async fn names_arrive_by_themselves_once_the_kubelet_is_there() {
    let node = Node::new();
    // A port that was free a moment ago.
    let port = StandIn::start(ok(), None).await.port;
    let stop = CancellationToken::new();
    let kubelet = Kubelet::new(&open(port), NODE).unwrap();
    let run = kubelet::run(kubelet, node.entities.clone(), node.status.clone(), stop.clone());
    let task = tokio::spawn(run);
    while node.board.verdicts().sources[0].works != Some(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(node.pod_name(), "");
    let kubelet = StandIn::at(port, ok(), None).await;
    while node.pod_name().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(kubelet.asked(), 1, "it is not asked again while nothing is missing");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_pod_that_comes_later_is_asked_for() {
    let node = Node::new();
    let kubelet = StandIn::start(ok(), None).await;
    let stop = CancellationToken::new();
    let client = Kubelet::new(&open(kubelet.port), NODE).unwrap();
    let run = kubelet::run(client, node.entities.clone(), node.status.clone(), stop.clone());
    let task = tokio::spawn(run);
    while node.pod_name().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let discovery = Discovery::start(&node.entities).unwrap();
    let (uid, id) = ("275ecb36-5aa8-4c2a-9c47-000000000002", format!("{:064x}", 0x22));
    let text = String::from_utf8(ordinary()).unwrap();
    let later = text.replace(UID, uid).replace(ID, &id).replace("web-", "shop-");
    kubelet.say(Answer::Whole("200 OK", later.into_bytes()));
    fs::create_dir_all(node.path(&format!("cgroup/kubepods/pod{uid}/{id}"))).unwrap();
    let named = || {
        let container = node.entities.container(&id)?;
        Some(container.resource.text(&attribute::K8S_POD_NAME).to_owned())
    };
    while named().is_none_or(|name| name.is_empty()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(named().as_deref(), Some("shop-7d4b9c5f6-x2x9k"));
    drop(discovery);
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn five_hundred_pods_are_known() {
    let node = Node::new();
    let one: serde_json::Value = serde_json::from_slice(&ordinary()).unwrap();
    let pod = |number: u64| {
        let text = one["items"][0].to_string();
        let uid = format!("275ecb36-5aa8-4c2a-9c47-{number:012x}");
        let text = text.replace(UID, &uid).replace(ID, &format!("{:064x}", number + 0x10));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let pods: Vec<_> = (1..=500).map(pod).collect();
    let body = serde_json::json!({ "items": pods }).to_string().into_bytes();
    let kubelet = StandIn::start(Answer::Whole("200 OK", body), None).await;
    node.works(&open(kubelet.port)).await;
    assert_eq!(kubelet.asked(), 1);
}
