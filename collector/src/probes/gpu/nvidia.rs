// SPDX-License-Identifier: Apache-2.0
//! NVIDIA GPUs.
//! Source: the vendor's management library (NVML).   Signals: `hw.*`.

use nvml_wrapper::Device;
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use schemars::JsonSchema;
use semconv::{attribute, metric};
use serde::{Deserialize, Serialize};

use crate::kernel::unix_now;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, StartError, Started};
use crate::signal::{Attribute, EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "gpu.nvidia",
    legacy_names: &[],
    start: |cx| {
        let path = &cx.config.metric_collector.nvidia_gpu.library;
        let library = Nvml::builder().lib_path(path.as_ref()).init();
        Started::from_result(library.map(NvidiaGpus::new).map_err(|error| refusal(path, &error)))
    },
    decoder: None,
};

/// `[MetricCollector.NvidiaGpu]`: GPUs of NVIDIA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct NvidiaGpuConfig {
    /// The vendor's management library.
    pub library: String,
}

impl Default for NvidiaGpuConfig {
    fn default() -> Self {
        Self { library: "libnvidia-ml.so.1".to_owned() }
    }
}

fn refusal(path: &str, error: &NvmlError) -> StartError {
    let text = format!("{path}: {error}");
    match error {
        // The loader's own words.
        NvmlError::LibloadingError(_) if text.contains("cannot open shared object file") => {
            StartError::Absent(format!("{path} is not there; it comes with the NVIDIA driver"))
        }
        NvmlError::DriverNotLoaded => StartError::Absent(text),
        _ => StartError::Library(text),
    }
}

struct NvidiaGpus {
    library: Nvml,
    driver_version: String,
    started: UnixNanos,
}

impl NvidiaGpus {
    fn new(library: Nvml) -> Self {
        let driver_version = library.sys_driver_version().unwrap_or_default();
        Self { library, driver_version, started: unix_now() }
    }
}

impl Probe for NvidiaGpus {
    /// What the library does not tell of a GPU has no point; GPUs may come and go.
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        for index in 0..self.library.device_count().unwrap_or(0) {
            let Ok(device) = self.library.device_by_index(index) else { continue };
            let Ok(uuid) = device.uuid() else { continue };
            let gpu = Gpu { uuid, device, start: self.started };
            gpu.status(&self.driver_version, &mut host);
            gpu.load(&mut host);
            gpu.errors(&mut host);
        }
        Ok(())
    }
}

struct Gpu<'a> {
    uuid: String,
    device: Device<'a>,
    start: UnixNanos,
}

impl Gpu<'_> {
    fn of(&self, more: impl IntoIterator<Item = Attribute>) -> Vec<Attribute> {
        let own = [
            (&attribute::HW_ID, Value::from(self.uuid.as_str())),
            (&attribute::HW_VENDOR, Value::Static("NVIDIA")),
        ];
        own.into_iter().chain(more).collect()
    }

    fn status(&self, driver_version: &str, host: &mut EntityRecorder<'_>) {
        let model = self.device.name().unwrap_or_default();
        let attributes = self.of([
            (&attribute::HW_TYPE, Value::Static("gpu")),
            (&attribute::HW_STATE, Value::Static("ok")),
            (&attribute::HW_MODEL, Value::from(model)),
            (&attribute::HW_DRIVER_VERSION, Value::from(driver_version)),
        ]);
        host.sum(&metric::HW_STATUS, attributes, self.start, 1);
        if let Ok(milliwatts) = self.device.power_usage() {
            let attributes = self.of([(&attribute::HW_TYPE, Value::Static("gpu"))]);
            host.gauge(&metric::HW_POWER, attributes, f64::from(milliwatts) / 1e3);
        }
        if let Ok(celsius) = self.device.temperature(TemperatureSensor::Gpu) {
            let place = (&attribute::HW_SENSOR_LOCATION, Value::Static("gpu"));
            host.gauge(&metric::HW_TEMPERATURE, self.of([place]), f64::from(celsius));
        }
    }

    fn load(&self, host: &mut EntityRecorder<'_>) {
        let tasks = [
            ("general", self.device.utilization_rates().map(|rates| rates.gpu)),
            ("encoder", self.device.encoder_utilization().map(|info| info.utilization)),
            ("decoder", self.device.decoder_utilization().map(|info| info.utilization)),
        ];
        for (task, percent) in tasks {
            if let Ok(percent) = percent {
                let attributes = self.of([(&attribute::HW_GPU_TASK, Value::Static(task))]);
                let share = f64::from(percent) / 100.0;
                host.gauge(&metric::HW_GPU_UTILIZATION, attributes, share);
            }
        }
        if let Ok(memory) = self.device.memory_info() {
            host.sum(&metric::HW_GPU_MEMORY_LIMIT, self.of([]), self.start, memory.total);
            host.sum(&metric::HW_GPU_MEMORY_USAGE, self.of([]), self.start, memory.used);
        }
    }

    fn errors(&self, host: &mut EntityRecorder<'_>) {
        let kinds =
            [("corrected", MemoryError::Corrected), ("uncorrected", MemoryError::Uncorrected)];
        for (word, kind) in kinds {
            if let Ok(count) = self.device.total_ecc_errors(kind, EccCounter::Aggregate) {
                let attributes = self.of([
                    (&attribute::HW_TYPE, Value::Static("gpu")),
                    (&attribute::ERROR_TYPE, Value::Static(word)),
                ]);
                host.sum(&metric::HW_ERRORS, attributes, self.start, count);
            }
        }
    }
}
