// SPDX-License-Identifier: Apache-2.0
//! Errors as HUATUO's API has them: `{"error":{"code":…,"message":…}}`.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::collect::CollectionFailed;

/// Why a request is not answered.
#[derive(Debug)]
pub(super) enum ApiError {
    /// Its body or its filters.
    Invalid(String),
    /// Its token.
    Unauthorized,
    /// Its path.
    NotFound,
    /// Its method.
    MethodNotAllowed,
    /// Its size.
    TooLarge,
    /// There are too many like it.
    TooMany(String),
    /// Nothing: the fault is ours.
    Failed(String),
}

impl From<CollectionFailed> for ApiError {
    fn from(error: CollectionFailed) -> Self {
        ApiError::Failed(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            ApiError::Invalid(message) => (StatusCode::BAD_REQUEST, "invalid_request", message),
            ApiError::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "send `Authorization: Bearer` with the Token of [Server]".to_owned(),
            ),
            ApiError::NotFound => {
                (StatusCode::NOT_FOUND, "not_found", "GET / lists what is here".to_owned())
            }
            ApiError::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "GET / lists what is here".to_owned(),
            ),
            ApiError::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "the body is too large, or came too slowly".to_owned(),
            ),
            ApiError::TooMany(message) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited", message),
            ApiError::Failed(message) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", message),
        };
        let body = json!({ "error": { "code": code, "message": message } }).to_string();
        (status, [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}
