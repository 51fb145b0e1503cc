// SPDX-License-Identifier: Apache-2.0
//! One file of events per tracer in a folder of this host: one JSON document per line, rotated by
//! size.

mod config;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::document::document;
use crate::journal::{Batch, Follower};
use crate::signal::Event;
use crate::status::ExporterStatus;
use crate::sync::lock;
use crate::telemetry::ExporterMeter;
use writer::Writer;

pub use config::LocalFileConfig;

/// Events written at a time.
const MAX_BATCH: usize = 256;
/// Wait before a failed write is tried again; doubles up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest such wait.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The folder cannot be used.
#[derive(Debug, Error)]
#[error(
    "Storage.LocalFile.Path {path}: {source}; name a folder that the agent may write, or set \
         Path = \"\" to keep no files"
)]
pub struct LocalFileError {
    path: PathBuf,
    source: io::Error,
}

/// Follows the journal into files.
pub struct LocalFile {
    writer: Arc<Mutex<Writer>>,
    zone: TimeZone,
    meter: ExporterMeter,
}

impl LocalFile {
    /// Makes the folder and tries to write in it. `None` where the configuration names none.
    pub fn open(config: &LocalFileConfig) -> Result<Option<Self>, LocalFileError> {
        if config.path.as_os_str().is_empty() {
            return Ok(None);
        }
        let opened = Writer::open(config);
        let writer =
            opened.map_err(|source| LocalFileError { path: config.path.clone(), source })?;
        Ok(Some(Self {
            writer: Arc::new(Mutex::new(writer)),
            zone: TimeZone::system(),
            meter: ExporterMeter::of_events("file_log_exporter", "localfile"),
        }))
    }

    /// Writes until `stop`, then what is left in the journal.
    pub async fn run(
        self,
        mut follower: Follower,
        status: ExporterStatus,
        stop: CancellationToken,
    ) {
        stop.run_until_cancelled(self.follow(&mut follower, &status)).await;
        let rest = follower.drain(usize::MAX);
        match self.write(&rest.events).await {
            Ok(()) => self.meter.exported(rest.events.len() as u64),
            Err(error) => {
                status.fails(&error.to_string());
                self.meter.dropped(rest.events.len() as u64, "shutdown");
            }
        }
    }

    async fn follow(&self, follower: &mut Follower, status: &ExporterStatus) {
        while let Some(batch) = follower.next(MAX_BATCH).await {
            let Batch { events, next, lost } = batch;
            if lost > 0 {
                self.meter.dropped(lost, "journal_full");
            }
            let mut backoff = FIRST_BACKOFF;
            while let Err(error) = self.write(&events).await {
                status.fails(&error.to_string());
                self.meter.failed(events.len() as u64, "io");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
            status.works();
            self.meter.exported(events.len() as u64);
            follower.commit(next);
        }
    }

    /// Off the threads of the runtime: a disk may take its time. All or nothing of each tracer's
    /// events, as far as the disk lets us.
    async fn write(&self, events: &[Arc<Event>]) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<(&'static str, String)> = Vec::new();
        for event in events {
            let tracer = event.def.legacy.tracer;
            let line = format!("{}\n", document(event, &self.zone));
            match lines.iter_mut().find(|(known, _)| *known == tracer) {
                Some((_, text)) => text.push_str(&line),
                None => lines.push((tracer, line)),
            }
        }
        let writer = Arc::clone(&self.writer);
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = lock(&writer);
            lines.iter().try_for_each(|(tracer, text)| writer.append(tracer, text))
        });
        written.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::document::tests::oom;
    use crate::journal::{Journal, MemoryJournal};
    use crate::status::Board;

    #[tokio::test]
    async fn events_come_as_one_document_per_line_also_those_of_the_last_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let config = LocalFileConfig { path: path.clone(), ..LocalFileConfig::default() };
        let journal = Arc::new(MemoryJournal::new(16));
        let status = Arc::new(Board::default()).exporter("localfile", String::new());
        let stop = CancellationToken::new();
        let file = LocalFile::open(&config).unwrap().unwrap();
        let follower = Follower::from_start(journal.clone());
        journal.append(Arc::new(oom("c0ffee")));
        let running = tokio::spawn(file.run(follower, status, stop.clone()));
        journal.append(Arc::new(oom("")));
        stop.cancel();
        running.await.unwrap();
        let text = std::fs::read_to_string(path.join("oom")).unwrap();
        let documents: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0]["container_id"], "c0ffee");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_with_what_to_do() {
        let path = PathBuf::from("/proc/nowhere");
        let config = LocalFileConfig { path, ..LocalFileConfig::default() };
        let error = LocalFile::open(&config).err().unwrap().to_string();
        assert!(error.starts_with("Storage.LocalFile.Path /proc/nowhere: "), "{error}");
    }

    #[test]
    fn without_a_path_there_are_no_files() {
        let config = LocalFileConfig { path: PathBuf::new(), ..LocalFileConfig::default() };
        assert!(LocalFile::open(&config).unwrap().is_none());
    }
}
