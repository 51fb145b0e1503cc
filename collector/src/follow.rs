// SPDX-License-Identifier: Apache-2.0
//! `huatuo-otel events`: follows the watch endpoint of a running agent in the terminal.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Certificate, Client};
use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use crate::crypto;

/// Wait before a broken stream is taken up again.
const BACKOFF: Duration = Duration::from_secs(2);
/// A line of a stream; longer ones are no events of ours.
const MAX_LINE: usize = 4 << 20;

/// What to follow.
#[derive(Debug, Clone, Default)]
pub struct Follow {
    /// Address of the agent, e.g. `http://127.0.0.1:19704`.
    pub url: String,
    /// Token of the agent; empty for none.
    pub token: String,
    /// PEM file of the agent's certificate, trusted beside the system's authorities; empty for none.
    pub certificate: PathBuf,
    /// Field and regular expression, all of which must match.
    pub filters: Vec<(&'static str, String)>,
    /// Print JSON.
    pub json: bool,
}

/// Why events cannot be followed.
#[derive(Debug, Error)]
pub enum FollowError {
    /// Nobody answers.
    #[error("{url}: {source}; start the agent there, or name another address with --url")]
    Away {
        /// The address.
        url: String,
        /// What failed.
        source: reqwest::Error,
    },
    /// The agent does not want us.
    #[error("{url}: {status} {message}")]
    Refused {
        /// The address.
        url: String,
        /// HTTP status.
        status: reqwest::StatusCode,
        /// What the agent said.
        message: String,
    },
    /// The terminal is gone.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl Follow {
    /// Prints events to `out` until it is cancelled. A stream that breaks is taken up again; an
    /// agent that never answered, or refuses, is an error.
    pub async fn run(&self, out: &mut (dyn Write + Send)) -> Result<(), FollowError> {
        let mut answered = false;
        loop {
            match self.stream(out, &mut answered).await {
                Err(FollowError::Away { .. }) if answered => {}
                Err(error) => return Err(error),
                Ok(()) => {}
            }
            tokio::time::sleep(BACKOFF).await;
        }
    }

    async fn stream(
        &self,
        out: &mut (dyn Write + Send),
        answered: &mut bool,
    ) -> Result<(), FollowError> {
        let away = |source| FollowError::Away { url: self.url.clone(), source };
        let filters: Map<String, Json> =
            self.filters.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let url = format!("{}/v1/events/watch", self.url.trim_end_matches('/'));
        let client = self.client().map_err(away)?;
        let mut request = client.post(url).body(json!({ "filters": filters }).to_string());
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        if !status.is_success() {
            let message = response.text().await.map_err(away)?.trim().to_owned();
            return Err(FollowError::Refused { url: self.url.clone(), status, message });
        }
        *answered = true;
        let mut chunks = response.bytes_stream();
        let mut pending = Vec::new();
        while let Some(Ok(chunk)) = chunks.next().await {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                self.print(&line, out)?;
            }
            if pending.len() > MAX_LINE {
                pending.clear();
            }
        }
        Ok(())
    }

    fn client(&self) -> reqwest::Result<Client> {
        crypto::install();
        // A certificate that cannot be read makes the agent itself complain; here trust is enough.
        let trusted = std::fs::read(&self.certificate).unwrap_or_default();
        Client::builder().tls_certs_merge(Certificate::from_pem_bundle(&trusted)?).build()
    }

    fn print(&self, line: &[u8], out: &mut (dyn Write + Send)) -> io::Result<()> {
        let Some(data) = line.strip_prefix(b"data: ") else { return Ok(()) };
        let Ok(event) = serde_json::from_slice::<Json>(data) else { return Ok(()) };
        if self.json {
            writeln!(out, "{event}")?;
        } else {
            writeln!(out, "{}", readable(&event))?;
        }
        out.flush()
    }
}

/// Time, tracer, whose, and the data that is not empty.
fn readable(event: &Json) -> String {
    let data = &event["data"];
    let text = |key: &str| data[key].as_str().unwrap_or_default();
    let whose = match (text("container_hostname"), text("container_id")) {
        ("", "") => text("hostname"),
        ("", id) => id.get(..12).unwrap_or(id),
        (hostname, _) => hostname,
    };
    let fields =
        data["tracer_data"].as_object().into_iter().flatten().filter_map(|(key, value)| {
            let shown = match value {
                Json::String(text) if text.is_empty() => return None,
                // Stacks would hide the next event.
                Json::String(text) if text.contains('\n') => return None,
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some(format!("{key}={shown}"))
        });
    let fields: Vec<String> = fields.collect();
    format!(
        "{}  {}  {whose}  {}",
        text("observed_timestamp"),
        text("tracer_name"),
        fields.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::document::cloud_event;
    use crate::export::document::tests::oom;

    #[test]
    fn an_event_is_one_readable_line() {
        let line = format!("data: {}\n", cloud_event(&oom("0123456789abcdef")));
        let mut out = Vec::new();
        Follow::default().print(line.as_bytes(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("2025-06-11T09:09:07.236482841Z  oom  0123456789ab  "), "{text}");
        assert!(text.contains(" victim_pid=3218745 ") && text.ends_with('\n'));
        assert!(!text.contains("trigger_container_id="), "empty fields are left out");
    }

    #[test]
    fn pings_and_nonsense_are_passed_over() {
        let mut out = Vec::new();
        for line in [&b": ping\n"[..], b"\n", b"data: {\n", b"\xff\xff\n"] {
            Follow::default().print(line, &mut out).unwrap();
        }
        assert!(out.is_empty());
    }

    #[tokio::test]
    async fn an_agent_that_is_not_there_is_named_with_what_to_do() {
        let follow = Follow { url: "http://127.0.0.1:1".to_owned(), ..Follow::default() };
        let error = follow.run(&mut Vec::new()).await.unwrap_err().to_string();
        assert!(error.starts_with("http://127.0.0.1:1: ") && error.contains("--url"), "{error}");
    }
}
