// SPDX-License-Identifier: Apache-2.0
//! A receiver of OTLP that can be told to misbehave. What a real Collector takes is tested in
//! `integration/`; here it is about what no real one can be made to do on command.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use tokio::task::AbortHandle;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// As it should be.
    Take,
    /// Taken, but for so many items.
    Partial(i64),
    /// Refused, with HTTP status and headers.
    Http(u16, Vec<(&'static str, String)>),
    /// Refused, with a gRPC code and perhaps a wait.
    Grpc(Code, Option<Duration>),
    /// Taken too late.
    Late(Duration),
}

/// What was received.
#[derive(Debug, Clone)]
pub struct Received {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub logs: Option<ExportLogsServiceRequest>,
    pub metrics: Option<ExportMetricsServiceRequest>,
}

/// The receiver. Answers come from the front of `answers`; when they are used up all is taken.
#[derive(Clone, Default)]
pub struct Receiver {
    pub answers: Arc<Mutex<VecDeque<Answer>>>,
    pub received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let receiver = Self::default();
        receiver.answers.lock().unwrap().extend(answers);
        receiver
    }

    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    pub async fn until(&self, count: usize) -> Vec<Received> {
        let begin = Instant::now();
        while self.count() < count {
            assert!(begin.elapsed() < Duration::from_secs(20), "got {} of {count}", self.count());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.received.lock().unwrap().clone()
    }

    fn note(&self, received: Received) -> Answer {
        self.received.lock().unwrap().push(received);
        self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Take)
    }

    pub async fn serve_http(&self, address: SocketAddr) -> (SocketAddr, AbortHandle) {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(over_http).with_state(self.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (address, task.abort_handle())
    }

    pub async fn serve_grpc(&self, address: SocketAddr) -> (SocketAddr, AbortHandle) {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let logs = LogsServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        let metrics = MetricsServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let serving = Server::builder().add_service(logs).add_service(metrics);
        let task = tokio::spawn(async move {
            serving.serve_with_incoming(incoming).await.unwrap();
        });
        (address, task.abort_handle())
    }
}

async fn over_http(
    State(receiver): State<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let encoding = headers.get("content-encoding").map(|value| value.to_str().unwrap());
    let body = match encoding {
        None => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&*body);
            std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
            plain
        }
        Some("zstd") => zstd::decode_all(&*body).unwrap(),
        Some(other) => panic!("unknown encoding {other}"),
    };
    let is_logs = uri.path().ends_with("logs");
    let answer = receiver.note(Received {
        at: Instant::now(),
        path: uri.path().to_owned(),
        headers,
        logs: is_logs.then(|| ExportLogsServiceRequest::decode(&*body).unwrap()),
        metrics: (!is_logs).then(|| ExportMetricsServiceRequest::decode(&*body).unwrap()),
    });
    match answer {
        Answer::Take | Answer::Grpc(..) => ().into_response(),
        Answer::Partial(rejected) => logs_answer(rejected).encode_to_vec().into_response(),
        Answer::Late(wait) => {
            tokio::time::sleep(wait).await;
            ().into_response()
        }
        Answer::Http(status, headers) => {
            let mut response = StatusCode::from_u16(status).unwrap().into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    }
}

fn logs_answer(rejected: i64) -> ExportLogsServiceResponse {
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: rejected,
        error_message: "too old".to_owned(),
    };
    ExportLogsServiceResponse { partial_success: Some(partial) }
}

async fn grpc_answer(answer: Answer) -> Result<i64, Status> {
    match answer {
        Answer::Take | Answer::Http(..) => Ok(0),
        Answer::Partial(rejected) => Ok(rejected),
        Answer::Late(wait) => {
            tokio::time::sleep(wait).await;
            Ok(0)
        }
        Answer::Grpc(code, None) => Err(Status::new(code, "no")),
        Answer::Grpc(code, wait) => {
            let details = ErrorDetails::with_retry_info(wait);
            Err(Status::with_error_details(code, "no", details))
        }
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let (metadata, _, logs) = request.into_parts();
        let answer = self.note(Received {
            at: Instant::now(),
            path: "logs".to_owned(),
            headers: metadata.into_headers(),
            logs: Some(logs),
            metrics: None,
        });
        let rejected = grpc_answer(answer).await?;
        Ok(tonic::Response::new(if rejected > 0 {
            logs_answer(rejected)
        } else {
            ExportLogsServiceResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, metrics) = request.into_parts();
        let answer = self.note(Received {
            at: Instant::now(),
            path: "metrics".to_owned(),
            headers: metadata.into_headers(),
            logs: None,
            metrics: Some(metrics),
        });
        grpc_answer(answer).await?;
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}
