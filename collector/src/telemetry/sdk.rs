// SPDX-License-Identifier: Apache-2.0
//! The OpenTelemetry SDK's providers for the agent's own metrics, log records and spans. They go
//! where the configuration sends everything else.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use semconv::{UPSTREAM_SCHEMA_URL, attribute};
use thiserror::Error;
use tokio::runtime::Handle;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::config::Config;
use crate::export::otlp::{
    Compression, Protocol, Signal, Target, TargetError, grpc_channel, http_client, resolve,
};
use crate::signal::{Attribute, Value};

/// Why the agent's own telemetry cannot be sent.
#[derive(Debug, Error)]
pub enum SdkError {
    /// The configured target is not usable.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The SDK refuses to make an exporter.
    #[error("the agent's own telemetry: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The providers. Each has a thread of its own.
pub struct Providers {
    metrics: SdkMeterProvider,
    /// Where log records go.
    pub logs: SdkLoggerProvider,
    /// Where spans go.
    pub traces: SdkTracerProvider,
}

impl Providers {
    /// Starts the providers and makes that of metrics the global one. `None` where nothing is
    /// pushed. Must be called on the runtime that connections live on.
    pub fn start(config: &Config, shared: &[Attribute]) -> Result<Option<Self>, SdkError> {
        let target = |signal| resolve(&config.otlp, signal);
        let (Some(metrics), Some(logs), Some(traces)) =
            (target(Signal::Metrics)?, target(Signal::Logs)?, target(Signal::Traces)?)
        else {
            return Ok(None);
        };
        let resource = resource(config, shared);
        let reader = PeriodicReader::builder(metric_exporter(&metrics)?)
            .with_interval(config.otlp.interval())
            .build();
        let providers = Self {
            metrics: SdkMeterProvider::builder()
                .with_resource(resource.clone())
                .with_reader(reader)
                .build(),
            logs: SdkLoggerProvider::builder()
                .with_resource(resource.clone())
                .with_batch_exporter(log_exporter(&logs)?)
                .build(),
            traces: SdkTracerProvider::builder()
                .with_resource(resource)
                .with_batch_exporter(span_exporter(&traces)?)
                .build(),
        };
        opentelemetry::global::set_meter_provider(providers.metrics.clone());
        Ok(Some(providers))
    }

    /// Sends what is left. Blocks; must not be called on the runtime.
    pub fn shutdown(&self, within: Duration) {
        let each = within / 3;
        // An endpoint that is away has been told of already.
        let _ = self.traces.shutdown_with_timeout(each);
        let _ = self.logs.shutdown_with_timeout(each);
        let _ = self.metrics.shutdown_with_timeout(each);
    }
}

/// The agent's Resource: this run of it, on this host.
fn resource(config: &Config, shared: &[Attribute]) -> Resource {
    let executable = std::env::current_exe().unwrap_or_default();
    let own = [
        KeyValue::new(attribute::SERVICE_NAME.key, config.otlp.service_name.clone()),
        KeyValue::new(attribute::SERVICE_VERSION.key, env!("CARGO_PKG_VERSION")),
        KeyValue::new(attribute::SERVICE_INSTANCE_ID.key, Uuid::new_v4().to_string()),
        KeyValue::new(attribute::PROCESS_PID.key, i64::from(std::process::id())),
        KeyValue::new(attribute::PROCESS_EXECUTABLE_PATH.key, executable.display().to_string()),
    ];
    let shared = shared.iter().filter_map(|(def, value)| {
        let text = Value::as_str(value)?;
        Some(KeyValue::new(def.key, text.to_owned()))
    });
    let attributes: Vec<KeyValue> = shared.chain(own).collect();
    Resource::builder_empty().with_schema_url(attributes, UPSTREAM_SCHEMA_URL).build()
}

fn metric_exporter(target: &Target) -> Result<MetricExporter, SdkError> {
    let builder = MetricExporter::builder();
    Ok(match target.protocol {
        Protocol::Grpc => over_grpc(builder.with_tonic(), target)?.build()?,
        Protocol::HttpProtobuf => over_http(builder.with_http(), target)?.build()?,
    })
}

fn log_exporter(target: &Target) -> Result<LogExporter, SdkError> {
    let builder = LogExporter::builder();
    Ok(match target.protocol {
        Protocol::Grpc => over_grpc(builder.with_tonic(), target)?.build()?,
        Protocol::HttpProtobuf => over_http(builder.with_http(), target)?.build()?,
    })
}

fn span_exporter(target: &Target) -> Result<SpanExporter, SdkError> {
    let builder = SpanExporter::builder();
    Ok(match target.protocol {
        Protocol::Grpc => over_grpc(builder.with_tonic(), target)?.build()?,
        Protocol::HttpProtobuf => over_http(builder.with_http(), target)?.build()?,
    })
}

fn over_grpc<B>(builder: B, target: &Target) -> Result<B, TargetError>
where
    B: WithTonicConfig + WithExportConfig,
{
    let metadata = MetadataMap::from_headers(target.headers.clone());
    let builder = builder.with_channel(grpc_channel(target)?).with_metadata(metadata);
    let builder = builder.with_timeout(target.timeout);
    Ok(match compression(target) {
        Some(compression) => builder.with_compression(compression),
        None => builder,
    })
}

fn over_http<B>(builder: B, target: &Target) -> Result<B, TargetError>
where
    B: WithHttpConfig + WithExportConfig,
{
    let builder = builder
        .with_http_client(OnRuntime::new(target)?)
        .with_endpoint(target.url.to_string())
        .with_headers(headers(target))
        .with_timeout(target.timeout);
    Ok(match compression(target) {
        Some(compression) => builder.with_compression(compression),
        None => builder,
    })
}

fn compression(target: &Target) -> Option<opentelemetry_otlp::Compression> {
    match target.compression {
        Compression::None => None,
        Compression::Gzip => Some(opentelemetry_otlp::Compression::Gzip),
        Compression::Zstd => Some(opentelemetry_otlp::Compression::Zstd),
    }
}

fn headers(target: &Target) -> HashMap<String, String> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    target.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// The SDK's threads have no runtime; requests are made on ours.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

impl OnRuntime {
    fn new(target: &Target) -> Result<Self, TargetError> {
        Ok(Self { client: http_client(target)?, runtime: Handle::current() })
    }
}

type Answer = Result<http::Response<Bytes>, HttpError>;

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: http::Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let mut response = http::Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = answer.bytes().await?;
            Ok(response)
        });
        Box::pin(async move { sent.await? })
    }
}
