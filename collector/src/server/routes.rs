// SPDX-License-Identifier: Apache-2.0
//! What is served where.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{BoxError, Router};
use futures_util::stream;
use serde_json::json;

use super::error::ApiError;
use super::gzip::Gzip;
use super::watch::Watchers;
use crate::collect::TakeSnapshot;
use crate::entity::Census;
use crate::export::prometheus::{Format, pieces};
use crate::status::Board;

/// Bytes of a request's body.
const MAX_BODY: usize = 64 * 1024;
/// How long a body may take.
const MAX_BODY_TIME: Duration = Duration::from_secs(10);

/// What the routes look at.
pub struct Doors {
    /// Takes the snapshot of a page.
    pub take: TakeSnapshot,
    /// Verdicts.
    pub board: Arc<Board>,
    /// Tells of the containers that are known.
    pub census: Box<dyn Fn() -> Census + Send + Sync>,
    /// Subscribers.
    pub watchers: Arc<Watchers>,
    /// Set once the agent has started everything.
    pub ready: Arc<AtomicBool>,
    /// What requests must carry; empty: nothing.
    pub token: String,
    /// When the agent started.
    pub started: Instant,
}

impl Doors {
    /// The routes.
    pub fn router(self) -> Router {
        let doors = Arc::new(self);
        let guarded = Router::new()
            .route("/", get(index))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .route("/version", get(version))
            .route("/v1/events/watch", post(watch))
            .layer(from_fn_with_state(Arc::clone(&doors), authorize));
        Router::new()
            .route("/healthz", get(|| async { StatusCode::NO_CONTENT }))
            .route("/readyz", get(readyz))
            .merge(guarded)
            .fallback(|| async { ApiError::NotFound })
            .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
            .with_state(doors)
    }
}

type Shared = State<Arc<Doors>>;

async fn authorize(
    State(doors): Shared,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let given = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    if doors.token.is_empty() || is_same(given, doors.token.as_bytes()) {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::Unauthorized)
    }
}

/// Takes the same time wherever two texts of one length differ.
fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    let differences = given.iter().zip(wanted).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == wanted.len() && differences == 0
}

async fn index() -> String {
    format!(
        "huatuo-otel {}\n\n\
         GET  /metrics          Prometheus page under HUATUO's names; OpenMetrics by Accept\n\
         POST /v1/events/watch  events as server-sent events (CloudEvents 1.0)\n\
         GET  /status           what works and what does not, and why\n\
         GET  /healthz /readyz  204 when alive, when ready\n\
         GET  /version\n",
        env!("CARGO_PKG_VERSION")
    )
}

async fn metrics(State(doors): Shared, headers: HeaderMap) -> Result<Response, ApiError> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::negotiate(header(ACCEPT));
    let is_packed = takes_gzip(header(ACCEPT_ENCODING));
    let body = doors.take.make(move |snapshot| {
        let pieces = pieces(snapshot, format);
        if is_packed {
            body(Gzip::new(pieces))
        } else {
            body(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))))
        }
    });
    let mut response = ([(CONTENT_TYPE, format.content_type())], body.await?).into_response();
    if is_packed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Pieces of a page that are made at once: a page without containers has no more. Others are made
/// as the client takes them, so that no page is in memory as a whole.
const FIRST_PIECES: usize = 2;

fn body<E: Into<BoxError> + Send + 'static>(
    mut pieces: impl Iterator<Item = Result<Bytes, E>> + Send + 'static,
) -> Body {
    let first: Vec<_> = pieces.by_ref().take(FIRST_PIECES).collect();
    Body::from_stream(stream::iter(first.into_iter().chain(pieces)))
}

/// Whether an `Accept-Encoding` lets a page be compressed.
pub fn takes_gzip(accept: &str) -> bool {
    accept.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        words.next() == Some("gzip") && !words.any(|word| word == "q=0")
    })
}

async fn status(State(doors): Shared) -> Response {
    let verdicts = doors.board.verdicts();
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": doors.started.elapsed().as_secs(),
        "watch_clients": doors.watchers.count(),
        "probes": verdicts.probes,
        "exporters": verdicts.exporters,
        "sources": verdicts.sources,
        "containers": (doors.census)(),
    });
    ([(CONTENT_TYPE, "application/json")], format!("{body:#}\n")).into_response()
}

async fn version() -> Response {
    let body = json!({ "name": "huatuo-otel", "version": env!("CARGO_PKG_VERSION") });
    ([(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn readyz(State(doors): Shared) -> StatusCode {
    if doors.ready.load(Ordering::Relaxed) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn watch(State(doors): Shared, request: Request) -> Result<Response, ApiError> {
    let body = read(request.into_body()).await?;
    doors.watchers.subscribe(&body)
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(MAX_BODY_TIME, to_bytes(body, MAX_BODY)).await;
    read.ok().and_then(Result::ok).ok_or(ApiError::TooLarge)
}
