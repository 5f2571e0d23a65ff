//! Tasks of this workspace that cargo alone does not do. `cargo xtask --help` lists them.

mod command;
mod debian;
mod guest;
mod kernel;
mod packages;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what tests need and the machine lacks, and runs all tests
    Test(test::Test),
    /// The kernel module: builds it for Debian's kernels, checks it, tests it in guests
    #[command(subcommand)]
    Kernel(Box<kernel::Task>),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test(test) => test::run(&test),
        Task::Kernel(task) => kernel::run(*task),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
