// SPDX-License-Identifier: Apache-2.0
//! Asks the kubelet over HTTP, at its port without authentication or at the one with.

use std::fmt::Write;
use std::fs;
use std::io::{self, BufReader, Read};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::TryStreamExt;
use http::{StatusCode, Uri};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::PodConfig;
use super::document::{self, Pods};
use crate::cause::{io_cause, one_line, whole_cause};
use crate::crypto;

/// For a whole answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer; 500 pods take some 5 MiB.
const MAX_ANSWER: u64 = 32 << 20;
/// Where Kubernetes mounts the credentials of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The authority of a cluster made with kubeadm.
const KUBEADM_CA: &str = "/etc/kubernetes/pki/ca.crt";

/// The kubelet of this host.
pub struct Kubelet {
    config: PodConfig,
    host_name: String,
    endpoints: Vec<Endpoint>,
}

/// One way to ask it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    url: String,
    /// Credentials are sent, and the certificate is verified.
    is_secure: bool,
}

impl Kubelet {
    /// The kubelet that `config` names; `None` where it names none.
    pub fn new(config: &PodConfig, host_name: &str) -> Option<Self> {
        let endpoints = endpoints(config);
        let host_name = host_name.to_owned();
        (!endpoints.is_empty()).then(|| Self { config: config.clone(), host_name, endpoints })
    }

    /// Where it is asked.
    pub fn target(&self) -> String {
        let urls: Vec<&str> = self.endpoints.iter().map(|endpoint| endpoint.url.as_str()).collect();
        urls.join(" ")
    }

