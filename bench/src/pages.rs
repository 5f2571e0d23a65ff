//! `pages`: writes pages of programs to files, for benches that run elsewhere.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use fs_err as fs;

use crate::programs;
use crate::report::positive;

/// Writes the pages of programs to files, one a program, for benches in a guest
#[derive(Debug, Args)]
pub(crate) struct PagesArgs {
    /// The directory of the files, which is created if missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Pages of each program at most
    #[arg(long, value_name = "N", default_value_t = 6000, value_parser = positive)]
    pages: usize,
    /// Only these programs
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
}

/// Captures programs that are installed, and writes `DIR/NAME.bin` of each: whole pages, none of
/// them same-filled, none twice.
pub(crate) fn run(args: &PagesArgs) -> Result<()> {
    fs::create_dir_all(&args.to)?;
    let sources = programs::sources_of(&args.only, usize::MAX);
    ensure!(
        !sources.is_empty(),
        "no program to take pages from: install python3, nodejs or g++"
    );
    for mut source in sources {
        let mut seen = HashSet::new();
        source.pages.retain(|page| seen.insert(*page));
        let found = source.pages.len();
        let pages = crate::capture::spread(source.pages, args.pages);
        let path = args.to.join(format!("{}.bin", source.name));
        fs::write(&path, pages.as_flattened())?;
        println!("{}: {} of {found} pages", path.display(), pages.len());
    }
    Ok(())
}
