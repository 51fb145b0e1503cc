// SPDX-License-Identifier: Apache-2.0
//! Where one signal goes, worked out of `[Otlp]` and what differs for the signal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use thiserror::Error;

use super::config::{Compression, OtlpConfig, Protocol, SignalTarget, seconds};

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
    /// Spans; only the agent's own.
    Traces,
}

impl Signal {
    /// Path of the signal below an endpoint over HTTP (OTLP specification, "OTLP/HTTP Request").
    pub fn http_path(self) -> &'static str {
        match self {
            Signal::Metrics => "/v1/metrics",
            Signal::Logs => "/v1/logs",
            Signal::Traces => "/v1/traces",
        }
    }

    /// The call of the signal over gRPC (opentelemetry-proto, `collector/*/v1`).
    pub(super) fn grpc_path(self) -> &'static str {
        match self {
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        }
    }

    /// Its section in the configuration.
    fn section(self) -> &'static str {
        match self {
            Signal::Metrics => "Otlp.Metrics",
            Signal::Logs => "Otlp.Logs",
            Signal::Traces => "Otlp.Traces",
        }
    }
}

/// Where and how one signal is sent.
#[derive(Debug, Clone)]
pub struct Target {
    /// The signal.
    pub signal: Signal,
    /// How it travels.
    pub protocol: Protocol,
    /// Over HTTP the full URL, over gRPC the server's.
    pub url: Uri,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// How bodies are compressed.
    pub compression: Compression,
    /// How long one request may take.
    pub timeout: Duration,
    /// What TLS needs beyond the system's authorities.
    pub tls: TlsFiles,
}

impl Target {
    /// Where it goes, for people: without a password that the URL may hold.
    pub fn shown(&self) -> String {
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let scheme = self.url.scheme_str().unwrap_or_default();
        format!("{scheme}://{host}{port}{}", self.url.path())
    }
}

/// PEM texts for TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Authorities; those of the system where it is left out.
    pub authorities: Option<Vec<u8>>,
    /// Our own certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why a signal has no usable target.
#[derive(Debug, Error)]
pub enum TargetError {
    /// The endpoint is no URL.
    #[error("{key}: `{value}` is not a URL; write e.g. http://127.0.0.1:4317")]
    Url {
        /// Key of the configuration.
        key: String,
        /// What it holds.
        value: String,
    },
    /// A header cannot be sent.
    #[error(
        "{section}.Headers: `{name}` cannot be sent; names are of letters, digits and `-`, \
             values of visible characters"
    )]
    Header {
        /// Section of the configuration.
        section: &'static str,
        /// Name of the header.
        name: String,
    },
    /// A PEM file cannot be read.
    #[error("{key}: cannot read {path}: {source}; name a PEM file that the agent may read")]
    File {
        /// Key of the configuration.
        key: String,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Only half of our identity is there.
    #[error("{section}: ClientCertificate and ClientKey must both be set, or none of them")]
    HalfIdentity {
        /// Section of the configuration.
        section: &'static str,
    },
    /// The PEM files do not make a TLS configuration.
    #[error("TLS for {url}: {what}; check Certificate, ClientCertificate and ClientKey")]
    Tls {
        /// The endpoint.
        url: String,
        /// What is wrong.
        what: String,
    },
}

/// Works out where `signal` goes. `None` where no endpoint is configured for it.
pub fn resolve(config: &OtlpConfig, signal: Signal) -> Result<Option<Target>, TargetError> {
    let own = match signal {
        Signal::Metrics => &config.metrics,
        Signal::Logs => &config.logs,
        Signal::Traces => &config.traces,
    };
    let protocol = own.protocol.unwrap_or(config.protocol);
    let Some(url) = url(config, own, signal, protocol)? else { return Ok(None) };
    Ok(Some(Target {
        signal,
        protocol,
        url,
        headers: headers(config, own, signal)?,
        compression: own.compression.unwrap_or(config.compression),
        timeout: own.timeout.map_or(config.timeout(), seconds),
        tls: tls(config, own, signal)?,
    }))
}

fn url(
    config: &OtlpConfig,
    own: &SignalTarget,
    signal: Signal,
    protocol: Protocol,
) -> Result<Option<Uri>, TargetError> {
    let given = own.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    let (key, text) = match given {
        Some(own) => (format!("{}.Endpoint", signal.section()), own),
        None if config.endpoint.is_empty() => return Ok(None),
        None => ("Otlp.Endpoint".to_owned(), config.endpoint.as_str()),
    };
    let wrong = || TargetError::Url { key: key.clone(), value: text.to_owned() };
    // The general endpoint is a base; a signal's own is used as it is.
    let full = match (protocol, given) {
        (Protocol::HttpProtobuf, None) => {
            format!("{}{}", text.trim_end_matches('/'), signal.http_path())
        }
        _ => text.to_owned(),
    };
    let url: Uri = full.parse().map_err(|_| wrong())?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    if known && url.host().is_some_and(|host| !host.is_empty()) {
        Ok(Some(url))
    } else {
        Err(wrong())
    }
}

