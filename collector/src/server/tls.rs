// SPDX-License-Identifier: Apache-2.0
//! HTTPS of our own server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig as TlsConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::ServerConfig;
use crate::crypto;

/// The certificate or the key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// Only one of both is set.
    #[error("Server: Certificate and Key must both be set, or none of them")]
    Half,
    /// A file cannot be used.
    #[error("Server.{key} {path}: {what}; name a PEM file that the agent may read")]
    File {
        /// Key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// `None` where the configuration asks for plain HTTP.
pub(super) fn acceptor(config: &ServerConfig) -> Result<Option<TlsAcceptor>, TlsError> {
    let (certificate, key) = (&config.certificate, &config.key);
    match (certificate.as_os_str().is_empty(), key.as_os_str().is_empty()) {
        (true, true) => return Ok(None),
        (false, false) => {}
        _ => return Err(TlsError::Half),
    }
    let wrong = |key: &'static str, path: &Path, what: String| TlsError::File {
        key,
        path: path.to_owned(),
        what,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong("Certificate", certificate, error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("Key", key, error.to_string()))?;
    crypto::install();
    let tls = TlsConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| wrong("Certificate", certificate, error.to_string()))?;
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        io::Error::other(error)
    }
}
