// SPDX-License-Identifier: Apache-2.0
//! OTLP over HTTP with protobuf bodies.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Response};

use super::USER_AGENT_NAME;
use super::outcome::{Accepted, Failure};
use super::payload::Payload;
use super::target::{Target, TargetError};
use crate::crypto;

/// Answers are small; the rest of a longer one is left unread.
const MAX_ANSWER: usize = 4 << 20;

/// Sends one signal over kept connections.
#[derive(Debug, Clone)]
pub(super) struct HttpSender {
    client: Client,
    target: Target,
}

impl HttpSender {
    pub fn new(target: Target) -> Result<Self, TargetError> {
        Ok(Self { client: client(&target)?, target })
    }

    pub async fn send(&self, payload: &Payload) -> Result<Accepted, Failure> {
        let mut request = self
            .client
            .post(self.target.url.to_string())
            .headers(self.target.headers.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(payload.body.clone());
        if let Some(encoding) = payload.encoding() {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(response).await?;
        if status.is_success() {
            Ok(Accepted::parse(self.target.signal, &body))
        } else {
            Err(Failure::http(status, &headers, &body))
        }
    }
}

/// A client for the target. It follows no redirects: a receiver that moved is an error to be seen.
pub fn client(target: &Target) -> Result<Client, TargetError> {
    let broken = |error: reqwest::Error| TargetError::Tls {
        url: target.shown(),
        what: Failure::connection(&error).message,
    };
    crypto::install();
    let mut builder = Client::builder()
        .user_agent(USER_AGENT_NAME)
        .redirect(Policy::none())
        .connect_timeout(target.timeout)
        .timeout(target.timeout)
        .pool_idle_timeout(Duration::from_secs(90));
    if let Some(pem) = &target.tls.authorities {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(broken)?);
    }
    if let Some((certificate, key)) = &target.tls.identity {
        let pem = [certificate.as_slice(), b"\n", key.as_slice()].concat();
        builder = builder.identity(Identity::from_pem(&pem).map_err(broken)?);
    }
    builder.build().map_err(broken)
}

async fn read(response: Response) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(failed)?);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    Ok(body.freeze())
}

/// Without the URL, which may hold a secret.
fn failed(error: reqwest::Error) -> Failure {
    if error.is_timeout() { Failure::timeout() } else { Failure::connection(&error.without_url()) }
}
