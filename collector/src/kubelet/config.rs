// SPDX-License-Identifier: Apache-2.0
//! `[Pod]`

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[Pod]`: where names of pods come from. The kubelet is asked only while there are containers of
/// pods that it has not told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct PodConfig {
    /// Port of the kubelet without authentication; 0 leaves it out.
    #[schemars(range(min = 0, max = 65535))]
    pub kubelet_read_only_port: u16,
    /// HTTPS port of the kubelet; 0 leaves it out.
    #[schemars(range(min = 0, max = 65535))]
    pub kubelet_authorized_port: u16,
    /// Client certificate and key for the HTTPS port: one PEM file, or two with a comma between.
    /// Read anew each time.
    pub kubelet_client_cert_path: String,
    /// Token for the HTTPS port, read anew each time; empty means the ServiceAccount's, where there
    /// is one and no client certificate is set.
    pub kubelet_token_path: PathBuf,
    /// Authorities that may have signed the kubelet's certificate, in PEM; empty means those of the
    /// ServiceAccount, else of kubeadm, else of the system.
    pub kubelet_ca_path: PathBuf,
    /// Where the kubelet listens: an address or a name.
    pub kubelet_address: String,
    /// Name that the kubelet's certificate is for; empty means this host's name.
    pub kubelet_server_name: String,
    /// Do not verify the kubelet's certificate. Whoever answers at the port then gets the token.
    pub kubelet_skip_verify: bool,
    /// Old name; `KubeletReadOnlyPort` took its place. A URL here replaces it.
    #[serde(rename = "KubeletPodListURL")]
    pub kubelet_pod_list_url: String,
    /// Old name; `KubeletAuthorizedPort` took its place. A URL here replaces it.
    #[serde(rename = "KubeletPodListHTTPSURL")]
    pub kubelet_pod_list_https_url: String,
    /// Old name; `KubeletClientCertPath` took its place.
    pub kubelet_pod_client_cert_path: String,
}

impl Default for PodConfig {
    fn default() -> Self {
        Self {
            kubelet_read_only_port: 10255,
            kubelet_authorized_port: 10250,
            kubelet_client_cert_path: String::new(),
            kubelet_token_path: PathBuf::new(),
            kubelet_ca_path: PathBuf::new(),
            kubelet_address: "127.0.0.1".to_owned(),
            kubelet_server_name: String::new(),
            kubelet_skip_verify: false,
            kubelet_pod_list_url: String::new(),
            kubelet_pod_list_https_url: String::new(),
            kubelet_pod_client_cert_path: String::new(),
        }
    }
}
