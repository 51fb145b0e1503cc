// SPDX-License-Identifier: Apache-2.0
//! What came of a request (OTLP specification, "Failures" and "Partial Success").

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::target::Signal;
use crate::cause::{one_line, whole_cause};

/// The receiver took the request, all of it or a part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Items that it refused; they must not be sent again.
    pub rejected: u64,
    /// What it said.
    pub message: String,
}

/// The receiver did not take the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Sending it again may help.
    pub retry: bool,
    /// The receiver said when.
    pub after: Option<Duration>,
    /// One of few words, for `error.type`.
    pub kind: &'static str,
    /// One line for people.
    pub message: String,
}

impl Accepted {
    /// From the body of an answer. One that cannot be read says nothing.
    pub fn parse(signal: Signal, body: &[u8]) -> Self {
        let (rejected, message) = match signal {
            Signal::Logs => ExportLogsServiceResponse::decode(body)
                .ok()
                .and_then(|answer| answer.partial_success)
                .map(|partial| (partial.rejected_log_records, partial.error_message)),
            Signal::Metrics | Signal::Traces => ExportMetricsServiceResponse::decode(body)
                .ok()
                .and_then(|answer| answer.partial_success)
                .map(|partial| (partial.rejected_data_points, partial.error_message)),
        }
        .unwrap_or_default();
        Self { rejected: u64::try_from(rejected).unwrap_or(0), message }
    }
}

/// The status in headers or trailers, if there is one. Details that are no base64 are left out: tonic
/// would panic.
pub fn grpc_status(headers: &HeaderMap) -> Option<Status> {
    let name = Status::GRPC_STATUS_DETAILS;
    let mut metadata = MetadataMap::from_headers(headers.clone());
    if metadata.get_bin(name.as_str()).is_some_and(|details| details.to_bytes().is_err()) {
        metadata.remove_bin(name.as_str());
    }
    Status::from_header_map(metadata.as_ref())
}

impl Failure {
    /// No answer in time.
    pub fn timeout() -> Self {
        Self { retry: true, after: None, kind: "timeout", message: "no answer in time".to_owned() }
    }

    /// No connection, or it broke.
    pub fn connection(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { retry: true, after: None, kind: "connection", message: whole_cause(error) }
    }

    /// An answer over gRPC.
    pub fn grpc(status: &Status) -> Self {
        let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let retry = match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            Code::ResourceExhausted => after.is_some(),
            _ => false,
        };
        let kind = code_name(status.code());
        let message = format!("{kind}: {}", one_line(status.message()));
        Self { retry, after, kind, message }
    }

    /// An answer over HTTP.
    pub fn http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry = matches!(status.as_u16(), 429 | 502..=504);
        let after = if retry { retry_after(headers) } else { None };
        let body = one_line(&String::from_utf8_lossy(body));
        let message = format!("HTTP {status} {body}").trim_end().to_owned();
        Self { retry, after, kind: status_name(status), message }
    }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The words of the gRPC specification.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn status_name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        413 => "413",
        415 => "415",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn details_of_a_status_that_are_no_base64_are_left_out() {
        let of = |details: &'static str| {
            let header = |name, value| (name, http::HeaderValue::from_static(value));
            let headers =
                [header(Status::GRPC_STATUS, "8"), header(Status::GRPC_STATUS_DETAILS, details)];
            grpc_status(&HeaderMap::from_iter(headers)).unwrap()
        };
        assert_eq!((of("AQI").code(), of("AQI").details()), (Code::ResourceExhausted, &[1, 2][..]));
        assert_eq!(
            (of("gzip;q").code(), of("gzip;q").details()),
            (Code::ResourceExhausted, &[][..])
        );
        assert!(grpc_status(&HeaderMap::new()).is_none());
    }

    #[test]
    fn grpc_codes_are_retried_as_the_specification_says() {
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            assert!(Failure::grpc(&Status::new(code, "")).retry, "{code:?}");
        }
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::Unimplemented] {
            assert!(!Failure::grpc(&Status::new(code, "")).retry, "{code:?}");
        }
    }

    #[test]
    fn an_exhausted_receiver_is_asked_again_only_when_it_says_when() {
        let plain = Status::new(Code::ResourceExhausted, "full");
        assert!(!Failure::grpc(&plain).retry);
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        let throttled = Status::with_error_details(Code::ResourceExhausted, "full", details);
        let failure = Failure::grpc(&throttled);
        assert_eq!((failure.retry, failure.after), (true, Some(Duration::from_secs(7))));
    }

    #[test]
    fn http_statuses_are_retried_as_the_specification_says() {
        let failure = |code: u16, headers: &HeaderMap| {
            Failure::http(StatusCode::from_u16(code).unwrap(), headers, b"try\nlater")
        };
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "12".parse().unwrap());
        for code in [429, 502, 503, 504] {
            assert_eq!(failure(code, &headers).after, Some(Duration::from_secs(12)), "{code}");
        }
        for code in [400, 401, 404, 413, 500] {
            let failure = failure(code, &headers);
            assert_eq!((failure.retry, failure.after), (false, None), "{code}");
        }
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        headers.insert(RETRY_AFTER, date.parse().unwrap());
        let after = failure(503, &headers).after.unwrap();
        assert!((58..=60).contains(&after.as_secs()), "{after:?}");
        assert_eq!(failure(503, &headers).message, "HTTP 503 Service Unavailable try later");
    }

    #[test]
    fn a_partial_success_tells_how_many_were_refused() {
        let partial =
            ExportLogsPartialSuccess { rejected_log_records: 3, error_message: "old".to_owned() };
        let answer = ExportLogsServiceResponse { partial_success: Some(partial) };
        let accepted = Accepted::parse(Signal::Logs, &answer.encode_to_vec());
        assert_eq!((accepted.rejected, accepted.message.as_str()), (3, "old"));
        assert_eq!(Accepted::parse(Signal::Metrics, b""), Accepted::default());
        assert_eq!(Accepted::parse(Signal::Metrics, b"\xff\xff nonsense"), Accepted::default());
    }
}
