// SPDX-License-Identifier: Apache-2.0
//! `[Server]` and `[EventsWatch]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[Server]`: the HTTP server of `/metrics`, `/v1/events/watch` and `/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen on. Loopback unless you say otherwise.
    #[schemars(with = "String", extend("format" = "socket-address"))]
    pub listen: SocketAddr,
    /// When set, requests must carry `Authorization: Bearer <Token>`.
    #[schemars(extend("secret" = true))]
    pub token: String,
    /// PEM file of the server's certificate. With `Key`: HTTPS only.
    pub certificate: PathBuf,
    /// PEM file of the key of `Certificate`.
    pub key: PathBuf,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 19704)),
            token: String::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
        }
    }
}

/// `[EventsWatch]`: subscribers of `POST /v1/events/watch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct EventsWatchConfig {
    /// Subscribers at the same time; more get HTTP 429.
    #[schemars(range(min = 1, max = 10000))]
    pub max_clients: usize,
    /// Seconds between two pings that keep an idle stream open.
    #[schemars(range(min = 1, max = 3600))]
    pub keep_alive_interval: u64,
}

impl Default for EventsWatchConfig {
    fn default() -> Self {
        Self { max_clients: 100, keep_alive_interval: 30 }
    }
}
