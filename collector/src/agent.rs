// SPDX-License-Identifier: Apache-2.0
//! Start order, and the end in reverse. Everything that can be wrong with the configuration is
//! found before anything is started.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use semconv::attribute;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::collect::{Collector, Snapshots, Starter};
use crate::config::Config;
use crate::entity::{Census, Discovery, Entities};
use crate::events::{Events, Surroundings};
use crate::export::localfile::{LocalFile, LocalFileError};
use crate::export::otlp::{LogPush, MetricPush, Signal, Target, TargetError, resolve};
use crate::hostfs::HostFs;
use crate::journal::{Follower, Journal, MemoryJournal};
use crate::kernel::{KernelSupport, raise_open_files};
use crate::kubelet::{self, Kubelet};
use crate::probes::KnownIssues;
use crate::server::{BindError, Doors, Server, Watchers};
use crate::signal::Audience;
use crate::status::{Board, ProbeVerdict, Verdicts};
use crate::telemetry::{LogError, Observed, Providers, SdkError, observe, start_log};

/// A scrape or a push this soon after the last collection uses its snapshot.
const MAX_SNAPSHOT_AGE: Duration = Duration::from_secs(1);
/// How long everything may take to end.
const MAX_SHUTDOWN: Duration = Duration::from_millis(4500);
/// The part of it that the agent's own last telemetry may take.
const SDK_SHUTDOWN: Duration = Duration::from_millis(1000);

/// Why the agent cannot start. Nothing runs then.
#[derive(Debug, Error)]
pub enum StartError {
    /// Where to listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Where to push.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Where to keep events.
    #[error(transparent)]
    LocalFile(#[from] LocalFileError),
    /// Where to log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The agent's own telemetry.
    #[error(transparent)]
    Sdk(#[from] SdkError),
    /// A thread.
    #[error("cannot start a thread: {0}; raise the limit of processes")]
    Thread(#[from] io::Error),
}

/// What is known once everything runs, for the lines that people see.
pub struct Running {
    /// Address of the HTTP server.
    pub url: String,
    /// Folder of event files; `None` where none are kept.
    pub events: Option<PathBuf>,
    /// Where metrics and events are pushed; `None` where they are not.
    pub pushed_to: Option<String>,
    /// Verdicts of the probes.
    pub verdicts: Verdicts,
}

/// What is opened before anything runs.
struct Opened {
    server: Server,
    file: Option<LocalFile>,
    metrics: Option<Target>,
    logs: Option<Target>,
}

impl Opened {
    async fn open(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            metrics: resolve(&config.otlp, Signal::Metrics)?,
            logs: resolve(&config.otlp, Signal::Logs)?,
            file: LocalFile::open(&config.storage.local_file)?,
            server: Server::bind(&config.server, config.events_watch.max_clients).await?,
        })
    }
}

/// The tasks of all exporters and the server.
struct Tasks {
    set: JoinSet<()>,
    stop: CancellationToken,
    journal: Arc<dyn Journal>,
    board: Arc<Board>,
}

/// Runs until `stop`; calls `running` once everything runs.
pub async fn run(
    config: Arc<Config>,
    fs: HostFs,
    stop: CancellationToken,
    running: impl FnOnce(&Running),
) -> Result<(), StartError> {
    let started = Instant::now();
    let opened = Opened::open(&config).await?;
    let support = KernelSupport::gather(&fs);
    let entities = Arc::new(Entities::discover(&config, &fs));
    let providers = Providers::start(&config, entities.shared())?;
    start_log(&config.log, providers.as_ref())?;
    raise_open_files();

    let board = Arc::new(Board::default());
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(config.journal.max_events));
    let events = Events::start(Surroundings {
        entities: Arc::clone(&entities),
        journal: Arc::clone(&journal),
        known_issues: KnownIssues::new(&config.event_tracing.issues_list),
    })?;
    let starter = Starter {
        config: Arc::clone(&config),
        fs,
        support,
        board: Arc::clone(&board),
        events: Some(events),
    };
    // On this thread, which nothing else waits for yet: its memory can be handed back to the last
    // page, that of a thread's own arena cannot.
    let snapshots = Snapshots::new(Collector::start(starter, Arc::clone(&entities)));
    let discovery = Discovery::start(&entities)?;

    let url = opened.server.url();
    let pushed_to = opened.metrics.as_ref().map(Target::shown);
    let mut tasks = Tasks {
        set: JoinSet::new(),
        stop: CancellationToken::new(),
        journal: Arc::clone(&journal),
        board: Arc::clone(&board),
    };
    let ready = Arc::new(AtomicBool::new(false));
    tasks.ask_kubelet(&config, &entities);
    let shared = Shared { snapshots: &snapshots, entities: &entities, ready: &ready, started };
    let watchers = tasks.start(opened, &config, &shared)?;
    observe_everything(&board, &shared, &watchers);
    ready.store(true, Ordering::Relaxed);
    let path = &config.storage.local_file.path;
    running(&Running {
        url,
        events: (!path.as_os_str().is_empty()).then(|| path.clone()),
        pushed_to,
        verdicts: board.verdicts(),
    });
    stop.cancelled().await;
    let end = end(tasks, snapshots, discovery, providers);
    if tokio::time::timeout(MAX_SHUTDOWN, end).await.is_err() {
        tracing::warn!("not everything could be sent in time");
    }
    Ok(())
}

