// SPDX-License-Identifier: Apache-2.0
//! `[RuntimeCgroup]` and `[Storage.ES]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[RuntimeCgroup]`: what the agent itself may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct RuntimeCgroupConfig {
    /// CPU cores while it starts.
    #[schemars(range(min = 0.01, max = 1024))]
    #[serde(rename = "LimitInitCPU")]
    pub limit_init_cpu: f64,
    /// CPU cores afterwards.
    #[schemars(range(min = 0.01, max = 1024))]
    #[serde(rename = "LimitCPU")]
    pub limit_cpu: f64,
    /// Memory in MB.
    #[schemars(range(min = 16, max = 1048576))]
    pub limit_mem: u64,
}

impl Default for RuntimeCgroupConfig {
    fn default() -> Self {
        Self { limit_init_cpu: 0.5, limit_cpu: 2.0, limit_mem: 2048 }
    }
}

/// `[Storage.ES]`: events into Elasticsearch or OpenSearch. Off unless Address, Username and Password are all set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// URL of the server.
    pub address: String,
    /// Index that the events go to.
    pub index: String,
    /// User.
    pub username: String,
    /// Password.
    #[schemars(extend("secret" = true))]
    pub password: String,
}

impl Default for ElasticsearchConfig {
    fn default() -> Self {
        Self {
            address: "http://127.0.0.1:9200".to_owned(),
            index: "huatuo_bamai".to_owned(),
            username: String::new(),
            password: String::new(),
        }
    }
}
