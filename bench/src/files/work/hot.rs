//! Reads of what the kernel's page cache holds: they should not reach us.

use anyhow::Result;

use super::job::{Job, Measured, Part, Peers, Target, Work};
use crate::files::config::Config;
use crate::files::data::corpus;
use crate::files::setup::Setup;
use crate::load::Reply;
use crate::load::files::Request;

#[derive(Debug)]
struct Hot(Request);

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let data = corpus::get(config.store, config.limit / 6)?;
    let read = |reads, bytes| Request::Hot {
        reads: config.scaled(reads),
        bytes,
    };
    let touches = config.scaled(20_000_000);
    let kinds = [
        ("pread 4K", read(2_000_000, 4 << 10)),
        ("pread 64K", read(200_000, 64 << 10)),
        ("mmap", Request::Mapped { touches }),
    ];
    Ok(kinds
        .into_iter()
        .map(|(name, request)| Job {
            target: Some(Target {
                part: Part::Steady,
                throttled: 1.02,
                unthrottled: 1.02,
            }),
            throttled: false,
            peers: Peers::None,
            ..Job::new(config, format!("hot, {name}"), data.clone(), Hot(request))
        })
        .collect())
}

impl Work for Hot {
    fn run(&self, setup: &mut Setup, round: u64) -> Result<Measured> {
        let mut worker = setup.worker(round)?;
        let mut request = |request: &Request| worker.call::<Reply>(request);
        let first = request(&Request::Sequential { skip: 0 })?;
        // Whatever was dropped behind the first pass comes back.
        request(&Request::Sequential { skip: 0 })?;
        let hot = request(&self.0)?;
        Ok(Measured {
            first_s: first.seconds,
            steady_s: hot.seconds,
            ..Measured::default()
        })
    }
}
