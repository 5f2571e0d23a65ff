//! `cargo xtask kernel test`: guests with the module.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::kernels::{DEFAULT, Kernels};
use super::{check, headers, module, objects};
use crate::debian::{Release, State};
use crate::guest::{self, Image, Machine, Ours, Outcome, Qemu, Script, Verdict};
use crate::workspace;

#[derive(Args)]
pub(crate) struct Test {
    #[command(flatten)]
    kernels: Kernels,

    /// Runs this shell script alone; its status becomes ours, of several guests that of the first that failed
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// Runs the scripts of these names only
    #[arg(long, value_name = "NAME", conflicts_with_all = ["script", "except"])]
    only: Vec<String>,

    /// Leaves out the script of this name, and says so
    #[arg(long, value_name = "NAME", conflicts_with = "script")]
    except: Vec<String>,

    /// Virtual CPUs, whatever the scripts say
    #[arg(long, value_name = "N")]
    smp: Option<u32>,

    /// Memory of the guests, whatever the scripts say
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,

    /// So many times the memory that scripts say: a kernel that looks for faults needs more
    #[arg(long, value_name = "N", default_value_t = 1)]
    memory_times: u32,

    /// For the kernel's command line, beside what the scripts say
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,

    /// Ends a guest after this, whatever the scripts say
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,

    /// Guests that run at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,

    /// Puts this module into the guests instead of building ours; `none`: no module of ours
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    module: Option<PathBuf>,

    /// Boots the kernel that was built in this source tree
    #[arg(
        long,
        value_name = "DIRECTORY",
        requires = "module",
        conflicts_with = "kernels"
    )]
    tree: Option<PathBuf>,

    /// Passes though a script skipped on a kernel on which it is to run
    #[arg(long)]
    allow_skips: bool,

    /// Keeps the consoles and root file systems of guests that passed, too
    #[arg(long)]
    keep: bool,
}

/// A guest to run.
struct Job {
    release: Release,
    image: Image,
    script: Script,
}

/// What came of a guest.
struct Ended {
    outcome: Outcome,
    /// It did not skip, or may on that kernel.
    excused: bool,
}

