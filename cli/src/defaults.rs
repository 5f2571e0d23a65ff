//! What help texts say of defaults is what is taken.

use clap::Command;
use compcache_device::settings::Recompress;
use compcache_engine::CodecSpec;
use compcache_engine::disk::{DEFAULT_DISKSIZE_PERCENT, DEFAULT_MEMLIMIT_PERCENT};
use compcached::args::{DEFAULT_DEV_DIR, DEFAULT_RUNTIME_DIR};
use compcached::mounts::plan::{CACHE_PERCENT, DEFAULT_CODEC, DIRTY_SHARE};

use crate::{command, demo, rzscontrol};

/// The help of an option, without the places where its lines end.
fn help(command: &Command, path: &[&str], option: &str) -> String {
    let command = path.iter().fold(command, |command, name| {
        command.find_subcommand(name).expect("a command")
    });
    let mut options = command.get_arguments();
    let argument = options.find(|argument| argument.get_long() == Some(option));
    let argument = argument.unwrap_or_else(|| panic!("{path:?} --{option}"));
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let text = help.expect("a help").to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn helps_name_the_defaults_that_are_taken() {
    let (compcache, rzscontrol) = (command::command(), rzscontrol::command());
    let recompress = Recompress::default();
    let disksize = DEFAULT_DISKSIZE_PERCENT;
    // Its level is that of its name alone.
    let codec = CodecSpec::default().to_string();
    let codec = codec.split(':').next().expect("a name").to_owned();
    assert_eq!(codec.parse(), Ok(CodecSpec::default()));
    let memlimit = format!("with a backing swap {DEFAULT_MEMLIMIT_PERCENT}% of");
    let of_ram = format!("[default: {disksize}% of RAM");
    let only = |value: &dyn std::fmt::Display| format!("[default: {value}]");
    let policy = [
        ("recompress", only(&recompress.codec)),
        ("recompress-after", only(&recompress.after_seconds)),
        ("recompress-cpu", only(&recompress.cpu_percent)),
    ];
    let table: [(&[&str], &str, String); 14] = [
        (&["swap", "on"], "size", format!("[default: {disksize}%;")),
        (&["swap", "on"], "memlimit", memlimit.clone()),
        (&["swap", "on"], "codec", only(&codec)),
        (&["run"], "size", of_ram.clone()),
        (&["run"], "codec", only(&codec)),
        (&["demo"], "codec", only(&codec)),
        (
            &["demo"],
            "size",
            format!("[default: {}M,", demo::DEFAULT_SIZE >> 20),
        ),
        (&["mount"], "codec", only(&DEFAULT_CODEC)),
        (&["mount"], "cache", format!("[default: {CACHE_PERCENT}%]")),
        (
            &["mount"],
            "dirty-limit",
            format!("[default: {}%]", 100 / DIRTY_SHARE),
        ),
        (&["daemon"], "disksize_kb", of_ram.clone()),
        (&["daemon"], "memlimit_kb", memlimit.clone()),
        (
            &["daemon"],
            "runtime-dir",
            format!("[default: {DEFAULT_RUNTIME_DIR}"),
        ),
        (&["daemon"], "dev-dir", only(&DEFAULT_DEV_DIR)),
    ];
    for (path, option, default) in &table {
        assert_named(&compcache, path, option, default);
    }
    for command in ["on", "set"] {
        for (option, default) in &policy {
            assert_named(&compcache, &["swap", command], option, default);
        }
    }
    for (option, default) in [("disksize_kb", of_ram), ("memlimit_kb", memlimit)] {
        assert_named(&rzscontrol, &[], option, &default);
    }
}

fn assert_named(command: &Command, path: &[&str], option: &str, default: &str) {
    let help = help(command, path, option);
    let name = command.get_name();
    assert!(
        help.contains(default),
        "{name} {path:?} --{option}: {default}: {help}"
    );
}