fn headers(
    config: &OtlpConfig,
    own: &SignalTarget,
    signal: Signal,
) -> Result<HeaderMap, TargetError> {
    let (section, pairs) = match &own.headers {
        Some(headers) => (signal.section(), headers),
        None => ("Otlp", &config.headers),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let wrong = || TargetError::Header { section, name: name.clone() };
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.to_lowercase().as_bytes()).map_err(|_| wrong())?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn tls(config: &OtlpConfig, own: &SignalTarget, signal: Signal) -> Result<TlsFiles, TargetError> {
    let file = |name: &str, own: &Option<PathBuf>, general: &Path| {
        let (section, path) = match own {
            Some(path) => (signal.section(), path.as_path()),
            None => ("Otlp", general),
        };
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let wrap = |source| TargetError::File {
            key: format!("{section}.{name}"),
            path: path.to_owned(),
            source,
        };
        fs::read(path).map(Some).map_err(wrap)
    };
    let certificate =
        file("ClientCertificate", &own.client_certificate, &config.client_certificate)?;
    let key = file("ClientKey", &own.client_key, &config.client_key)?;
    Ok(TlsFiles {
        authorities: file("Certificate", &own.certificate, &config.certificate)?,
        identity: match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(TargetError::HalfIdentity { section: signal.section() }),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str, protocol: Protocol) -> OtlpConfig {
        OtlpConfig { endpoint: endpoint.to_owned(), protocol, ..OtlpConfig::default() }
    }

    fn url_of(config: &OtlpConfig, signal: Signal) -> String {
        resolve(config, signal).unwrap().unwrap().url.to_string()
    }

    #[test]
    fn without_an_endpoint_nothing_is_sent() {
        assert!(resolve(&OtlpConfig::default(), Signal::Logs).unwrap().is_none());
    }

    #[test]
    fn the_path_of_the_signal_is_added_to_the_general_endpoint_over_http_only() {
        let http = config("http://collector:4318/base/", Protocol::HttpProtobuf);
        assert_eq!(url_of(&http, Signal::Metrics), "http://collector:4318/base/v1/metrics");
        let grpc = config("http://collector:4317", Protocol::Grpc);
        assert_eq!(url_of(&grpc, Signal::Logs), "http://collector:4317/");
    }

    #[test]
    fn what_a_signal_says_for_itself_wins() {
        let mut config = config("http://collector:4317", Protocol::Grpc);
        config.headers = [("a".to_owned(), "1".to_owned())].into();
        config.logs = SignalTarget {
            endpoint: Some("https://logs:443/ingest".to_owned()),
            protocol: Some(Protocol::HttpProtobuf),
            headers: Some([("B".to_owned(), "2".to_owned())].into()),
            timeout: Some(3.0),
            ..SignalTarget::default()
        };
        let logs = resolve(&config, Signal::Logs).unwrap().unwrap();
        assert_eq!(logs.url.to_string(), "https://logs:443/ingest");
        assert_eq!(logs.timeout, Duration::from_secs(3));
        assert_eq!((logs.headers.get("a"), logs.headers["b"].as_bytes()), (None, &b"2"[..]));
        assert_eq!(resolve(&config, Signal::Metrics).unwrap().unwrap().protocol, Protocol::Grpc);
    }

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        let config = config("http://agent:secret@collector:4318/x?key=secret", Protocol::Grpc);
        let target = resolve(&config, Signal::Logs).unwrap().unwrap();
        assert_eq!(target.shown(), "http://collector:4318/x");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        for endpoint in ["collector:4317", "ftp://collector", "http://", "not a url"] {
            let error = resolve(&config(endpoint, Protocol::Grpc), Signal::Logs).unwrap_err();
            assert!(error.to_string().starts_with("Otlp.Endpoint: "), "{error}");
        }
        let mut bad_header = config("http://collector", Protocol::Grpc);
        bad_header.headers = [("a b".to_owned(), "1".to_owned())].into();
        let error = resolve(&bad_header, Signal::Logs).unwrap_err();
        assert!(error.to_string().contains("`a b`"));
        let mut no_file = config("https://collector", Protocol::Grpc);
        no_file.certificate = PathBuf::from("/nowhere/ca.pem");
        let error = resolve(&no_file, Signal::Logs).unwrap_err();
        assert!(error.to_string().starts_with("Otlp.Certificate: cannot read /nowhere/ca.pem"));
        let mut half = config("https://collector", Protocol::Grpc);
        half.client_key = PathBuf::from("/etc/hostname");
        assert!(matches!(resolve(&half, Signal::Logs), Err(TargetError::HalfIdentity { .. })));
    }
}
