// SPDX-License-Identifier: Apache-2.0
//! OTLP over gRPC. The call is framed here rather than by tonic, so that bytes which are encoded
//! and compressed already are neither copied through a codec nor compressed anew at each attempt.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tower::ServiceExt;

use super::USER_AGENT_NAME;
use super::outcome::{Accepted, Failure, grpc_status};
use super::payload::Payload;
use super::target::{Target, TargetError};
use crate::crypto;

/// Flag and length before a message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;
/// Answers are small; more than this is not one.
const MAX_ANSWER: usize = 4 << 20;

/// Sends one signal over one connection, which is made when it is needed.
#[derive(Debug, Clone)]
pub(super) struct GrpcSender {
    channel: Channel,
    target: Target,
}

impl GrpcSender {
    pub fn new(target: Target) -> Result<Self, TargetError> {
        Ok(Self { channel: channel(&target)?, target })
    }

    pub async fn send(&self, payload: &Payload) -> Result<Accepted, Failure> {
        let call = self.channel.clone().oneshot(self.request(payload));
        let answer = call.await.map_err(|error| Failure::connection(&error))?;
        let (head, body) = answer.into_parts();
        // Without a body the status is in the head.
        if let Some(status) = grpc_status(&head.headers) {
            return finished(&status).map(|()| Accepted::default());
        }
        if head.status != StatusCode::OK {
            return Err(Failure::http(head.status, &head.headers, &[]));
        }
        let collected = Limited::new(body, MAX_ANSWER).collect().await;
        let collected = collected.map_err(|error| Failure::grpc(&Status::from_error(error)))?;
        let status = collected.trailers().and_then(grpc_status);
        finished(&status.unwrap_or_else(|| Status::new(Code::Unknown, "no status came")))?;
        let body = collected.to_bytes();
        Ok(Accepted::parse(self.target.signal, body.get(PREFIX..).unwrap_or_default()))
    }

    fn request(&self, payload: &Payload) -> Request<Body> {
        let mut request = Request::new(Body::new(Full::new(frame(payload))));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(self.target.signal.grpc_path());
        let headers = request.headers_mut();
        headers.clone_from(&self.target.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_NAME));
        headers.insert("grpc-timeout", grpc_timeout(self.target.timeout));
        if let Some(encoding) = payload.encoding() {
            headers.insert("grpc-encoding", HeaderValue::from_static(encoding));
        }
        request
    }
}

/// A connection to the target; made at the first call and again whenever it broke.
pub fn channel(target: &Target) -> Result<Channel, TargetError> {
    let broken = |error: &(dyn std::error::Error + 'static)| TargetError::Tls {
        url: target.shown(),
        what: Failure::connection(error).message,
    };
    crypto::install();
    let mut endpoint = Endpoint::from(target.url.clone())
        .connect_timeout(target.timeout)
        .http2_keep_alive_interval(Duration::from_secs(60))
        .tcp_keepalive(Some(Duration::from_secs(60)));
    if target.url.scheme_str() == Some("https") {
        let mut tls = match &target.tls.authorities {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((certificate, key)) = &target.tls.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        endpoint = endpoint.tls_config(tls).map_err(|error| broken(&error))?;
    }
    Ok(endpoint.connect_lazy())
}

fn frame(payload: &Payload) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + payload.body.len());
    frame.put_u8(payload.encoding().is_some().into());
    // Requests stay below `MAX_REQUEST`.
    frame.put_u32(payload.body.len() as u32);
    frame.put_slice(&payload.body);
    frame.freeze()
}

fn finished(status: &Status) -> Result<(), Failure> {
    if status.code() == Code::Ok { Ok(()) } else { Err(Failure::grpc(status)) }
}

/// At most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> HeaderValue {
    let text = format!("{}m", timeout.as_millis().min(99_999_999));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("10S"))
}
