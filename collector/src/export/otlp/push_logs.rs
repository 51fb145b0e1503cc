// SPDX-License-Identifier: Apache-2.0
//! Follows the journal and pushes its events. The journal is the queue: the cursor moves on when
//! the receiver has an event, so one that is away loses nothing that the journal still holds.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::config::Compression;
use super::courier::{Courier, Delivery, FLUSH};
use super::encode::{self, MAX_REQUEST};
use super::payload::Payload;
use super::target::{Target, TargetError};
use crate::journal::{Batch, Follower};
use crate::signal::Event;
use crate::status::ExporterStatus;

/// Events of one request. A lone event leaves at once; what comes meanwhile leaves together.
const MAX_BATCH: usize = 512;

/// Pushes events.
pub struct LogPush {
    courier: Courier,
    follower: Follower,
    compression: Compression,
    cloud_events: bool,
}

impl LogPush {
    /// `cloud_events` adds the attributes that name the CloudEvent which a record is.
    pub fn new(
        target: Target,
        follower: Follower,
        status: ExporterStatus,
        cloud_events: bool,
    ) -> Result<Self, TargetError> {
        let compression = target.compression;
        let courier = Courier::new(target, status)?;
        Ok(Self { courier, follower, compression, cloud_events })
    }

    /// Pushes until `stop`, then what is left in the journal.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.follow()).await;
        if tokio::time::timeout(FLUSH, self.flush()).await.is_err() {
            tracing::warn!("the last events could not be pushed in time");
        }
    }

    async fn follow(&mut self) {
        while let Some(batch) = self.follower.next(MAX_BATCH).await {
            self.courier.dropped(batch.lost, "journal_full");
            for payload in self.payloads(&batch.events) {
                self.courier.deliver(&payload).await;
            }
            self.follower.commit(batch.next);
        }
    }

    async fn flush(&mut self) {
        loop {
            let Batch { events, next, lost } = self.follower.drain(MAX_BATCH);
            self.courier.dropped(lost, "journal_full");
            if events.is_empty() {
                return;
            }
            let mut left = events.len() as u64;
            for payload in self.payloads(&events) {
                if self.courier.deliver_once(&payload).await == Delivery::Failed {
                    return self.courier.dropped(left, "shutdown");
                }
                left = left.saturating_sub(payload.items);
            }
            self.follower.commit(next);
        }
    }

    fn payloads(&self, events: &[Arc<Event>]) -> Vec<Payload> {
        let requests = encode::logs(events, MAX_REQUEST, self.cloud_events);
        let compressed = requests.into_iter().map(|r| Payload::new(r, self.compression));
        // Compressing into memory cannot fail but for a bug of the library.
        compressed.filter_map(Result::ok).collect()
    }
}
