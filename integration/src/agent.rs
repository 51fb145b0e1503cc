// SPDX-License-Identifier: Apache-2.0
//! The agent as a process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::{Collector, Record, binary, get, push_config, wait_for};

/// A running agent; killed when dropped.
pub struct Agent {
    child: Child,
    /// Its folder: configuration, event files, output.
    pub folder: TempDir,
    /// Its address, e.g. `http://127.0.0.1:40123/`.
    pub url: String,
    /// From the start of the process to the line that names the address.
    pub start_time: Duration,
}

/// How an agent is started.
#[derive(Default)]
pub struct Launch {
    config: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    user: Option<u32>,
    program: Option<PathBuf>,
}

impl Launch {
    /// Runs this copy of the agent.
    pub fn program(mut self, path: PathBuf) -> Self {
        self.program = Some(path);
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable to the environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Runs as an unprivileged user.
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Starts it and waits until it says where it listens.
    pub fn start(self) -> Result<Agent> {
        let folder = tempfile::tempdir()?;
        let begin = Instant::now();
        let child = self.command(folder.path())?.spawn()?;
        let mut agent = Agent { child, folder, url: String::new(), start_time: Duration::ZERO };
        let found = wait_for(Duration::from_secs(20), || {
            let out = agent.output("out")?;
            let url = out.lines().find_map(|line| line.strip_prefix("  look at    "));
            if let (None, Some(status)) = (url, agent.child.try_wait()?) {
                return Ok(Err(format!("the agent ended with {status}")));
            }
            url.map(|url| Ok(url.to_owned())).context("the agent has not said its address")
        });
        match found {
            Ok(Ok(url)) => {
                agent.url = url;
                agent.start_time = begin.elapsed();
                Ok(agent)
            }
            Ok(Err(reason)) => bail!("{reason}: {}", agent.output("err")?),
            Err(reason) => bail!("{reason:#}: {}", agent.output("err")?),
        }
    }

    /// Runs it to its end.
    pub fn run(self) -> Result<Output> {
        let folder = tempfile::tempdir()?;
        let mut command = self.command(folder.path())?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command.output()?)
    }

    fn command(&self, folder: &Path) -> Result<Command> {
        let config = folder.join("agent.toml");
        fs::write(&config, &self.config)?;
        let program = self.program.clone().map_or_else(binary, Ok)?;
        let mut command = Command::new(program);
        command.args(&self.args).arg("--config").arg(config).current_dir(folder);
        command.stdin(Stdio::null());
        command.stdout(File::create(folder.join("out"))?);
        command.stderr(File::create(folder.join("err"))?);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().cloned());
        if let Some(user) = self.user {
            std::os::unix::fs::chown(folder, Some(user), Some(user))?;
            command.uid(user).gid(user);
        }
        Ok(command)
    }
}

impl Agent {
    /// An agent with `config`, on a free port.
    pub fn with(config: &str) -> Launch {
        Launch {
            config: format!("{config}\n[Server]\nListen = \"127.0.0.1:0\"\n"),
            ..Launch::default()
        }
    }

    /// A running agent that pushes to a Collector and is configured for nothing else.
    pub fn pushing(collector: &Collector) -> Result<Self> {
        Self::with(&push_config("grpc", collector.grpc, "gzip", "http", "")).start()
    }

    /// An agent with exactly `config`.
    pub fn with_only(config: &str) -> Launch {
        Launch { config: config.to_owned(), ..Launch::default() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What is at `path` of its server.
    pub fn get(&self, path: &str) -> Result<String> {
        get(&format!("{}{path}", self.url))
            .with_context(|| format!("the agent says: {}", self.output("err").unwrap_or_default()))
    }

    /// Containers that it knows to run.
    pub fn containers(&self) -> Result<u64> {
        self.status()?["containers"]["running"].as_u64().context("no count of containers")
    }

    /// `/status`
    pub fn status(&self) -> Result<Json> {
        Ok(serde_json::from_str(&self.get("status")?)?)
    }

    /// The value of a series of the legacy page, `name{labels}` behind the prefix.
    pub fn series(&self, series: &str) -> Result<f64> {
        let page = self.get("metrics")?;
        let start = format!("huatuo_bamai_{series} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&start));
        Ok(line.with_context(|| format!("{series} is not on the page"))?.parse()?)
    }

    /// What it printed: `out` or `err`.
    pub fn output(&self, stream: &str) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join(stream))?)
    }

    /// The file of events of a tracer.
    pub fn event_file(&self, tracer: &str) -> PathBuf {
        self.folder.path().join("huatuo-local").join(tracer)
    }

    /// The document of an event in the file of its tracer.
    pub fn document(&self, tracer: &str, event: &Record) -> Result<Json> {
        wait_for(Duration::from_secs(5), || {
            let text = fs::read_to_string(self.event_file(tracer))?;
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let all = whole.map(serde_json::from_str).collect::<Result<Vec<Json>, _>>()?;
            let uid = event.attributes["log.record.uid"].as_str();
            let found = all.into_iter().find(|document| document["tracer_id"] == uid);
            found.with_context(|| format!("no document {uid}: {text}"))
        })
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> Result<(ExitStatus, Duration)> {
        let begin = Instant::now();
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let status = wait_for(Duration::from_secs(20), || {
            self.child.try_wait()?.context("the agent does not end")
        })?;
        Ok((status, begin.elapsed()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
