//! `cargo xtask kernel test`: guests with the module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::{Kernels, Release, State, directory, headers, module, objects};
use crate::guest::{self, Image, Machine, Outcome, Qemu, Script};
use crate::workspace;

#[derive(Args)]
pub(crate) struct Test {
    #[command(flatten)]
    kernels: Kernels,

    /// Runs this shell script alone; its status becomes ours
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// Virtual CPUs, whatever the scripts say
    #[arg(long, value_name = "N")]
    smp: Option<u32>,

    /// Memory of the guests, whatever the scripts say
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,

    /// Ends a guest after this, whatever the scripts say
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,

    /// Puts this module into the guests instead of building ours; `none`: no module of ours
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,

    /// Keeps the consoles and root file systems of guests that passed, too
    #[arg(long)]
    keep: bool,
}

/// Runs the tests.
///
/// # Errors
///
/// Something could not be fetched, built or started. A test that fails is none.
pub(crate) fn run(test: Test) -> Result<ExitCode> {
    let state = test.kernels.state()?;
    let releases = test.kernels.releases(&state)?;
    let scripts = test.scripts()?;
    let qemu = Qemu::find(&state)?;
    let objects = match &test.module {
        None => Some(objects::build(&state)?),
        Some(_) => None,
    };
    let (mut passed, mut failed) = (0, 0);
    let mut status = ExitCode::SUCCESS;
    for release in &releases {
        let module = match (&test.module, &objects) {
            (Some(path), _) if path.as_os_str() == "none" => None,
            (Some(path), _) => Some(path.clone()),
            (None, Some(objects)) => Some(module::build(&state, release, objects)?),
            (None, None) => None,
        };
        let image = image(&state, release, module.as_deref())?;
        for script in scripts.iter().filter(|script| script.is_for(&release.name)) {
            let outcome = test.one(&qemu, release, &image, script)?;
            if outcome.passed() {
                passed += 1;
            } else {
                failed += 1;
                status = outcome.exit_code();
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if passed + failed == 0 {
        bail!("no script is for these kernels");
    }
    let single = test.script.is_some() && passed + failed == 1;
    Ok(if failed > 0 && !single {
        ExitCode::FAILURE
    } else {
        status
    })
}

impl Test {
    fn scripts(&self) -> Result<Vec<Script>> {
        let files = match &self.script {
            Some(file) => vec![file.clone()],
            None => shell_scripts(&workspace::root().join("kernel/guest/tests"))?,
        };
        files.iter().map(|file| Script::read(file)).collect()
    }

    fn one(
        &self,
        qemu: &Qemu,
        release: &Release,
        image: &Image,
        script: &Script,
    ) -> Result<Outcome> {
        let out = directory().join(&release.name).join("guests");
        fs::create_dir_all(&out)?;
        let initramfs = out.join(format!("{}.cpio", script.name()));
        let log = out.join(format!("{}.log", script.name()));
        guest::with_script(image, script, &initramfs)?;
        let machine = Machine {
            smp: self.smp.unwrap_or(script.smp),
            memory: self.memory.unwrap_or(script.memory),
            append: script.append.clone(),
            timeout: self.timeout.map_or(script.timeout, Duration::from_secs),
            count_instructions: false,
        };
        let start = Instant::now();
        let echo = self.script.is_some();
        let said = qemu.boot(&machine, &image.kernel, &initramfs, &log, echo)?;
        let outcome = Outcome::judge(&said.console, said.timed_out, &script.allowed);
        let word = if outcome.passed() { "ok" } else { "FAILED" };
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{:<28} {:<30} {word} {seconds:.1}",
            script.name(),
            release.name
        );
        if !outcome.passed() {
            println!("    {}; console: {}", outcome.reason(), log.display());
        }
        if !self.keep {
            let _ = fs::remove_file(&initramfs);
            if outcome.passed() {
                let _ = fs::remove_file(&log);
            }
        }
        Ok(outcome)
    }
}

fn shell_scripts(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = directory
        .read_dir()
        .with_context(|| format!("no scripts in {}", directory.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sh"));
    files.sort();
    Ok(files)
}

/// The kernel's image with what all scripts share.
fn image(state: &State, release: &Release, module: Option<&Path>) -> Result<Image> {
    let name = &release.name;
    let root = match release.debian {
        None => PathBuf::from("/"),
        Some(number) => {
            let archive = state.debian(number)?;
            let packages = ["linux-binary", "linux-modules", "linux-image"]
                .map(|kind| format!("{kind}-{name}"))
                .into_iter()
                .find(|package| archive.show(package).is_some());
            let package = packages.with_context(|| format!("Debian has no image of {name}"))?;
            let modules = format!("linux-modules-{name}");
            let mut packages = headers::closure(archive, &package);
            if archive.show(&modules).is_some() {
                packages.push(modules);
            }
            archive.unpack(&packages)?;
            archive.root().to_path_buf()
        }
    };
    let modules = ["usr/lib/modules", "lib/modules"].map(|place| root.join(place).join(name));
    let modules = modules
        .into_iter()
        .find(|place| place.join("kernel").exists());
    let modules = modules.with_context(|| format!("{name} has no modules"))?;
    let images = [
        root.join("boot").join(format!("vmlinuz-{name}")),
        modules.join("vmlinuz"),
    ];
    let kernel = images.into_iter().find(|file| file.exists());
    let kernel = kernel.with_context(|| format!("{name} has no image"))?;
    guest::base(state, release, kernel, &modules, module)
}
