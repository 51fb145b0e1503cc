// SPDX-License-Identifier: Apache-2.0
//! A subscriber of the watch endpoint.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value as Json;

use crate::Agent;

/// A subscription; events come in a thread of its own.
pub struct Watch {
    events: Receiver<(SystemTime, Json)>,
}

impl Watch {
    /// Subscribes with a body, e.g. `{}`.
    pub fn subscribe(agent: &Agent, body: &'static str) -> Result<Self> {
        let url = format!("{}v1/events/watch", agent.url);
        let answer = ureq::post(&url).send(body).context("subscribe")?;
        let (out, events) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(answer.into_body().into_reader()).lines();
            for line in lines.map_while(Result::ok) {
                let now = SystemTime::now();
                let event = line.strip_prefix("data: ").and_then(|e| serde_json::from_str(e).ok());
                if event.is_some_and(|event| out.send((now, event)).is_err()) {
                    return;
                }
            }
        });
        Ok(Self { events })
    }

    /// The next event, and when it came.
    pub fn next(&self) -> Result<(SystemTime, Json)> {
        self.events.recv_timeout(Duration::from_secs(10)).context("no event came")
    }

    /// Those that have come and were not asked for.
    pub fn waiting(&self) -> Vec<(SystemTime, Json)> {
        self.events.try_iter().collect()
    }
}
