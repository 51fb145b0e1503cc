// SPDX-License-Identifier: Apache-2.0
//! The agent's log: lines for people on stderr or in a file, and, where telemetry is pushed, log
//! records and spans of the SDK.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
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

/// Where lines go, and which.
#[derive(Debug, Clone)]
pub struct LogTarget {
    /// The least severe that is written.
    pub level: LevelFilter,
    /// The file; stderr where it is left out.
    pub file: Option<PathBuf>,
}

/// Starts the log of the whole process. Lines before that are lost, lines of a second call too.
pub fn start(target: &LogTarget, providers: Option<&Providers>) -> Result<(), LogError> {
    let (writer, colours) = writer(target)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours)
        .with_target(false)
        .with_filter(ours(target.level));
    let records = providers.map(|providers| {
        OpenTelemetryTracingBridge::new(&providers.logs).with_filter(ours(target.level))
    });
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

fn writer(target: &LogTarget) -> Result<(BoxMakeWriter, bool), LogError> {
    let Some(path) = &target.file else {
        let colours = io::IsTerminal::is_terminal(&io::stderr());
        return Ok((BoxMakeWriter::new(io::stderr), colours));
    };
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = opened.map_err(|source| LogError::Open { path: path.clone(), source })?;
    Ok((BoxMakeWriter::new(Mutex::new(file)), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let file = Some(PathBuf::from("/proc/nowhere/agent.log"));
        let error = start(&LogTarget { level: LevelFilter::INFO, file }, None).unwrap_err();
        assert!(error.to_string().contains("/proc/nowhere/agent.log"));
    }
}
