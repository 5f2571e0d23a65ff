//! What of ours is measured: codecs, and the transports that reach them.

use std::fmt;

use clap::Args;
use compcache_device::settings::Channel;
use compcache_engine::codec::{Builtin, CodecSpec, Codecs};

use crate::report::positive;

/// Every codec at its default level, and the fast mode of `wks`.
pub(crate) fn codecs() -> impl Iterator<Item = CodecSpec> {
    Builtin::selectable()
        .filter_map(|id| CodecSpec::new(id).ok())
        .chain([CodecSpec::WKS_FAST])
}

/// A device of ours that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) codec: CodecSpec,
    pub(crate) transport: Channel,
}

impl Policy {
    /// Whether this is the codec that a user gets who chooses none.
    pub(crate) fn has_default_codec(self) -> bool {
        self.codec == CodecSpec::default()
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ours {} ({})", self.codec, self.transport)
    }
}

/// Which kinds of swap or devices are measured, and how often.
#[derive(Clone, Debug, Args)]
pub(crate) struct Selection {
    /// Rounds, in each of which every one is measured once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    pub(crate) rounds: usize,
    /// Only those whose name contains this, beside what the others are compared with
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Every codec over each of these transports, fuse or fuse-uring [default: every codec over
    /// the daemon's own choice, the default codec over the others]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',',
          value_parser = str::parse::<Channel>)]
    pub(crate) transport: Vec<Channel>,
}

impl Selection {
    /// Whether this one is measured, if the others are compared with the `references`.
    pub(crate) fn takes(&self, contender: &impl fmt::Display, references: &[String]) -> bool {
        let name = contender.to_string();
        let is_wanted = |only: &String| name.contains(only.as_str()) || references.contains(&name);
        self.only.as_ref().is_none_or(is_wanted)
    }
}

/// Every codec over each of the `transports`; if none is given, every codec over the one that
/// a user gets who chooses none, and the default codec over the others that the kernel has.
pub(crate) fn policies(transports: &[Channel]) -> Vec<Policy> {
    let policy = |transport| move |codec| Policy { codec, transport };
    let wanted: Vec<Policy> = if transports.is_empty() {
        let default = Channel::Auto.preferred();
        let others = [Channel::Fuse, Channel::FuseUring].into_iter();
        let others = others.filter(|channel| channel.is_supported());
        let others = others.map(|transport| policy(transport)(CodecSpec::default()));
        codecs().map(policy(default)).chain(others).collect()
    } else {
        let every = |channel: &Channel| codecs().map(policy(channel.preferred()));
        transports.iter().flat_map(every).collect()
    };
    let mut all: Vec<Policy> = Vec::new();
    for policy in wanted {
        if !all.contains(&policy) {
            all.push(policy);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_codec_is_measured_over_each_transport_and_no_policy_twice() {
        for transports in [
            &[][..],
            &[Channel::Fuse, Channel::FuseUring],
            &[Channel::Auto; 2],
        ] {
            let names: Vec<String> = policies(transports).iter().map(Policy::to_string).collect();
            let mut once = names.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), names.len(), "{names:?}");
            for codec in codecs() {
                let name = format!("ours {codec} (");
                assert!(names.iter().any(|n| n.starts_with(&name)), "{names:?}");
            }
        }
        let all = policies(&[Channel::Fuse, Channel::FuseUring]);
        assert_eq!(all.len(), codecs().count() * 2);
        assert_eq!(all[0].to_string(), "ours lzo (fuse)");
    }
}
