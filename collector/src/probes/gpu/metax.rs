// SPDX-License-Identifier: Apache-2.0
//! MetaX GPUs.
//! Source: the vendor's management library.   Signals: `hw.*`, `metax.gpu.*`.

use schemars::JsonSchema;
use semconv::{AttributeDef, MetricDef, attribute, metric};
use serde::{Deserialize, Serialize};

use crate::gpu::{Ecc, Gpu, Ip, LinkDirection, Metax, MetaxError, THROTTLE_REASONS};
use crate::kernel::unix_now;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, StartError, Started};
use crate::signal::{Attribute, EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "gpu.metax",
    legacy_names: &["metax_gpu"],
    start: |cx| {
        let library = Metax::load(&cx.config.metric_collector.metax_gpu.library);
        Started::from_result(library.map(MetaxGpus::new).map_err(|error| match error {
            MetaxError::Absent(_) => StartError::Absent(error.to_string()),
            MetaxError::Broken { .. } => StartError::Library(error.to_string()),
        }))
    },
    decoder: None,
};

/// `[MetricCollector.MetaxGpu]`: GPUs of MetaX.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct MetaxGpuConfig {
    /// The vendor's management library.
    pub library: String,
}

impl Default for MetaxGpuConfig {
    fn default() -> Self {
        Self { library: "/opt/mxdriver/lib/libmxsml.so".to_owned() }
    }
}

struct MetaxGpus {
    library: Metax,
    version: Option<String>,
    gpus: Vec<Gpu>,
    started: UnixNanos,
}

impl MetaxGpus {
    fn new(library: Metax) -> Self {
        let (version, gpus) = (library.version(), library.gpus());
        Self { library, version, gpus, started: unix_now() }
    }
}

impl Probe for MetaxGpus {
    /// What the library does not tell of a GPU has no point.
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        let start = self.started;
        if let Some(version) = &self.version {
            let version = vec![(&attribute::METAX_SDK_VERSION, Value::from(version.as_str()))];
            host.sum(&metric::METAX_SDK_INFO, version, start, 1);
        }
        let driver = self.gpus.iter().find(|gpu| !gpu.driver_version.is_empty());
        if let Some(driver) = driver.map(|gpu| gpu.driver_version.as_str()) {
            let version = vec![(&attribute::HW_DRIVER_VERSION, Value::from(driver))];
            host.sum(&metric::METAX_DRIVER_INFO, version, start, 1);
        }
        for gpu in &self.gpus {
            let mut out = Out { library: &self.library, gpu, start, host: &mut host };
            out.status();
            out.board();
            out.links();
            (0..gpu.dies).for_each(|die| out.die(die));
        }
        Ok(())
    }
}

/// Where the points of one GPU go.
struct Out<'a, 'b> {
    library: &'a Metax,
    gpu: &'a Gpu,
    start: UnixNanos,
    host: &'a mut EntityRecorder<'b>,
}

const PARTS: [(&str, Ip); 4] = [
    ("encoder", Ip::Encoder),
    ("decoder", Ip::Decoder),
    ("xcore", Ip::Xcore),
    ("memory", Ip::Memory),
];
const TASKS: [(&str, Ip); 3] =
    [("encoder", Ip::Encoder), ("decoder", Ip::Decoder), ("general", Ip::Xcore)];
const DIRECTIONS: [(&str, LinkDirection); 2] =
    [("receive", LinkDirection::Receive), ("transmit", LinkDirection::Transmit)];

impl Out<'_, '_> {
    /// Attributes that tell the GPU, and `more`.
    fn of(&self, more: impl IntoIterator<Item = Attribute>) -> Vec<Attribute> {
        let own = [
            (&attribute::HW_ID, Value::from(self.gpu.uuid.as_str())),
            (&attribute::METAX_GPU_INDEX, Value::from(self.gpu.index)),
        ];
        own.into_iter().chain(more).collect()
    }

    /// The same for metrics that other vendors' GPUs have too.
    fn of_metax(&self, more: impl IntoIterator<Item = Attribute>) -> Vec<Attribute> {
        self.of([(&attribute::HW_VENDOR, Value::Static("MetaX"))].into_iter().chain(more))
    }

