// SPDX-License-Identifier: Apache-2.0
//! Arguments → configuration → agent → exit code.

use std::process::ExitCode;

use clap::Parser;
use huatuo_otel::cli::Cli;
use huatuo_otel::command;

fn main() -> ExitCode {
    ExitCode::from(command::run(Cli::parse()))
}
