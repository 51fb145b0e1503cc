// SPDX-License-Identifier: Apache-2.0
//! Something that listens where a kubelet would, and answers as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What it says.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A status line and a body.
    Whole(&'static str, Vec<u8>),
    /// The same to who has the token; 401 to others.
    WithToken(String, Vec<u8>),
    /// The body is shorter than it was announced.
    CutOff(Vec<u8>),
    /// A list of pods of so many bytes, all of them JSON.
    Huge(usize),
    /// Nothing, for longer than anybody waits.
    Nothing,
}

/// It listens until it is dropped.
pub struct StandIn {
    pub port: u16,
    pub answer: Arc<Mutex<Answer>>,
    pub asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl StandIn {
    pub async fn start(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        Self::at(0, answer, tls).await
    }

    pub async fn at(port: u16, answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(answer));
        let asked = Arc::new(AtomicUsize::new(0));
        let (told, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (told, count, tls) = (Arc::clone(&told), Arc::clone(&count), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &told, &count).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &told, &count).await,
                            Err(error) => Err(error),
                        },
                    }
                });
            }
        });
        Self { port, answer, asked, task }
    }

    pub fn say(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Mutex<Answer>,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    asked.fetch_add(1, Ordering::Relaxed);
    let request = String::from_utf8_lossy(&request).into_owned();
    assert!(request.starts_with("GET /pods HTTP/1.1\r\n"), "{request}");
    let answer = answer.lock().unwrap().clone();
    let (status, body) = match answer {
        Answer::Whole(status, body) => (status, body),
        Answer::WithToken(token, body) => {
            let wanted = format!("authorization: Bearer {token}\r\n");
            if request.contains(&wanted) { ("200 OK", body) } else { ("401 Unauthorized", body) }
        }
        Answer::CutOff(body) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len() + 100);
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            return stream.shutdown().await;
        }
        Answer::Huge(size) => return huge(stream, size).await,
        Answer::Nothing => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return Ok(());
        }
    };
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

async fn huge(mut stream: impl AsyncWrite + Unpin, size: usize) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"items\":[{}").await?;
    let pod = format!(",{{\"metadata\":{{\"annotations\":{{\"a\":\"{}\"}}}}}}", "x".repeat(1000));
    for _ in 0..size / pod.len() {
        stream.write_all(pod.as_bytes()).await?;
    }
    stream.write_all(b"]}").await?;
    stream.shutdown().await
}

/// Makes certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name` and its key.
    pub fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server with the name `name`, which lets in who has a certificate of `clients`.
    pub fn acceptor(&self, name: &str, clients: Option<&Authority>) -> TlsAcceptor {
        huatuo_otel::crypto::install();
        let (certificate, key) = self.issue(name);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let builder = ServerConfig::builder();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap())
                    .unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }
}
