// SPDX-License-Identifier: Apache-2.0
//! The HTTP server: the legacy page, the watch endpoint and the agent's status.

mod config;

pub use config::{EventsWatchConfig, ServerConfig};