    /// All pods of this host. What answered is asked first next time. The error tells of every way.
    pub async fn pods(&mut self) -> Result<Pods, String> {
        let mut errors = String::new();
        for index in 0..self.endpoints.len() {
            let endpoint = &self.endpoints[index];
            match self.ask(endpoint).await {
                Ok(pods) => {
                    self.endpoints.swap(0, index);
                    return Ok(pods);
                }
                Err(error) => {
                    let gap = if errors.is_empty() { "" } else { "; " };
                    let _ = write!(errors, "{gap}{}: {error}", endpoint.url);
                }
            }
        }
        Err(errors)
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<Pods, String> {
        crypto::install();
        // Made anew each time: certificates are replaced while we run.
        let mut builder = Client::builder()
            .user_agent(concat!("huatuo-otel/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT);
        let mut url = endpoint.url.clone();
        let mut token = None;
        if endpoint.is_secure {
            (builder, url) = self.secure(builder, &url)?;
            token = self.token()?;
        }
        let client = builder.build().map_err(|error| whole_cause(&error))?;
        let mut request = client.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let failed = |error: reqwest::Error| explain(&error.without_url());
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => read(response).await,
            status => Err(refused(status)),
        }
    }

    /// Whom we trust, who we are, and the URL with the name that the certificate is for.
    fn secure(
        &self,
        mut builder: ClientBuilder,
        url: &str,
    ) -> Result<(ClientBuilder, String), String> {
        let uri: Uri = url.parse().map_err(|error| format!("is no URL: {error}"))?;
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
        let bare = host.trim_matches(['[', ']']);
        let name = match self.config.kubelet_server_name.as_str() {
            "" if bare.parse::<IpAddr>().is_ok() => self.host_name.as_str(),
            "" => host,
            name => name,
        };
        let addresses: Vec<SocketAddr> = (bare, port)
            .to_socket_addrs()
            .map_err(|error| format!("Pod.KubeletAddress {host}: {error}"))?
            .collect();
        builder = builder.resolve_to_addrs(name, &addresses);
        if self.config.kubelet_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        } else if let Some((path, pem)) = self.authorities()? {
            let parsed = Certificate::from_pem_bundle(&pem);
            let authorities = parsed.map_err(|error| unusable("KubeletCaPath", &path, &error))?;
            builder = builder.tls_certs_only(authorities);
        }
        if let Some((path, pem)) = self.identity()? {
            let parsed = Identity::from_pem(&pem);
            let identity =
                parsed.map_err(|error| unusable("KubeletClientCertPath", &path, &error))?;
            builder = builder.identity(identity);
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok((builder, format!("https://{name}:{port}{path}")))
    }

    fn authorities(&self) -> Result<Option<(PathBuf, Vec<u8>)>, String> {
        let set = &self.config.kubelet_ca_path;
        if !set.as_os_str().is_empty() {
            return Ok(Some((set.clone(), open("KubeletCaPath", set)?)));
        }
        let usual = [Path::new(SERVICE_ACCOUNT).join("ca.crt"), PathBuf::from(KUBEADM_CA)];
        Ok(usual.into_iter().find_map(|path| Some((path.clone(), fs::read(path).ok()?))))
    }

    /// The files of our certificate and its key.
    fn identity_files(&self) -> impl Iterator<Item = &Path> {
        let (set, old) =
            (&self.config.kubelet_client_cert_path, &self.config.kubelet_pod_client_cert_path);
        let paths = if set.is_empty() { old } else { set };
        paths.split(',').map(str::trim).filter(|path| !path.is_empty()).map(Path::new)
    }

    fn identity(&self) -> Result<Option<(PathBuf, Vec<u8>)>, String> {
        let Some(first) = self.identity_files().next() else { return Ok(None) };
        let mut pem = Vec::new();
        for path in self.identity_files() {
            pem.extend(open("KubeletClientCertPath", path)?);
            pem.push(b'\n');
        }
        Ok(Some((first.to_owned(), pem)))
    }

    fn token(&self) -> Result<Option<String>, String> {
        let set = &self.config.kubelet_token_path;
        let bytes = if !set.as_os_str().is_empty() {
            open("KubeletTokenPath", set)?
        } else if self.identity_files().next().is_none() {
            fs::read(Path::new(SERVICE_ACCOUNT).join("token")).unwrap_or_default()
        } else {
            Vec::new()
        };
        let token = String::from_utf8_lossy(&bytes).trim().to_owned();
        Ok((!token.is_empty()).then_some(token))
    }
}

fn endpoints(config: &PodConfig) -> Vec<Endpoint> {
    let host = match config.kubelet_address.as_str() {
        address if address.contains(':') => format!("[{address}]"),
        address => address.to_owned(),
    };
    let of = |scheme: &str, port: u16, url: &str, is_secure| {
        let url = match (url, port) {
            ("", 0) => return None,
            ("", port) => format!("{scheme}://{host}:{port}/pods"),
            (url, _) => url.to_owned(),
        };
        Some(Endpoint { url, is_secure })
    };
    let open = of("http", config.kubelet_read_only_port, &config.kubelet_pod_list_url, false);
    let secure =
        of("https", config.kubelet_authorized_port, &config.kubelet_pod_list_https_url, true);
    open.into_iter().chain(secure).collect()
}

/// Parses while it comes, on a thread that may wait.
async fn read(response: Response) -> Result<Pods, String> {
    let body = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
    let reader = SyncIoBridge::new(body);
    let parse = move || {
        let mut bounded = reader.take(MAX_ANSWER);
        let parsed = document::read(BufReader::with_capacity(64 << 10, &mut bounded));
        match parsed {
            Err(_) if bounded.limit() == 0 => Err(format!("answers with over {MAX_ANSWER} bytes")),
            parsed => parsed.map_err(|error| format!("does not answer with pods: {error}")),
        }
    };
    tokio::task::spawn_blocking(parse).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn open(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("Pod.{key} {}: {error}", path.display()))
}

fn unusable(key: &str, path: &Path, error: &reqwest::Error) -> String {
    format!("Pod.{key} {}: {}", path.display(), whole_cause(error))
}

fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let cause = io_cause(error).map_or_else(|| whole_cause(error), |io| one_line(&io.to_string()));
    let hint = if cause.contains("not valid for name") {
        "; set Pod.KubeletServerName to a name of its certificate"
    } else if cause.contains("certificate") {
        "; set Pod.KubeletCaPath to the authority of the kubelet's certificate"
    } else {
        ""
    };
    format!("{cause}{hint}")
}

fn refused(status: StatusCode) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED => "; set Pod.KubeletClientCertPath or Pod.KubeletTokenPath",
        StatusCode::FORBIDDEN => "; allow `get` on `nodes/proxy` (or `nodes/pods`) to its user",
        _ => "",
    };
    format!("HTTP {status}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(config: &PodConfig) -> Vec<String> {
        endpoints(config).into_iter().map(|endpoint| endpoint.url).collect()
    }

    #[test]
    fn ports_and_the_old_urls_tell_where_to_ask() {
        let mut config = PodConfig::default();
        let usual = ["http://127.0.0.1:10255/pods", "https://127.0.0.1:10250/pods"];
        assert_eq!(urls(&config), usual);
        config.kubelet_address = "::1".to_owned();
        assert_eq!(urls(&config)[1], "https://[::1]:10250/pods");
        config.kubelet_read_only_port = 0;
        assert_eq!(urls(&config).len(), 1);
        config.kubelet_pod_list_https_url = "https://node:1/pods".to_owned();
        assert_eq!(urls(&config), ["https://node:1/pods"]);
        config.kubelet_pod_list_https_url.clear();
        config.kubelet_authorized_port = 0;
        assert!(Kubelet::new(&config, "node").is_none());
    }

    #[test]
    fn credentials_go_to_the_secure_port_only() {
        let secure: Vec<bool> =
            endpoints(&PodConfig::default()).iter().map(|endpoint| endpoint.is_secure).collect();
        assert_eq!(secure, [false, true]);
    }
}
