// SPDX-License-Identifier: Apache-2.0
//! What each command does, what it prints, and the exit code.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::agent::{self, Running};
use crate::check;
use crate::cli::{Cli, Command, EventsArgs, Flags};
use crate::config::{Config, Layers, Loaded, Overrides, Source, load};
use crate::follow::Follow;
use crate::hostfs::HostFs;
use crate::kernel::keep_memory_small;
use crate::probes::PROBES;
use crate::status::ProbeState;

/// All is well.
const FINE: u8 = 0;
/// The configuration is wrong, or the agent cannot start with it.
const WRONG: u8 = 1;
/// Something that is enabled cannot run here.
const TROUBLE: u8 = 3;

/// Does what the command line asks for, and returns the exit code.
pub fn run(cli: Cli) -> u8 {
    let outcome = match cli.command.unwrap_or(Command::Run) {
        Command::Run => run_agent(&cli.flags),
        Command::Check { config_only, json } => run_check(&cli.flags, config_only, json),
        Command::Config => print_config(&cli.flags),
        Command::Events(args) => follow(&cli.flags, args),
    };
    outcome.unwrap_or_else(|error| {
        for line in error.to_string().lines() {
            // Without a terminal there is nobody to tell.
            let _ = writeln!(io::stderr(), "huatuo-otel: {line}");
        }
        WRONG
    })
}

type Outcome = Result<u8, Box<dyn std::error::Error>>;

fn configuration(flags: &Flags) -> Result<Loaded, Box<dyn std::error::Error>> {
    let source = match (&flags.config, &flags.config_dir) {
        (Some(file), _) => Source::File(file.clone()),
        (None, Some(folder)) => Source::Folder(folder.clone()),
        (None, None) => Source::BuiltIn,
    };
    let names = PROBES.iter().flat_map(|def| std::iter::once(&def.name).chain(def.legacy_names));
    let layers = Layers {
        source,
        env: &|name| std::env::var(name).ok(),
        overrides: Overrides {
            region: flags.region.clone(),
            disable_storage: flags.disable_storage,
            disable_kubelet: flags.disable_kubelet,
            disable_tracing: flags.disable_tracing.clone(),
        },
        probes: names.copied().collect(),
    };
    Ok(load(&layers)?)
}

fn host_files(flags: &Flags) -> HostFs {
    HostFs::new(flags.procfs_prefix.clone().unwrap_or_else(|| PathBuf::from("/")))
}

/// One thread is plenty for what waits on sockets; what reads files has threads of its own.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(4).build()
}

fn run_agent(flags: &Flags) -> Outcome {
    keep_memory_small();
    let loaded = configuration(flags)?;
    for notice in &loaded.notices {
        writeln!(io::stderr(), "huatuo-otel: {notice}")?;
    }
    let runtime = runtime()?;
    let stop = CancellationToken::new();
    let until = stop.clone();
    runtime.block_on(async {
        tokio::spawn(end_on_signal(stop)?);
        let config = Arc::new(loaded.config);
        agent::run(config, host_files(flags), until, |running| {
            let _ = greet(running, &mut io::stdout());
        })
        .await?;
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    // A thread that still reads a file must not hold up the end.
    runtime.shutdown_background();
    Ok(FINE)
}

/// SIGTERM and SIGINT end the agent; SIGHUP, which some send for a reload, does not.
fn end_on_signal(stop: CancellationToken) -> io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => {
                    tracing::warn!("SIGHUP: restart the agent to load a changed configuration");
                }
            }
        }
        stop.cancel();
    })
}

/// What people see: what runs, where to look, and what to do next.
fn greet(running: &Running, out: &mut dyn Write) -> io::Result<()> {
    let probes = &running.verdicts.probes;
    let named = |wanted: &[ProbeState]| {
        let found = probes.iter().filter(|verdict| wanted.contains(&verdict.state));
        found.map(|verdict| verdict.probe).collect::<Vec<_>>().join(", ")
    };
    writeln!(out, "huatuo-otel {} runs", env!("CARGO_PKG_VERSION"))?;
    let works = named(&[ProbeState::Attached, ProbeState::Partial]);
    writeln!(out, "  collects   {works}")?;
    let idle = named(&[ProbeState::Unsupported, ProbeState::Failed]);
    if !idle.is_empty() {
        writeln!(out, "  cannot     {idle}  (huatuo-otel check tells why)")?;
    }
    writeln!(out, "  look at    {}", running.url)?;
    writeln!(out, "  metrics    {}metrics", running.url)?;
    match &running.events {
        Some(folder) => writeln!(out, "  events     {}/", folder.display())?,
        None => writeln!(out, "  events     huatuo-otel events")?,
    }
    match &running.pushed_to {
        Some(url) => writeln!(out, "  pushes to  {url}")?,
        None => writeln!(
            out,
            "  pushes     nothing yet; to an OpenTelemetry Collector with\n             \
             OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 huatuo-otel"
        )?,
    }
    out.flush()
}

fn run_check(flags: &Flags, config_only: bool, json: bool) -> Outcome {
    let Loaded { config, notices, .. } = configuration(flags)?;
    for notice in &notices {
        writeln!(io::stderr(), "huatuo-otel: {notice}")?;
    }
    let mut out = io::stdout().lock();
    if config_only {
        writeln!(out, "the configuration is fine")?;
        return Ok(FINE);
    }
    let verdicts = runtime()?.block_on(agent::check(Arc::new(config), host_files(flags)))?;
    if json {
        serde_json::to_writer_pretty(&mut out, &verdicts)?;
        writeln!(out)?;
    } else {
        check::print_table(&verdicts, &mut out)?;
    }
    Ok(if check::is_trouble(&verdicts) { TROUBLE } else { FINE })
}

fn print_config(flags: &Flags) -> Outcome {
    let loaded = configuration(flags)?;
    io::stdout().write_all(loaded.render().as_bytes())?;
    Ok(FINE)
}

fn follow(flags: &Flags, args: EventsArgs) -> Outcome {
    let config = configuration(flags)?.config;
    let follow = Follow {
        url: args.url.unwrap_or_else(|| local_url(&config)),
        certificate: config.server.certificate,
        token: config.server.token,
        json: args.json,
        filters: [
            ("tracer_name", args.tracer_name),
            ("hostname", args.hostname),
            ("container_hostname", args.container_hostname),
            ("container_host_namespace", args.container_host_namespace),
            ("container_qos", args.container_qos),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect(),
    };
    runtime()?.block_on(follow.run(&mut io::stdout()))?;
    Ok(FINE)
}

/// The address that an agent with this configuration listens on, as this host reaches it.
fn local_url(config: &Config) -> String {
    let mut address = config.server.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let plain = config.server.certificate.as_os_str().is_empty();
    format!("{}://{address}", if plain { "http" } else { "https" })
}
