//! The program `compcache`.

use std::process::ExitCode;

fn main() -> ExitCode {
    compcache::program::main()
}