/// Runs the tests. With `--all` each kernel's module is built and checked, and guests run on
/// those kernels that are the default, those of the commands on one of them.
///
/// # Errors
///
/// Something could not be fetched, built or started. A test that fails is none.
pub(crate) fn run(test: &Test) -> Result<ExitCode> {
    let scripts = test.scripts()?;
    let state = test.kernels.state()?;
    let qemu = Qemu::find(&state)?;
    let mut status = ExitCode::SUCCESS;
    let mut jobs = Vec::new();
    for (release, module) in test.modules(&state, &mut status)? {
        let image = match &test.tree {
            Some(tree) => tree_image(&state, &release, tree, module.as_deref())?,
            None => image(&state, &release, module.as_deref(), Ours::With)?,
        };
        let wanted = |script: &&Script| {
            if test.kernels.all {
                script.is_for_of_all(&release.name)
            } else {
                script.is_for(&release.name)
            }
        };
        for script in scripts.iter().filter(wanted) {
            let (release, image, script) = (release.clone(), image.clone(), script.clone());
            jobs.push(Job {
                release,
                image,
                script,
            });
        }
    }
    if jobs.is_empty() {
        bail!("no script is for these kernels");
    }
    let ended = test.run_all(&qemu, &jobs)?;
    let unexcused = ended.iter().filter(|ended| !ended.excused).count();
    let outcomes: Vec<Outcome> = ended.into_iter().map(|ended| ended.outcome).collect();
    let count = |verdict: fn(&Outcome) -> bool| outcomes.iter().filter(|o| verdict(o)).count();
    let failed = count(|outcome| !outcome.passed() && outcome.verdict != Verdict::Skipped);
    let skipped = count(|outcome| outcome.verdict == Verdict::Skipped);
    let more = if skipped > 0 {
        format!(", {skipped} skipped")
    } else {
        String::new()
    };
    println!("{} passed, {failed} failed{more}", count(Outcome::passed));
    if test.script.is_some() {
        return Ok(match Outcome::status_of_all(&outcomes) {
            0 => status,
            failed => ExitCode::from(failed),
        });
    }
    if failed > 0 {
        return Ok(ExitCode::FAILURE);
    }
    if unexcused > 0 && !test.allow_skips {
        eprintln!(
            "xtask: {unexcused} skipped on kernels that their heads do not name (`# may-skip: SERIES`); \
             --allow-skips passes anyway"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(status)
}

impl Test {
    fn scripts(&self) -> Result<Vec<Script>> {
        let files = match &self.script {
            Some(file) => vec![file.clone()],
            None => shell_scripts(&workspace::root().join("kernel/guest/tests"))?,
        };
        let mut scripts: Vec<Script> = files
            .iter()
            .map(|file| Script::read(file))
            .collect::<Result<_>>()?;
        for name in &self.only {
            if !scripts.iter().any(|script| script.name() == *name) {
                bail!("--only {name}: there is no such script");
            }
        }
        scripts.retain(|script| self.only.is_empty() || self.only.contains(&script.name()));
        for name in &self.except {
            let before = scripts.len();
            scripts.retain(|script| script.name() != *name);
            if scripts.len() == before {
                bail!("--except {name}: there is no such script");
            }
            println!("{name:<24} left out");
        }
        Ok(scripts)
    }

    /// The kernels to boot, with the module of each.
    fn modules(
        &self,
        state: &State,
        status: &mut ExitCode,
    ) -> Result<Vec<(Release, Option<PathBuf>)>> {
        let releases = match &self.tree {
            Some(tree) => vec![tree_release(tree)?],
            None => self.kernels.releases(state, DEFAULT)?,
        };
        if let Some(module) = &self.module {
            let module = Some(module.clone()).filter(|path| path.as_os_str() != "none");
            return Ok(releases
                .into_iter()
                .map(|release| (release, module.clone()))
                .collect());
        }
        let objects = objects::build(state)?;
        let mut modules = module::build_all(state, &releases, &objects)?;
        if self.kernels.all {
            *status = check::run(&objects, &modules)?;
            let default = DEFAULT.iter().map(|name| Release::resolve(state, name));
            let default: Vec<Release> = default.collect::<Result<_>>()?;
            modules.retain(|(release, _)| default.contains(release));
        }
        Ok(modules
            .into_iter()
            .map(|(release, module)| (release, Some(module)))
            .collect())
    }

    /// Runs guests, some at once; the outcomes are in the order in which they ended.
    fn run_all(&self, qemu: &Qemu, jobs: &[Job]) -> Result<Vec<Ended>> {
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || -> Result<()> {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = self.one(qemu, job)?;
                let excused =
                    outcome.verdict != Verdict::Skipped || job.script.may_skip(&job.release.name);
                outcomes
                    .lock()
                    .expect("no guest's thread panics")
                    .push(Ended { outcome, excused });
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().expect("a guest's thread"))
        })?;
        Ok(outcomes.into_inner().expect("no guest's thread panics"))
    }

    fn one(&self, qemu: &Qemu, job: &Job) -> Result<Outcome> {
        let Job {
            release,
            image,
            script,
        } = job;
        let out = workspace::kernel_target()
            .join(&release.name)
            .join("guests");
        fs::create_dir_all(&out)?;
        let initramfs = out.join(format!("{}.cpio", script.name()));
        let log = out.join(format!("{}.log", script.name()));
        guest::with_script(image, script, &[], &initramfs)?;
        let machine = Machine {
            smp: self.smp.unwrap_or(script.smp),
            memory: self.memory.unwrap_or(script.memory) * self.memory_times,
            append: format!("{} {}", script.append, self.append).trim().into(),
            timeout: self.timeout.map_or(script.timeout, Duration::from_secs),
            counting: None,
        };
        if std::io::stderr().is_terminal() {
            eprintln!(
                "{} on {}, up to {:?}",
                script.name(),
                release.name,
                machine.timeout
            );
        }
        let start = Instant::now();
        let echo = self.script.is_some();
        let boot = || qemu.boot(&machine, &image.kernel, &initramfs, &log, echo);
        let mut result = boot()?;
        // Rarely, a kernel that patches its code while another of QEMU's threads executes it hangs or dies.
        // No module is loaded yet.
        if !result.booted {
            println!(
                "{} on {} did not boot: once more",
                script.name(),
                release.name
            );
            result = boot()?;
        }
        let outcome = Outcome::judge(&result.console, result.timed_out, &script.allowed);
        let seconds = start.elapsed().as_secs_f64();
        let word = outcome.word();
        let mut line = format!(
            "{:<24} {:<30} {word} {seconds:.1} s",
            script.name(),
            release.name
        );
        if !outcome.passed() {
            line += &format!("\n    {}; console: {}", outcome.reason(), log.display());
            // Whoever reads the output of a machine that is gone has no other way to see it.
            if !echo {
                line += &format!(", its end:\n{}", guest::end_of(&result.console));
            }
        }
        println!("{line}");
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

/// The kernel that was built in a source tree.
fn tree_release(tree: &Path) -> Result<Release> {
    let file = tree.join("include/config/kernel.release");
    let name = fs::read_to_string(&file)
        .with_context(|| format!("no kernel was built in {}", tree.display()))?;
    Ok(Release {
        name: name.trim().into(),
        debian: None,
    })
}

/// As [`image`], for the kernel and the modules of a source tree.
fn tree_image(
    state: &State,
    release: &Release,
    tree: &Path,
    module: Option<&Path>,
) -> Result<Image> {
    let kernel = tree.join("arch/x86/boot/bzImage");
    guest::base(state, release, kernel, tree, module, Ours::With)
}

/// The kernel's image with what all scripts share.
///
/// # Errors
///
/// The kernel's packages cannot be fetched, or something for the guest cannot be built.
pub(super) fn image(
    state: &State,
    release: &Release,
    module: Option<&Path>,
    ours: Ours,
) -> Result<Image> {
    let name = &release.name;
    let root = match release.debian {
        None => PathBuf::from("/"),
        Some(number) => {
            let archive = state.debian(number)?;
            let packages = ["linux-binary", "linux-modules", "linux-image"]
                .map(|kind| format!("{kind}-{name}"))
                .into_iter()
                .filter(|package| archive.show(package).is_some());
            let mut packages: Vec<String> = packages.collect();
            if packages.len() > 1 {
                // The image is then a package that depends on the others.
                packages.retain(|package| !package.starts_with("linux-image-"));
            }
            let all = packages
                .iter()
                .flat_map(|package| headers::closure(archive, package));
            archive.unpack(&all.collect::<Vec<_>>())?;
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
    guest::base(state, release, kernel, &modules, module, ours)
}
