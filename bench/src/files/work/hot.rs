//! Reads of what the kernel's page cache holds: they should not reach us.

use anyhow::Result;

use super::{Job, Measured, Part, Peers, Setting, Target, Work};
use crate::files::data::corpus;
use crate::files::orders::{Done, Order};
use crate::files::stage::Stage;

/// Reads of one kind.
#[derive(Debug)]
struct Hot(Order);

/// A job for each kind of read.
///
/// # Errors
/// Where the files cannot be made.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let data = corpus::get(setting.store, setting.limit / 6)?;
    let kinds = [
        (
            "pread 4K",
            Order::Hot {
                reads: setting.scaled(2_000_000),
                bytes: 4 << 10,
            },
        ),
        (
            "pread 64K",
            Order::Hot {
                reads: setting.scaled(200_000),
                bytes: 64 << 10,
            },
        ),
        (
            "mmap",
            Order::Mapped {
                touches: setting.scaled(20_000_000),
            },
        ),
    ];
    Ok(kinds
        .into_iter()
        .map(|(name, order)| Job {
            target: Some(Target {
                part: Part::Steady,
                throttled: 1.02,
                unthrottled: 1.02,
            }),
            throttled: false,
            peers: Peers::None,
            ..Job::new(setting, format!("hot, {name}"), data.clone(), Hot(order))
        })
        .collect())
}

impl Work for Hot {
    fn run(&self, stage: &mut Stage, round: u64) -> Result<Measured> {
        let mut hand = stage.hand(round)?;
        let mut order = |order: &Order| -> Result<Done> {
            hand.order(order)?;
            hand.answer()
        };
        let first = order(&Order::Sequential { skip: 0 })?;
        // Whatever was dropped behind the first pass comes back.
        order(&Order::Sequential { skip: 0 })?;
        let hot = order(&self.0)?;
        Ok(Measured {
            first_s: first.seconds,
            steady_s: hot.seconds,
            ..Measured::default()
        })
    }
}
