//! The program `rzscontrol`.

use std::process::ExitCode;

fn main() -> ExitCode {
    compcache::rzscontrol::main()
}
