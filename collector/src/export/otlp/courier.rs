// SPDX-License-Identifier: Apache-2.0
//! Delivers payloads one after the other: sends, waits and sends again, as the OTLP specification
//! says, and counts what came of it.

use std::time::{Duration, Instant};

use super::config::Protocol;
use super::grpc::GrpcSender;
use super::http::HttpSender;
use super::outcome::{Accepted, Failure};
use super::payload::Payload;
use super::target::{Signal, Target, TargetError};
use crate::status::ExporterStatus;
use crate::telemetry::ExporterMeter;

/// How long what is left may take to leave when the agent ends.
pub(super) const FLUSH: Duration = Duration::from_secs(3);
/// The wait before the second attempt is up to this; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait, unless the receiver asks for more.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A receiver that asks for more is not waited for any longer.
const MAX_ASKED: Duration = Duration::from_secs(300);

/// Delivers the payloads of one signal.
#[derive(Debug)]
pub(super) struct Courier {
    sender: Sender,
    timeout: Duration,
    status: ExporterStatus,
    meter: ExporterMeter,
}

#[derive(Debug)]
enum Sender {
    Grpc(GrpcSender),
    Http(HttpSender),
}

/// What became of a payload for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The receiver has it.
    Done,
    /// The receiver does not want it; it is counted as dropped.
    Refused,
    /// It may be sent again.
    Failed,
}

impl Courier {
    pub fn new(target: Target, status: ExporterStatus) -> Result<Self, TargetError> {
        let timeout = target.timeout;
        let meter = meter(&target);
        let sender = match target.protocol {
            Protocol::Grpc => Sender::Grpc(GrpcSender::new(target)?),
            Protocol::HttpProtobuf => Sender::Http(HttpSender::new(target)?),
        };
        Ok(Self { sender, timeout, status, meter })
    }

    /// Counts items that never came to be sent.
    pub fn dropped(&self, items: u64, why: &'static str) {
        if items > 0 {
            self.meter.dropped(items, why);
            tracing::warn!(items, why, "telemetry was given up");
        }
    }

    /// Sends until the receiver has it or does not want it. Safe to cancel: what is under way may
    /// then arrive twice.
    pub async fn deliver(&self, payload: &Payload) -> Delivery {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match self.attempt(payload).await {
                Ok(delivery) => return delivery,
                Err(failure) => {
                    tokio::time::sleep(wait(&failure, backoff)).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
            }
        }
    }

    /// Sends once.
    pub async fn deliver_once(&self, payload: &Payload) -> Delivery {
        self.attempt(payload).await.unwrap_or(Delivery::Failed)
    }

    async fn attempt(&self, payload: &Payload) -> Result<Delivery, Failure> {
        let begin = Instant::now();
        let sent = tokio::time::timeout(self.timeout, self.sender.send(payload)).await;
        let outcome = sent.unwrap_or_else(|_| Err(Failure::timeout()));
        let kind = outcome.as_ref().err().map(|failure| failure.kind);
        self.meter.operation(begin.elapsed(), kind);
        match outcome {
            Ok(accepted) => {
                self.accepted(payload, &accepted);
                Ok(Delivery::Done)
            }
            Err(failure) => {
                self.meter.failed(payload.items, failure.kind);
                self.status.fails(&failure.message);
                if failure.retry {
                    return Err(failure);
                }
                self.dropped(payload.items, failure.kind);
                Ok(Delivery::Refused)
            }
        }
    }

    fn accepted(&self, payload: &Payload, accepted: &Accepted) {
        self.status.works();
        let Accepted { rejected, message } = accepted;
        self.meter.exported(payload.items.saturating_sub(*rejected));
        if *rejected > 0 {
            self.meter.failed(*rejected, "rejected");
            self.meter.dropped(*rejected, "rejected");
        }
        if *rejected > 0 || !message.is_empty() {
            self.status.warns(*rejected, message);
        }
    }
}

impl Sender {
    async fn send(&self, payload: &Payload) -> Result<Accepted, Failure> {
        match self {
            Sender::Grpc(sender) => sender.send(payload).await,
            Sender::Http(sender) => sender.send(payload).await,
        }
    }
}

fn meter(target: &Target) -> ExporterMeter {
    let kind = match (target.protocol, target.signal) {
        (Protocol::Grpc, Signal::Logs) => "otlp_grpc_log_exporter",
        (Protocol::Grpc, _) => "otlp_grpc_metric_exporter",
        (Protocol::HttpProtobuf, Signal::Logs) => "otlp_http_log_exporter",
        (Protocol::HttpProtobuf, _) => "otlp_http_metric_exporter",
    };
    match target.signal {
        Signal::Logs => ExporterMeter::of_events(kind, "otlp/logs"),
        _ => ExporterMeter::of_points(kind, "otlp/metrics"),
    }
}

/// As long as the receiver asks, else any time up to `backoff`, so that a fleet does not come back
/// all at once.
fn wait(failure: &Failure, backoff: Duration) -> Duration {
    match failure.after {
        Some(asked) => asked.min(MAX_ASKED),
        None => backoff.mul_f64(0.1 + 0.9 * fastrand::f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_and_the_receivers_wish_is_obeyed_within_reason() {
        let mut failure = Failure::timeout();
        for _ in 0..100 {
            let wait = wait(&failure, Duration::from_secs(8));
            assert!((0.8..=8.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
        failure.after = Some(Duration::from_secs(3));
        assert_eq!(wait(&failure, Duration::from_secs(8)), Duration::from_secs(3));
        failure.after = Some(Duration::from_secs(86_400));
        assert_eq!(wait(&failure, Duration::from_secs(8)), MAX_ASKED);
    }
}
