//! The program `compcache`: what its commands do.

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use clap_complete::Shell;

use crate::command::{Args, Command, command};
use crate::env::{Places, complain, print};
use crate::error::CliError;
use crate::{demo, hog, man, mount, run, rzscontrol, status, swap, umount};

/// Exit status if the command line is wrong, as clap has it.
const USAGE: u8 = 2;

/// The program `compcache`; by another name, `mount.compcache`.
#[must_use]
pub fn main() -> ExitCode {
    compcached::distrust_environment();
    compcached::reset_sigchld();
    if mount::helper::is_helper(std::env::args_os().next().as_deref()) {
        return mount::helper::main(std::env::args_os());
    }
    let args = Args::parse();
    let result = match args.command {
        // Reads its places itself: they are in its configuration too.
        Command::Daemon(daemon) => return compcached::run(daemon),
        Command::Hog { size, seed } => return hog_main(size, seed),
        command => {
            let places = Places::new(args.runtime_dir, args.dev_dir);
            dispatch(command, places.with_driver(args.driver))
        }
    };
    result.unwrap_or_else(|error| {
        complain("compcache", &error);
        match error {
            CliError::Usage(_) => ExitCode::from(USAGE),
            _ => ExitCode::FAILURE,
        }
    })
}

fn dispatch(command: Command, places: Places) -> Result<ExitCode, CliError> {
    match command {
        Command::Swap(args) => swap::main(&args, &places)?,
        Command::Mount(args) => mount::main(&args, &places.of_user())?,
        Command::Umount(args) => umount::umount(&args, &places.of_user())?,
        Command::Sync(args) => umount::sync(&args, &places.of_user())?,
        Command::Status(args) => status::main(&args, &places.of_user_if_there())?,
        Command::Run(args) => return Ok(run::main(&args, &places)),
        Command::Demo(args) => return demo::main(&args, &places),
        Command::Completions { shell } => print(&completions(shell)?)?,
        Command::Man { dir } => {
            man::write(&dir).map_err(|e| CliError::io(format!("cannot write to {dir:?}"), e))?;
        }
        // Done by `main` already.
        Command::Daemon(_) | Command::Hog { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn hog_main(size: u64, seed: u64) -> ExitCode {
    match hog::run(size, seed, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain("compcache: hog", &error);
            ExitCode::FAILURE
        }
    }
}

/// The completion scripts of both programs.
fn completions(shell: Shell) -> Result<String, CliError> {
    let mut out = Vec::new();
    for (name, mut command) in [
        ("compcache", command()),
        ("rzscontrol", rzscontrol::command()),
    ] {
        // zsh takes one function a file, and this file's name is that of the first one.
        if shell == Shell::Zsh && name != "compcache" {
            continue;
        }
        clap_complete::generate(shell, &mut command, name, &mut out);
    }
    String::from_utf8(out).map_err(|e| CliError::Failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_of_every_shell() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::Elvish,
            Shell::PowerShell,
        ] {
            let text = completions(shell).unwrap();
            assert!(text.contains("status"), "{shell}");
            // The command's description names it once or twice.
            let with_rzscontrol = text.matches("rzscontrol").count() > 4;
            assert_eq!(with_rzscontrol, shell != Shell::Zsh, "{shell}");
        }
    }
}
