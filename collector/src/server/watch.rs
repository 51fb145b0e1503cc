// SPDX-License-Identifier: Apache-2.0
//! `POST /v1/events/watch`: events as they happen, as server-sent events.
//!
//! Each subscriber is a follower of the journal from the moment it subscribes. A slow one holds up
//! nobody; what it missed is told to it and counted.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::EventsWatchConfig;
use super::error::ApiError;
use super::filter::Filters;
use crate::export::document::cloud_event;
use crate::journal::{Batch, Follower, Journal};
use crate::telemetry::ExporterMeter;

/// Events written at a time.
const MAX_BATCH: usize = 64;

/// The subscribers.
pub struct Watchers {
    journal: Arc<dyn Journal>,
    slots: Arc<Semaphore>,
    max_clients: usize,
    keep_alive: Duration,
    meter: ExporterMeter,
    stop: CancellationToken,
}

impl Watchers {
    /// Streams end at `stop`.
    pub fn new(
        journal: Arc<dyn Journal>,
        config: &EventsWatchConfig,
        stop: CancellationToken,
    ) -> Self {
        Self {
            journal,
            slots: Arc::new(Semaphore::new(config.max_clients)),
            max_clients: config.max_clients,
            keep_alive: Duration::from_secs(config.keep_alive_interval),
            meter: ExporterMeter::of_events("sse_log_exporter", "watch"),
            stop,
        }
    }

    /// Subscribers at the moment.
    pub fn count(&self) -> usize {
        self.max_clients - self.slots.available_permits()
    }

    pub(super) fn subscribe(&self, body: &[u8]) -> Result<Response, ApiError> {
        let filters = Filters::parse(body).map_err(ApiError::Invalid)?;
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            let max = self.max_clients;
            ApiError::TooMany(format!("{max} clients watch already (EventsWatch.MaxClients)"))
        })?;
        let mut pings = interval_at(Instant::now() + self.keep_alive, self.keep_alive);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let subscriber = Subscriber {
            follower: Follower::from_now(Arc::clone(&self.journal)),
            filters,
            pings,
            meter: self.meter.clone(),
            stop: self.stop.clone(),
            _slot: slot,
        };
        let lines = stream::unfold(subscriber, |mut subscriber| async {
            let text = subscriber.next().await?;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), subscriber))
        });
        let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
        Ok((headers, Body::from_stream(lines)).into_response())
    }
}

struct Subscriber {
    follower: Follower,
    filters: Filters,
    pings: Interval,
    meter: ExporterMeter,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Subscriber {
    /// What is to be written next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                batch = self.follower.next(MAX_BATCH) => {
                    let text = self.print(&batch?);
                    if !text.is_empty() {
                        return Some(text);
                    }
                }
                _ = self.pings.tick() => return Some(": ping\n\n".to_owned()),
                () = self.stop.cancelled() => return None,
            }
        }
    }

    fn print(&mut self, batch: &Batch) -> String {
        let mut text = String::new();
        if batch.lost > 0 {
            self.meter.dropped(batch.lost, "journal_full");
            let _ = write!(text, ": {} events were lost, the client is too slow\n\n", batch.lost);
        }
        let mut sent = 0;
        for event in batch.events.iter().filter(|event| self.filters.pass(event)) {
            let _ = write!(text, "data: {}\n\n", cloud_event(event));
            sent += 1;
        }
        self.meter.exported(sent);
        self.follower.commit(batch.next);
        text
    }
}
