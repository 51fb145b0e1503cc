// SPDX-License-Identifier: Apache-2.0
//! What comes by HTTP and gRPC: the filters and the wishes of clients, the answers of receivers.
#![no_main]

use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use huatuo_otel::export::otlp::{Accepted, Failure, Signal, grpc_status};
use huatuo_otel::export::prometheus::Format;
use huatuo_otel::server::{Filters, takes_gzip};
use libfuzzer_sys::fuzz_target;
use tonic::{Code, Status};

fuzz_target!(|bytes: &[u8]| {
    let _ = Filters::parse(bytes);
    let text = String::from_utf8_lossy(bytes);
    Format::negotiate(&text);
    takes_gzip(&text);

    for signal in [Signal::Metrics, Signal::Logs] {
        Accepted::parse(signal, bytes);
    }
    let details = bytes.to_vec().into();
    Failure::grpc(&Status::with_details(Code::ResourceExhausted, text, details));
    Failure::http(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), bytes);
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        with_header(value);
    }
});

/// An answer whose headers hold what they must not.
fn with_header(value: HeaderValue) {
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value.clone())]);
    Failure::http(StatusCode::SERVICE_UNAVAILABLE, &headers, &[]);
    let code = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("8"));
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        let own = (HeaderName::from_static(name), value.clone());
        if let Some(status) = grpc_status(&HeaderMap::from_iter([code.clone(), own])) {
            Failure::grpc(&status);
        }
    }
}
