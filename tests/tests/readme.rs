//! The commands of README.md beside a daemon that runs as it is shipped.

use std::fs;
use std::path::Path;
use std::process::Command;

use compcache_tests::{Bed, Outcome, binary, needs, packaged};

const README: &str = include_str!("../../README.md");

/// The commands for root in README's console blocks, in their order.
fn commands() -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut in_console = false;
    for line in README.lines() {
        if line.starts_with("```") {
            in_console = line == "```console";
            continue;
        }
        // One that goes on in the next line has an open quotation.
        let open = commands
            .last_mut()
            .filter(|command| command.matches('"').count() % 2 == 1);
        if let Some(command) = open {
            command.push('\n');
            command.push_str(line);
        } else if in_console && let Some(command) = line.strip_prefix("# ") {
            commands.push(command.to_owned());
        }
    }
    commands
}

/// Those that need no Rust and load no module: the daemon runs already.
fn is_for_this_test(command: &str) -> bool {
    !command.starts_with("cargo") && !command.starts_with("modprobe")
}

fn in_place(bed: &Bed, command: &str) -> String {
    let below = |name: &str| bed.directory().join(name).display().to_string();
    command
        .replace("/dev/ramzswap", &format!("{}/ramzswap", below("dev")))
        .replace("/srv/data", &below("source"))
        .replace("/mnt/data", &below("point"))
        .replace("/build", &below("build"))
}

#[test]
fn the_commands_of_the_readme_work_beside_the_unit() {
    if !needs::programs(&["python3"]) {
        return;
    }
    let Some(mut bed) = Bed::new() else { return };
    bed.start(&[
        "--config",
        packaged("compcache.toml").to_str().expect("UTF-8"),
    ]);
    for name in ["source", "point", "build"] {
        fs::create_dir(bed.directory().join(name)).expect("a directory");
    }
    // The machine has swap from it already.
    bed.compcache(&["swap", "on", "--size", "64M"]).success();
    let commands: Vec<String> = commands()
        .into_iter()
        .filter(|command| is_for_this_test(command))
        .collect();
    for wanted in [
        "compcache run",
        "compcache swap on",
        "compcache mount",
        "rzscontrol",
    ] {
        let found = commands.iter().any(|command| command.starts_with(wanted));
        assert!(found, "{wanted}: {commands:?}");
    }
    let programs = binary("compcache");
    let path = std::env::var("PATH").expect("a path");
    let programs = programs.parent().map(Path::display).expect("a directory");
    for command in commands {
        let mut shell = Command::new("sh");
        shell.args(["-euc", &in_place(&bed, &command)]);
        bed.set_environment(shell.env("PATH", format!("{programs}:{path}")));
        Outcome::of(&mut shell).success();
    }
    bed.compcache(&["umount", &in_place(&bed, "/build")])
        .success();
    bed.stop();
    bed.assert_nothing_left();
}
