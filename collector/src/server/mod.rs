// SPDX-License-Identifier: Apache-2.0
//! The HTTP server: the legacy page, the watch endpoint and the agent's status.

mod accept;
mod config;
mod error;
mod filter;
mod gzip;
mod routes;
mod tls;
mod watch;

pub use accept::{BindError, Server};
pub use config::{EventsWatchConfig, ServerConfig};
pub use filter::{FILTER_FIELDS, Filters};
pub use routes::{Doors, takes_gzip};
pub use watch::Watchers;
