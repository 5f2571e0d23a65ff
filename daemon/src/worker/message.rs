//! What the daemon and its mount process say to each other. Both are the same program.

use std::path::PathBuf;

use compcache_files::MountOptions;
use serde::{Deserialize, Serialize};

use crate::process::ProcessOptions;
use crate::protocol::{Kind, Message, Refusal};
use crate::types::{Ending, Loss, MountStatus};

/// Number of a mount: no other of this daemon has had it or will have it.
pub(super) type MountId = u64;

/// What the daemon tells a process that begins, as the first word of the first conversation, with the
/// descriptor of the [counts](compcache_host::counts::SharedCounts) of dirty pages. That conversation carries
/// `Event`s from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// As the daemon's `-v`.
    pub verbose: u8,
    /// The filter of the log that is configured.
    pub log: String,
    /// What to ask of the kernel for the process.
    pub process: ProcessOptions,
    /// How long idle CPUs may take to wake: as on the command line.
    pub cpu_latency: String,
    /// Most bytes for swap devices and mounts together.
    pub memory_limit: Option<u64>,
    /// The file that it locks for as long as it has mounts.
    pub lock: PathBuf,
    /// The daemon's process id.
    pub daemon: u32,
}

impl Message for Begin {
    const KIND: Kind = Kind::Begin;
}

/// What is taken of the memory limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Taken {
    /// Bytes that the swap devices take.
    pub(super) swap: u64,
    /// Bytes that the caches of all mounts may take.
    pub(super) caches: u64,
}

/// What the daemon asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Order {
    /// Makes a mount. Answer: [`Answer::Status`].
    Mount {
        mount: MountId,
        /// Which of the shared counts is that of its dirty pages.
        count: usize,
        options: Box<MountOptions>,
        taken: Taken,
    },
    /// Answer: [`Answer::Status`].
    Status { mount: MountId },
    /// Writes dirty pages out. Answer: [`Answer::Done`].
    Sync { mount: MountId },
    /// Writes dirty pages out and unmounts. Answer: [`Answer::Done`].
    Unmount { mount: MountId, lazy: bool },
    /// Ends a mount, whatever its source does. Answer: [`Answer::Ended`].
    End { mount: MountId },
    /// What is taken of the memory limit has changed. Answer: [`Answer::Done`].
    Taken { taken: Taken },
    /// Answer: [`Answer::Done`].
    Ping,
}

impl Message for Order {
    const KIND: Kind = Kind::Order;
}

/// What the mount process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    /// It was done.
    Done,
    /// A mount as it is now.
    Status { status: Box<MountStatus> },
    /// How a mount has ended.
    Ended { ending: Ending },
    /// It has no such mount any more: it is over, which the events say.
    Gone,
    /// It was refused or failed, and nothing was changed.
    Refused(Refusal),
}

impl Message for Answer {
    const KIND: Kind = Kind::Answer;
}

/// What the mount process tells by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Event {
    /// It is ready.
    Begun {
        /// A thread that waits for no source, and ends only with the process.
        thread: u32,
    },
    /// A mount is over, whoever has unmounted it.
    Ended {
        mount: MountId,
        /// What was given up.
        loss: Option<Loss>,
        /// Why something could not be written out.
        unwritten: Option<Refusal>,
    },
    /// A mount has asked for its share of the memory limit: what is taken of it is to be told again.
    ShareAsked,
}

impl Message for Event {
    const KIND: Kind = Kind::Event;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use compcache_engine::CodecSpec;
    use compcache_files::{Limits, WritePolicy};

    use super::*;
    use crate::protocol::{decode, encode};

    #[test]
    fn a_mount_arrives_as_it_was_sent() {
        let options = MountOptions {
            source: Some("/a,b c".into()),
            mountpoint: "/m".into(),
            size: None,
            limits: Limits {
                cache: u64::MAX,
                floor: 1,
                dirty_after: Duration::from_millis(1500),
                dirty: 2,
            },
            codec: "zstd:7".parse().unwrap(),
            write: WritePolicy::Back,
            strict: true,
            revalidate: Duration::from_secs(60),
            give_up_after: Duration::from_secs(30),
            allow_other: true,
            flags: vec!["ro".into()],
            workers: Some(3),
            budget: None,
            dirty_pages: Default::default(),
        };
        let order = Order::Mount {
            mount: 7,
            count: 3,
            options: Box::new(options.clone()),
            taken: Taken::default(),
        };
        let frame = encode(&order).unwrap();
        let (arrived, length) = decode::<Order>(&frame).unwrap().unwrap();
        assert_eq!(length, frame.len());
        let Order::Mount {
            mount: 7,
            count: 3,
            options: arrived,
            ..
        } = arrived
        else {
            panic!("{arrived:?}");
        };
        assert_ne!(options.codec, CodecSpec::ZSTD);
        assert_eq!(format!("{arrived:?}"), format!("{options:?}"));
    }

    #[test]
    fn endings_arrive_as_they_were_sent() {
        let loss = Loss {
            mountpoint: "/m".into(),
            reason: "why".into(),
            files: 2,
            bytes: 8192,
        };
        for ending in [
            Ending::Unmounted,
            Ending::Detached,
            Ending::GivenUp(loss.into()),
        ] {
            let answer = Answer::Ended {
                ending: ending.clone(),
            };
            let frame = encode(&answer).unwrap();
            match decode(&frame).unwrap().unwrap().0 {
                Answer::Ended { ending: arrived } => assert_eq!(arrived, ending),
                other => panic!("{other:?}"),
            }
        }
    }
}
