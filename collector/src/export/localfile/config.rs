// SPDX-License-Identifier: Apache-2.0
//! `[Storage.LocalFile]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[Storage.LocalFile]`: one file of events per tracer on this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct LocalFileConfig {
    /// Folder of the files. Empty: no files.
    pub path: PathBuf,
    /// MiB at which a file is rotated.
    #[schemars(range(min = 1, max = 1048576))]
    pub rotation_size: u64,
    /// Rotated files kept per tracer.
    #[schemars(range(min = 1, max = 10000))]
    pub max_rotation: usize,
}

impl Default for LocalFileConfig {
    fn default() -> Self {
        Self { path: PathBuf::from("huatuo-local"), rotation_size: 100, max_rotation: 10 }
    }
}
