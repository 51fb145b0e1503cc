// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Kernel observability that speaks OpenTelemetry.
///
/// Watches this host's kernel and pushes metrics and events to an OpenTelemetry Collector; beside
/// that it serves a Prometheus page and an event stream on http://127.0.0.1:19704/. Without a
/// command it runs.
#[derive(Debug, Parser)]
#[command(name = "huatuo-otel", version, max_term_width = 100)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do; runs the agent where it is left out.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of every command. They override the configuration file and the `OTEL_*` variables.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Configuration file; the built-in defaults where it is left out
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "config_dir")]
    pub config: Option<PathBuf>,
    /// Folder with huatuo-otel.toml or huatuo-bamai.conf
    #[arg(long, global = true, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Region of this host, e.g. cn-beijing
    #[arg(long, global = true, value_name = "NAME")]
    pub region: Option<String>,
    /// Read DIR/proc and DIR/sys instead of /proc and /sys
    #[arg(long, global = true, value_name = "DIR")]
    pub procfs_prefix: Option<PathBuf>,
    /// Do not ask the kubelet for pods
    #[arg(long, global = true)]
    pub disable_kubelet: bool,
    /// Keep no event files and send nothing to Elasticsearch
    #[arg(long, global = true)]
    pub disable_storage: bool,
    /// Do not start these probes, by their name here or in HUATUO
    #[arg(long, global = true, value_name = "LIST", value_delimiter = ',')]
    pub disable_tracing: Vec<String>,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run the agent
    Run,
    /// Load and attach everything once, print what works and what does not, leave nothing behind.
    ///
    /// Exit code: 0 all fine, 1 the configuration is wrong, 3 something enabled cannot run here.
    Check {
        /// Look at the configuration only
        #[arg(long)]
        config_only: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the effective configuration, with where each value comes from
    Config,
    /// Follow the events of a running agent
    Events(EventsArgs),
}

/// Arguments of `events`. Filters are regular expressions and must all match.
#[derive(Debug, Clone, Args)]
pub struct EventsArgs {
    /// Address of the agent; the configured one where it is left out
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Print each event as one line of JSON
    #[arg(long)]
    pub json: bool,
    /// Name of the tracer, e.g. '^oom$'
    #[arg(long, value_name = "REGEX")]
    pub tracer_name: Option<String>,
    /// Name of the host
    #[arg(long, value_name = "REGEX")]
    pub hostname: Option<String>,
    /// Host name of the container's pod
    #[arg(long, value_name = "REGEX")]
    pub container_hostname: Option<String>,
    /// Kubernetes namespace of the container
    #[arg(long, value_name = "REGEX")]
    pub container_host_namespace: Option<String>,
    /// QoS class of the container's pod
    #[arg(long, value_name = "REGEX")]
    pub container_qos: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_behind_the_command_and_lists_are_split() {
        let cli = Cli::parse_from(["x", "check", "--json", "--disable-tracing", "oom,runqlat"]);
        assert_eq!(cli.flags.disable_tracing, ["oom", "runqlat"]);
        assert!(matches!(cli.command, Some(Command::Check { json: true, config_only: false })));
        let cli = Cli::parse_from(["x", "--region", "dev", "run"]);
        assert_eq!(cli.flags.region.as_deref(), Some("dev"));
        assert!(Cli::parse_from(["x"]).command.is_none());
    }
}
