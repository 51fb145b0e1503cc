// SPDX-License-Identifier: Apache-2.0
//! The agent's log: lines for people on stderr or in a file, and, where telemetry is pushed, log
//! records and spans of the SDK.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::sdk::Providers;

/// Why the log cannot be started.
#[derive(Debug, Error)]
pub enum LogError {
    /// Its file cannot be opened.
    #[error("Log.File {path}: {source}; name a file that the agent may write")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// `[Log]`: the agent's own log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least severe lines that are written: `Debug`, `Info`, `Warn`, `Error` or `Panic`.
    pub level: Level,
    /// File that lines go to. Empty: stderr.
    pub file: PathBuf,
}

/// How severe a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Level {
    /// What a developer wants to know.
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What should not happen and is coped with.
    Warn,
    /// What does not work.
    Error,
    /// Nothing but what ends the agent; here the same as `Error`.
    Panic,
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error | Level::Panic => LevelFilter::ERROR,
        }
    }
}

/// Starts the log of the whole process. Lines before that are lost, lines of a second call too.
pub fn start(config: &LogConfig, providers: Option<&Providers>) -> Result<(), LogError> {
    let (writer, colours) = writer(&config.file)?;
    let level = config.level.filter();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours)
        .with_target(false)
        .with_filter(ours(level));
    let records = providers
        .map(|providers| OpenTelemetryTracingBridge::new(&providers.logs).with_filter(ours(level)));
    let spans = providers.map(|providers| {
        let tracer = providers.traces.tracer("huatuo-otel");
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours(LevelFilter::INFO))
    });
    // A second subscriber can only come from a test in the same process.
    let _ = tracing_subscriber::registry().with(lines).with(records).with(spans).try_init();
    Ok(())
}

/// What the libraries below us say is for their developers, and what the exporters say while they
/// export would be exported in turn.
fn ours(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("huatuo_otel", level)
        .with_target("opentelemetry", LevelFilter::OFF)
        .with_target("opentelemetry_sdk", LevelFilter::OFF)
        .with_target("opentelemetry-otlp", LevelFilter::OFF)
        .with_target("hyper", LevelFilter::OFF)
        .with_target("h2", LevelFilter::OFF)
        .with_target("tonic", LevelFilter::OFF)
        .with_target("reqwest", LevelFilter::OFF)
}

fn writer(path: &Path) -> Result<(BoxMakeWriter, bool), LogError> {
    if path.as_os_str().is_empty() {
        let colours = io::IsTerminal::is_terminal(&io::stderr());
        return Ok((BoxMakeWriter::new(io::stderr), colours));
    }
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = opened.map_err(|source| LogError::Open { path: path.to_owned(), source })?;
    Ok((BoxMakeWriter::new(Mutex::new(file)), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let file = PathBuf::from("/proc/nowhere/agent.log");
        let error = start(&LogConfig { file, ..LogConfig::default() }, None).unwrap_err();
        assert!(error.to_string().contains("/proc/nowhere/agent.log"));
    }
}
