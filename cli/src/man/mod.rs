//! The man pages, made from the definitions of the command lines and from [`text`].
//!
//! `compcache man --dir man` (hidden) writes them; they are kept in the tree, and a test compares.

mod extra;
mod mounts;
mod text;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Args as _, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use compcached::DaemonArgs;

use crate::{command, mount, rzscontrol};
use extra::Extra;

/// All pages: file name and content.
///
/// # Errors
/// None is expected: they are written to memory.
pub(crate) fn pages() -> io::Result<Vec<(String, String)>> {
    let mut compcache = command::command();
    compcache.build();
    let mut commands = Vec::new();
    collect(&compcache, &mut commands);
    commands.push(mount::helper::command());
    commands.push(rzscontrol::command());
    commands.push(daemon());
    commands.into_iter().map(page).collect()
}

/// Writes all pages to a directory.
///
/// # Errors
/// Those of writing files.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, text) in pages()? {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

/// The command and those below it that users see, but for `help`.
fn collect(command: &Command, into: &mut Vec<Command>) {
    into.push(command.clone());
    for sub in command.get_subcommands() {
        if !sub.is_hide_set() && sub.get_name() != "help" {
            collect(sub, into);
        }
    }
}

/// The command line of compcached(8).
fn daemon() -> Command {
    let command = Command::new("compcached")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves compressed swap devices and mounts with a compressed page cache")
        .long_about(text::DAEMON);
    DaemonArgs::augment_args(command)
}

fn page(command: Command) -> io::Result<(String, String)> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let mut extras = text::EXTRA.iter().chain(mounts::EXTRA);
    let extra = extras.find(|extra| extra.name == name);
    let section = extra.map_or("1", |extra| extra.section);
    // The examples get a section of their own here. Environment variables that are set where this
    // runs must not show.
    let command = command
        .after_help("")
        .disable_help_subcommand(true)
        .mut_args(|arg| arg.hide_env_values(true));
    let version = command
        .get_version()
        .unwrap_or(env!("CARGO_PKG_VERSION"))
        .to_owned();
    let man = Man::new(command)
        .title(name.to_uppercase())
        .section(section)
        .source(format!("compcache {version}"))
        .manual(if section == "8" {
            "System Administration"
        } else {
            "User Commands"
        });
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if name == "compcache" {
        man.render_subcommands_section(&mut out)?;
    }
    if let Some(extra) = extra {
        extra.render().to_writer(&mut out)?;
    }
    let text = String::from_utf8(out).map_err(io::Error::other)?;
    Ok((format!("{name}.{section}"), text))
}

impl Extra {
    fn render(&self) -> Roff {
        let mut roff = Roff::new();
        for (heading, text) in self.parts {
            roff.control("SH", [*heading]);
            paragraphs(&mut roff, text);
        }
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in self.examples.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.control("SH", ["SEE ALSO"]);
        let mut names = Vec::new();
        for (i, name) in self.see_also.iter().enumerate() {
            let (name, section) = name.split_once('(').unwrap_or((name, ")"));
            if i > 0 {
                names.push(roman(", "));
            }
            names.push(bold(name));
            names.push(roman(format!("({section}")));
        }
        roff.text(names);
        roff
    }
}

/// Renders paragraphs, which empty lines part. One with a tab in it is a term, then what it means.
fn paragraphs(roff: &mut Roff, text: &str) {
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.trim();
        match paragraph.split_once('\t') {
            Some((term, meaning)) => {
                roff.control("TP", []);
                roff.text([bold(term.trim())]);
                roff.text([roman(meaning.trim().replace('\n', " "))]);
            }
            None => {
                roff.control("PP", []);
                roff.text([roman(paragraph.replace('\n', " "))]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_its_sections() {
        let pages = pages().unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "compcache.1",
            "compcache-swap.1",
            "compcache-swap-on.1",
            "compcache-swap-off.1",
            "compcache-swap-set.1",
            "compcache-mount.1",
            "compcache-umount.1",
            "compcache-sync.1",
            "compcache-status.1",
            "compcache-run.1",
            "compcache-demo.1",
            "compcache-completions.1",
            "mount.compcache.8",
            "rzscontrol.1",
            "compcached.8",
        ];
        assert_eq!(names, expected);
        for (name, text) in &pages {
            for heading in [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "\"EXIT STATUS\"",
                "EXAMPLES",
                "\"SEE ALSO\"",
            ] {
                assert!(
                    text.contains(&format!(".SH {heading}\n")),
                    "{name}: {heading}"
                );
            }
        }
    }

    #[test]
    fn every_statistic_is_described() {
        let pages = pages().unwrap();
        let (_, text) = pages
            .iter()
            .find(|(name, _)| name == "compcache-status.1")
            .unwrap();
        let names = compcache_engine::stats::Stats::NAMES;
        for name in names.iter().chain(&["invalid_io", "recompress_cpu_ns"]) {
            let word = |at: char| !at.is_alphanumeric() && at != '_';
            assert!(text.split(word).any(|known| known == *name), "{name}");
        }
    }

    /// The pages in the tree are those that the code makes. When this fails, run
    /// `cargo run -p compcache -- man --dir man` and look at what has changed.
    #[test]
    fn the_pages_in_the_tree_are_up_to_date() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man");
        let pages = pages().unwrap();
        for (name, text) in &pages {
            let kept = fs::read_to_string(directory.join(name)).unwrap_or_default();
            assert!(kept == *text, "man/{name} is not what the code makes");
        }
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                pages.iter().any(|(known, _)| *known == name),
                "man/{name} is made by nothing"
            );
        }
    }
}