    fn status(&mut self) {
        let codes = (0..self.gpu.dies).filter_map(|die| {
            let code = self.library.status(self.gpu.index, die)?;
            Some((die, code))
        });
        let codes: Vec<(u32, i32)> = codes.collect();
        for (die, code) in &codes {
            let attributes = self.of([of_die(*die)]);
            self.host.gauge(&metric::METAX_GPU_STATUS_CODE, attributes, f64::from(*code));
        }
        let is_ok = codes.iter().all(|(_, code)| *code == 0);
        for (state, is_it) in [("ok", is_ok), ("failed", !is_ok)] {
            let text = |def: &'static AttributeDef, text: &str| (def, Value::from(text));
            let gpu = self.gpu;
            let attributes = self.of_metax([
                (&attribute::HW_TYPE, Value::Static("gpu")),
                (&attribute::HW_STATE, Value::Static(state)),
                text(&attribute::HW_MODEL, &gpu.model),
                text(&attribute::HW_BIOS_VERSION, &gpu.bios_version),
                text(&attribute::HW_DRIVER_VERSION, &gpu.driver_version),
                text(&attribute::METAX_GPU_BDF, &gpu.bdf),
                (&attribute::METAX_GPU_MODE, Value::Static(gpu.mode)),
                (&attribute::METAX_GPU_DIE_COUNT, Value::from(gpu.dies)),
            ]);
            self.host.sum(&metric::HW_STATUS, attributes, self.start, is_it.into());
        }
    }

    fn board(&mut self) {
        let index = self.gpu.index;
        if let Some(ways) = self.library.board_power(index) {
            let milliwatts: u64 = ways.iter().map(|way| u64::from(way.power)).sum();
            let attributes = self.of_metax([(&attribute::HW_TYPE, Value::Static("gpu"))]);
            self.host.gauge(&metric::HW_POWER, attributes, milliwatts as f64 / 1e3);
        }
        if let Some(link) = self.library.pcie_link(index) {
            let (speed, width) = (f64::from(link.speed) * 1e9, f64::from(link.width));
            let attributes = self.of([]);
            self.host.gauge(&metric::METAX_GPU_PCIE_LINK_SPEED, attributes.clone(), speed);
            self.host.gauge(&metric::METAX_GPU_PCIE_LINK_WIDTH, attributes, width);
        }
        if let Some(rate) = self.library.pcie_throughput(index) {
            for (direction, megabytes) in [("receive", rate.first), ("transmit", rate.second)] {
                let attributes = self.of([directed(direction)]);
                let rate = f64::from(megabytes) * 1e6;
                self.host.gauge(&metric::METAX_GPU_PCIE_THROUGHPUT, attributes, rate);
            }
        }
    }

    fn links(&mut self) {
        let index = self.gpu.index;
        for (link, info) in (1..).zip(self.library.links(index).unwrap_or_default()) {
            let attributes = self.of([of_link(link)]);
            let (speed, width) = (f64::from(info.speed) * 1e9, f64::from(info.width));
            let def = &metric::METAX_GPU_METAXLINK_LINK_SPEED;
            self.host.gauge(def, attributes.clone(), speed);
            self.host.gauge(&metric::METAX_GPU_METAXLINK_LINK_WIDTH, attributes, width);
        }
        for (direction, way) in DIRECTIONS {
            let rates = self.library.link_throughput(index, way).unwrap_or_default();
            for (link, rate) in (1..).zip(rates) {
                let attributes = self.of([of_link(link), directed(direction)]);
                let rate = f64::from(rate.first) * 1e6;
                self.host.gauge(&metric::METAX_GPU_METAXLINK_THROUGHPUT, attributes, rate);
            }
            let traffic = self.library.link_traffic(index, way).unwrap_or_default();
            for (link, bytes) in (1..).zip(traffic) {
                let attributes = self.of([of_link(link), directed(direction)]);
                self.host.sum(&metric::METAX_GPU_METAXLINK_IO, attributes, self.start, bytes);
            }
        }
        for (link, errors) in (1..).zip(self.library.link_errors(index).unwrap_or_default()) {
            let counts = [("corrected", errors.corrected), ("uncorrected", errors.uncorrected)];
            for (kind, count) in counts {
                let count = u64::try_from(count).unwrap_or(0);
                self.errors("metaxlink", kind, vec![of_link(link)], count);
            }
        }
    }

