// SPDX-License-Identifier: Apache-2.0
//! The real OpenTelemetry Collector, which writes what it receives into files.

use std::fs::{self, File};
use std::mem::take;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::received::Received;
use crate::{HEARTBEAT, free_port, root, unix_now, wait_for};

/// An authority and a certificate that it signed for this host.
pub struct Tls {
    /// PEM of the authority.
    pub authority: String,
    certificate: String,
    key: String,
    /// PEM of a certificate for a client, and its key.
    pub client: (String, String),
    /// The Collector asks its clients for a certificate.
    pub mutual: bool,
}

impl Tls {
    /// A new authority.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let client_key = KeyPair::generate()?;
        let client = vec!["agent".to_owned()];
        let client = CertificateParams::new(client)?.signed_by(&client_key, &authority)?;
        Ok(Self {
            client: (client.pem(), client_key.serialize_pem()),
            mutual: false,
            authority: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A running Collector; killed when dropped.
pub struct Collector {
    child: Child,
    folder: TempDir,
    received: Mutex<Received>,
    /// Its port for gRPC.
    pub grpc: u16,
    /// Its port for HTTP.
    pub http: u16,
}

impl Collector {
    /// Its binary, built by `integration/collector/build.sh`.
    pub fn binary() -> Result<PathBuf> {
        let built = Command::new(root().join("integration/collector/build.sh")).output()?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Ok(String::from_utf8(built.stdout)?.trim().into())
    }

    /// Starts one on free ports.
    pub fn start(tls: Option<&Tls>) -> Result<Self> {
        Self::start_on(free_port()?, free_port()?, tls)
    }

    /// Starts one on these ports.
    pub fn start_on(grpc: u16, http: u16, tls: Option<&Tls>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        let mut secure = String::new();
        if let Some(tls) = tls {
            fs::write(path.join("cert.pem"), &tls.certificate)?;
            fs::write(path.join("key.pem"), &tls.key)?;
            let files = path.display();
            let mut mutual = String::new();
            if tls.mutual {
                fs::write(path.join("ca.pem"), &tls.authority)?;
                mutual = format!(", client_ca_file: {files}/ca.pem");
            }
            secure = format!(
                ", tls: {{ cert_file: {files}/cert.pem, key_file: {files}/key.pem{mutual} }}"
            );
        }
        let config = format!(
            "receivers:\n  otlp:\n    protocols:\n      \
             grpc: {{ endpoint: '127.0.0.1:{grpc}'{secure} }}\n      \
             http: {{ endpoint: '127.0.0.1:{http}'{secure} }}\n\
             exporters:\n{}service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  pipelines:\n{}",
            SIGNALS.map(|signal| file_exporter(signal, path)).concat(),
            SIGNALS.map(pipeline).concat()
        );
        fs::write(path.join("config.yaml"), config)?;
        let log = File::create(path.join("log"))?;
        let child = Command::new(Self::binary()?)
            .arg("--config")
            .arg(path.join("config.yaml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let received = Mutex::default();
        let collector = Self { child, folder, received, grpc, http };
        wait_for(Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", grpc))?;
            Ok(TcpStream::connect(("127.0.0.1", http))?)
        })
        .with_context(|| format!("the Collector does not listen: {}", collector.log()))?;
        Ok(collector)
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What it received so far.
    pub fn received(&self) -> Result<Received> {
        let received = self.caught_up()?;
        self.keep(received.clone());
        Ok(received)
    }

    /// What it received, once `wanted` has an answer from it.
    pub fn until<T>(&self, wanted: impl Fn(&Received) -> Result<T>) -> Result<T> {
        wait_for(Duration::from_secs(20), || {
            let received = self.caught_up()?;
            // It may ask for everything itself.
            let answer = wanted(&received);
            self.keep(received);
            answer
        })
        .with_context(|| format!("the Collector says: {}", self.log()))
    }

    /// What it received, with all that has happened by now: two pushes have come since.
    pub fn settled(&self) -> Result<Received> {
        for _ in 0..2 {
            let now = unix_now();
            self.until(|got| {
                ensure!(got.last(HEARTBEAT.name)?.time > now, "not yet");
                Ok(())
            })?;
        }
        self.received()
    }

    /// What was kept, with what is new; nothing is kept until it is given back.
    fn caught_up(&self) -> Result<Received> {
        let mut received = take(&mut *self.received.lock().unwrap_or_else(PoisonError::into_inner));
        received.catch_up(self.folder.path())?;
        Ok(received)
    }

    fn keep(&self, received: Received) {
        *self.received.lock().unwrap_or_else(PoisonError::into_inner) = received;
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SIGNALS: [&str; 3] = ["metrics", "logs", "traces"];

fn file_exporter(signal: &str, folder: &std::path::Path) -> String {
    let path = folder.join(format!("{signal}.json"));
    format!("  file/{signal}: {{ path: '{}', flush_interval: 50ms }}\n", path.display())
}

fn pipeline(signal: &str) -> String {
    format!("    {signal}: {{ receivers: [otlp], exporters: [file/{signal}] }}\n")
}