/// What the tasks look at.
struct Shared<'a> {
    snapshots: &'a Snapshots,
    entities: &'a Arc<Entities>,
    ready: &'a Arc<AtomicBool>,
    started: Instant,
}

impl Shared<'_> {
    fn census(&self) -> Box<dyn Fn() -> Census + Send + Sync> {
        let entities = Arc::clone(self.entities);
        Box::new(move || entities.census())
    }
}

impl Tasks {
    fn ask_kubelet(&mut self, config: &Config, entities: &Arc<Entities>) {
        let host_name = entities.host().text(&attribute::HOST_NAME);
        let Some(kubelet) = Kubelet::new(&config.pod, host_name) else { return };
        let status = self.board.source("kubelet", kubelet.target());
        self.set.spawn(kubelet::run(kubelet, Arc::clone(entities), status, self.stop.clone()));
    }

    fn start(
        &mut self,
        opened: Opened,
        config: &Config,
        shared: &Shared<'_>,
    ) -> Result<Arc<Watchers>, StartError> {
        let snapshots = shared.snapshots;
        let Opened { server, file, metrics, logs } = opened;
        if let Some(target) = metrics {
            let status = self.board.exporter("otlp/metrics", target.shown());
            let interval = config.otlp.interval();
            let take = snapshots.take(MAX_SNAPSHOT_AGE.min(interval / 2), Audience::Push);
            let push = MetricPush::new(target, take, interval, status)?;
            self.set.spawn(push.run(self.stop.clone()));
        }
        if let Some(target) = logs {
            let status = self.board.exporter("otlp/logs", target.shown());
            let follower = Follower::from_start(Arc::clone(&self.journal));
            let cloud_events = config.otlp.cloud_events_attributes;
            let push = LogPush::new(target, follower, status, cloud_events)?;
            self.set.spawn(push.run(self.stop.clone()));
        }
        if let Some(file) = file {
            let target = config.storage.local_file.path.display().to_string();
            let status = self.board.exporter("localfile", target);
            let follower = Follower::from_start(Arc::clone(&self.journal));
            self.set.spawn(file.run(follower, status, self.stop.clone()));
        }
        let journal = Arc::clone(&self.journal);
        let watchers = Arc::new(Watchers::new(journal, &config.events_watch, self.stop.clone()));
        let doors = Doors {
            take: snapshots.take(MAX_SNAPSHOT_AGE, Audience::Page),
            board: Arc::clone(&self.board),
            census: shared.census(),
            watchers: Arc::clone(&watchers),
            ready: Arc::clone(shared.ready),
            token: config.server.token.clone(),
            started: shared.started,
        };
        self.set.spawn(server.run(doors.router(), self.stop.clone()));
        Ok(watchers)
    }
}

fn observe_everything(board: &Arc<Board>, shared: &Shared<'_>, watchers: &Arc<Watchers>) {
    let (snapshots, watchers) = (shared.snapshots.clone(), Arc::clone(watchers));
    observe(Observed {
        board: Arc::clone(board),
        costs: Box::new(move || snapshots.with_collector(|collector| collector.costs())),
        census: shared.census(),
        watchers: Box::new(move || watchers.count()),
    });
}

/// What happened up to now still leaves: the exporters flush, one last time, before the programs
/// are detached.
async fn end(
    mut tasks: Tasks,
    snapshots: Snapshots,
    discovery: Discovery,
    providers: Option<Providers>,
) {
    tracing::info!("ends");
    tasks.stop.cancel();
    while let Some(ended) = tasks.set.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "an exporter panicked");
        }
    }
    let ended = tokio::task::spawn_blocking(move || {
        snapshots.with_collector(Collector::stop);
        drop(discovery);
        if let Some(providers) = providers {
            providers.shutdown(SDK_SHUTDOWN);
        }
    });
    if let Err(error) = ended.await {
        tracing::error!(%error, "the end was not orderly");
    }
}

/// Starts every probe once, asks it, and stops it. For `huatuo-otel check`.
pub async fn check(config: Arc<Config>, fs: HostFs) -> Result<Verdicts, StartError> {
    resolve(&config.otlp, Signal::Metrics)?;
    resolve(&config.otlp, Signal::Logs)?;
    let support = KernelSupport::gather(&fs);
    let entities = Arc::new(Entities::discover(&config, &fs));
    let board = Arc::new(Board::default());
    ask_once(&config, &entities, &board).await;
    let starter = Starter { config, fs, support, board: Arc::clone(&board), events: None };
    let mut collector = Collector::start(starter, entities);
    collector.collect(Audience::Everyone);
    let mut verdicts = board.verdicts();
    verdicts.probes.iter_mut().for_each(ProbeVerdict::judge_by_last_error);
    Ok(verdicts)
}

/// Asks for the names of pods, if there are containers of pods here.
async fn ask_once(config: &Config, entities: &Entities, board: &Arc<Board>) {
    let host_name = entities.host().text(&attribute::HOST_NAME);
    let Some(mut kubelet) = Kubelet::new(&config.pod, host_name) else { return };
    let status = board.source("kubelet", kubelet.target());
    if entities.lacks_pods() {
        kubelet::ask(&mut kubelet, entities, &status).await;
    }
}