    fn die(&mut self, die: u32) {
        let (library, index) = (self.library, self.gpu.index);
        if let Some(celsius) = library.temperature(index, die) {
            let place = (&attribute::HW_SENSOR_LOCATION, Value::from(format!("die {die}")));
            let attributes = self.of_metax([of_die(die), place]);
            self.host.gauge(&metric::HW_TEMPERATURE, attributes, celsius);
        }
        for (task, ip) in TASKS {
            if let Some(percent) = library.utilization(index, die, ip) {
                let task = (&attribute::HW_GPU_TASK, Value::Static(task));
                let attributes = self.of_metax([of_die(die), task]);
                let share = f64::from(percent) / 100.0;
                self.host.gauge(&metric::HW_GPU_UTILIZATION, attributes, share);
            }
        }
        if let Some([limit, usage]) = library.memory(index, die) {
            let attributes = self.of_metax([of_die(die)]);
            let start = self.start;
            self.host.sum(&metric::HW_GPU_MEMORY_LIMIT, attributes.clone(), start, limit);
            self.host.sum(&metric::HW_GPU_MEMORY_USAGE, attributes, start, usage);
        }
        self.clocks(die);
        if let Some(ecc) = library.ecc(index, die) {
            self.ecc(die, &ecc);
        }
    }

    fn clocks(&mut self, die: u32) {
        let (library, index) = (self.library, self.gpu.index);
        for (part, ip) in PARTS {
            if let Some(megahertz) = library.clock(index, die, ip) {
                let attributes = self.of([of_die(die), of_part(part)]);
                let def: &'static MetricDef = &metric::METAX_GPU_CLOCK_FREQUENCY;
                self.host.gauge(def, attributes, f64::from(megahertz) * 1e6);
            }
        }
        if let Some(bits) = library.throttle_reasons(index, die) {
            for (bit, reason) in (1..).zip(THROTTLE_REASONS) {
                let reason = (&attribute::METAX_GPU_CLOCK_THROTTLE_REASON, Value::Static(reason));
                let attributes = self.of([of_die(die), reason]);
                let def = &metric::METAX_GPU_CLOCK_THROTTLE_STATUS;
                self.host.sum(def, attributes, self.start, bits >> bit & 1);
            }
        }
        if let Some(level) = library.performance_level(index, die) {
            let attributes = self.of([of_die(die), of_part("xcore")]);
            let def = &metric::METAX_GPU_DPM_PERFORMANCE_LEVEL;
            self.host.gauge(def, attributes, f64::from(level));
        }
    }

    fn ecc(&mut self, die: u32, ecc: &Ecc) {
        for (memory, kind, count) in [
            ("sram", "corrected", ecc.sram_corrected),
            ("sram", "uncorrected", ecc.sram_uncorrected),
            ("dram", "corrected", ecc.dram_corrected),
            ("dram", "uncorrected", ecc.dram_uncorrected),
        ] {
            let memory = (&attribute::METAX_GPU_MEMORY_TYPE, Value::Static(memory));
            self.errors("gpu", kind, vec![of_die(die), memory], count.into());
        }
        let (attributes, pages) = (self.of([of_die(die)]), ecc.retired_pages.into());
        self.host.sum(&metric::METAX_GPU_MEMORY_RETIRED_PAGES, attributes, self.start, pages);
    }

    fn errors(&mut self, of: &'static str, kind: &'static str, place: Vec<Attribute>, count: u64) {
        let words = [
            (&attribute::HW_TYPE, Value::Static(of)),
            (&attribute::ERROR_TYPE, Value::Static(kind)),
        ];
        let attributes = self.of_metax(words.into_iter().chain(place));
        self.host.sum(&metric::HW_ERRORS, attributes, self.start, count);
    }
}

fn of_die(die: u32) -> Attribute {
    (&attribute::METAX_GPU_DIE, Value::from(die))
}

fn of_link(link: u32) -> Attribute {
    (&attribute::METAX_GPU_METAXLINK_ID, Value::from(link))
}

fn of_part(part: &'static str) -> Attribute {
    (&attribute::METAX_GPU_IP, Value::Static(part))
}

fn directed(direction: &'static str) -> Attribute {
    (&attribute::NETWORK_IO_DIRECTION, Value::Static(direction))
}
