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
    let table: [(&[&str], &str, String); 20] = [
        (&["swap", "on"], "size", format!("[default: {disksize}%;")),
        (&["swap", "on"], "memlimit", memlimit.clone()),
        (&["swap", "on"], "codec", only(&codec)),
        (&["swap", "on"], "recompress", only(&recompress.codec)),
        (
            &["swap", "on"],
            "recompress-after",
            only(&recompress.after_seconds),
        ),
        (
            &["swap", "on"],
            "recompress-cpu",
            only(&recompress.cpu_percent),
        ),
        (&["swap", "set"], "recompress", only(&recompress.codec)),
        (
            &["swap", "set"],
            "recompress-after",
            only(&recompress.after_seconds),
        ),
        (
            &["swap", "set"],
            "recompress-cpu",
            only(&recompress.cpu_percent),
        ),
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
    for (path, option, default) in table {
        let help = help(&compcache, path, option);
        assert!(
            help.contains(&default),
            "{path:?} --{option}: {default}: {help}"
        );
    }
    for (option, default) in [("disksize_kb", of_ram), ("memlimit_kb", memlimit)] {
        let help = help(&rzscontrol, &[], option);
        assert!(
            help.contains(&default),
            "rzscontrol --{option}: {default}: {help}"
        );
    }
}
