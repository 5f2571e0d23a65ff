//! QEMU without hardware virtualisation, which not every machine has, and if it is there, does
//! not always work.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::tsc;
use crate::debian::State;

/// The release whose emulator is used.
const DEBIAN: u32 = 13;

/// The emulator.
#[derive(Debug)]
pub(crate) struct Qemu {
    program: PathBuf,
    /// What its release lies unpacked in.
    root: PathBuf,
    /// Of the time-stamp counter, which guests read; in kHz.
    tsc_khz: Option<u64>,
}

/// A guest's hardware.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) smp: u32,
    /// MiB.
    pub(crate) memory: u32,
    /// For the kernel's command line.
    pub(crate) append: String,
    pub(crate) timeout: Duration,
    /// Time in the guest counts instructions, so that runs can be compared.
    pub(crate) counting: Option<Counting>,
}

/// How instructions are counted.
#[derive(Debug, Clone)]
pub(crate) enum Counting {
    /// By the time-stamp counter that the guest reads.
    Clock,
    /// By that, and by a plugin with these arguments.
    Plugin(String),
}

/// What the first process says first (`init.sh`).
const BOOTED: &str = "GUEST BOOT";

/// How long that may take if instructions are not counted; it takes ten seconds. The emulator may hang
/// before that if the machine is busy and the guest has several CPUs.
const BOOT_TIMEOUT: Duration = Duration::from_secs(300);

/// A guest's console, and whether it was ended for taking too long.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) console: String,
    pub(crate) booted: bool,
    pub(crate) timed_out: bool,
}

impl Qemu {
    /// Debian 13's, whatever the machine has: 7.2, which Debian 12 has, restores pages of `wks`
    /// wrongly (its emulation of AVX2 does; hardware and later versions are right), and crashes
    /// kernels from 6.12 on at boot (its emulation of cmpxchg16b).
    ///
    /// # Errors
    ///
    /// It cannot be fetched.
    pub(crate) fn find(state: &State) -> Result<Self> {
        let program = state.unpacked_program(DEBIAN, "qemu-system-x86_64", &["qemu-system-x86"])?;
        let root = state.debian(DEBIAN)?.root().to_path_buf();
        Ok(Self {
            program,
            root,
            tsc_khz: tsc::frequency_khz(),
        })
    }

    /// Boots a kernel with a root file system and waits for the guest's end. The console is also
    /// written to `log` as it comes; with `echo` to standard output.
    ///
    /// # Errors
    ///
    /// QEMU cannot be started.
    pub(crate) fn boot(
        &self,
        machine: &Machine,
        kernel: &Path,
        initramfs: &Path,
        log: &Path,
        echo: bool,
    ) -> Result<Transcript> {
        let mut command = self.command(machine, kernel, initramfs);
        let errors = log.with_extension("qemu");
        let mut guest = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let output = guest.stdout.take().context("standard output is piped")?;
        let mut file = File::create(log)?;
        let (sender, lines) = mpsc::channel();
        let mut transcript = Transcript::default();
        std::thread::scope(|scope| -> Result<()> {
            scope.spawn(move || {
                let mut reader = BufReader::new(output);
                let mut line = Vec::new();
                while reader
                    .read_until(b'\n', &mut line)
                    .is_ok_and(|length| length > 0)
                {
                    if sender
                        .send(String::from_utf8_lossy(&line).into_owned())
                        .is_err()
                    {
                        return;
                    }
                    line.clear();
                }
            });
            let start = Instant::now();
            loop {
                let limit = match transcript.booted || machine.counting.is_some() {
                    true => machine.timeout,
                    false => machine.timeout.min(BOOT_TIMEOUT),
                };
                match lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
                    Ok(line) => {
                        file.write_all(line.as_bytes())?;
                        if echo {
                            print!("{}", line.replace('\r', ""));
                        }
                        transcript.booted |= line.contains(BOOTED);
                        transcript.console += &line;
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        transcript.timed_out = true;
                        // The reader ends with the pipe.
                        guest.kill()?;
                        return Ok(());
                    }
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            }
        })?;
        guest.wait()?;
        let errors_said = fs::read_to_string(&errors).unwrap_or_default();
        if transcript.console.is_empty() && !errors_said.is_empty() {
            bail!("QEMU failed: {}", errors_said.trim());
        }
        let _ = fs::remove_file(&errors);
        Ok(transcript)
    }

    fn command(&self, machine: &Machine, kernel: &Path, initramfs: &Path) -> Command {
        let mut command = Command::new(&self.program);
        // It looks for its parts beside its executable, which is the loader's.
        command.env(
            "QEMU_MODULE_DIR",
            self.root.join("usr/lib/x86_64-linux-gnu/qemu"),
        );
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.root.join(firmware));
        }
        // The string instructions that count as one each would make copies look free.
        let (accelerator, cpu) = if let Some(counting) = &machine.counting {
            if let Counting::Plugin(plugin) = counting {
                command.args(["-plugin", plugin]);
            }
            command.args(["-icount", "shift=0,sleep=off"]);
            ("tcg,thread=single", "max,-erms,-fsrm,-fsrs,-fzrm,-fsrc")
        } else {
            ("tcg", "max")
        };
        let mut append = format!(
            "console=ttyS0 loglevel=5 panic=-1 oops=panic random.trust_cpu=on {}",
            machine.append
        );
        if let (Some(khz), None) = (self.tsc_khz, &machine.counting) {
            append += &format!(" tsc_early_khz={khz}");
        }
        command
            .args(["-accel", accelerator, "-cpu", cpu])
            .args([
                "-smp",
                &machine.smp.to_string(),
                "-m",
                &machine.memory.to_string(),
            ])
            .args([
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
                "-nic",
                "none",
            ])
            .args(["-serial", "stdio"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", &append]);
        command
    }
}
