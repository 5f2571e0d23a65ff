//! From a mount's specification to its options: defaults and checks.

use std::fs;
use std::time::Duration;

use compcache_engine::CodecSpec;
use compcache_files::{Limits, MountOptions, WritePolicy};
use compcache_host::counts::Count;
use compcache_host::overcommit::StrictOvercommit;

use crate::integer::Numbers;
use crate::protocol::{
    DEFAULT_DIRTY_AFTER, DEFAULT_GIVE_UP_AFTER, DEFAULT_REVALIDATE, DIRTY_AFTER, ErrorCode, FLAGS,
    GIVE_UP_AFTER, MountSettings, MountSpec, REVALIDATE, Refusal,
};
use crate::size::{Size, human};

/// Per cent of the memory that a cache may take by default.
pub const CACHE_PERCENT: u32 = 50;
/// The smallest cache, and the least that a cache shrinks to: 1 MiB.
const MIN_CACHE: u64 = 1 << 20;
/// The share of the cache that it never shrinks below.
const FLOOR_SHARE: u64 = 64;
/// The share of the cache that may be dirty by default.
pub const DIRTY_SHARE: u64 = 4;
/// The smallest limit of dirty pages: 1 MiB, the largest write of the kernel.
const MIN_DIRTY: u64 = 1 << 20;
/// What compresses the pages of a mount by default: they wait for long, and a source is slower than any codec.
pub const DEFAULT_CODEC: CodecSpec = CodecSpec::ZSTD;
/// Where an administrator lets users open their mounts to others.
const FUSE_CONF: &str = "/etc/fuse.conf";

/// On what a plan depends beside the user's wish.
#[derive(Clone, Copy, Debug)]
pub struct Environment {
    /// Memory that this process can have, in bytes.
    pub memory: u64,
    /// Whether it may do as root does.
    pub root: bool,
    /// Whether users may open their mounts to others.
    pub user_allow_other: bool,
    /// Whether the kernel refuses memory although some is free.
    pub overcommit: Option<StrictOvercommit>,
}

impl Environment {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Environment {
        Environment {
            memory: super::memory::available(),
            root: rustix::process::geteuid().is_root(),
            user_allow_other: fs::read_to_string(FUSE_CONF).is_ok_and(|text| allows_other(&text)),
            overcommit: StrictOvercommit::now(),
        }
    }
}

/// The options of a mount, and warnings for its user.
///
/// # Errors
/// `EINVAL` for a value that can't be used, `EPERM` for one that needs root.
pub fn options(
    spec: &MountSpec,
    environment: Environment,
) -> Result<(MountOptions, Vec<String>), Refusal> {
    kind(spec)?;
    let settings = &spec.settings;
    let limits = limits(settings, environment.memory)?;
    let codec = match &settings.codec {
        Some(text) => text.parse().map_err(|e| invalid(format!("codec: {e}")))?,
        None => DEFAULT_CODEC,
    };
    let flags = settings.flags.as_deref().unwrap_or_default();
    if let Some(flag) = flags.iter().find(|f| !FLAGS.contains(&f.as_str())) {
        return Err(invalid(format!(
            "\"{flag}\" is not a mount option: give {}",
            FLAGS.join(", ")
        )));
    }
    let strict = environment.overcommit.map(|strict| strict.to_string());
    let mut warnings: Vec<_> = strict.into_iter().collect();
    if limits.cache > environment.memory {
        warnings.push(format!(
            "the cache may take {}, more than the {} of memory that this daemon can have",
            human(limits.cache),
            human(environment.memory)
        ));
    }
    let seconds = |name, value: Option<u32>, default, numbers: Numbers| {
        let value = value.unwrap_or(default);
        if numbers.contains(value) {
            return Ok(Duration::from_secs(value.into()));
        }
        Err(invalid(format!(
            "{name} of {value} seconds is out of range: give {numbers}"
        )))
    };
    let options = MountOptions {
        source: spec.source.clone(),
        mountpoint: spec.mountpoint.clone(),
        size: settings
            .size
            .map(|size| bytes(size, environment.memory))
            .transpose()?,
        limits: Limits {
            dirty_after: seconds(
                "dirty-after",
                settings.dirty_after,
                DEFAULT_DIRTY_AFTER,
                DIRTY_AFTER,
            )?,
            ..limits
        },
        codec,
        write: if settings.is_write_back() {
            WritePolicy::Back
        } else {
            WritePolicy::Through
        },
        strict: settings.is_strict(),
        revalidate: seconds(
            "revalidate",
            settings.revalidate,
            DEFAULT_REVALIDATE,
            REVALIDATE,
        )?,
        give_up_after: seconds(
            "give-up-after",
            settings.give_up_after,
            DEFAULT_GIVE_UP_AFTER,
            GIVE_UP_AFTER,
        )?,
        allow_other: allow_other(settings, environment)?,
        flags: flags.to_vec(),
        workers: None,
        budget: None,
        dirty_pages: Count::default(),
    };
    Ok((options, warnings))
}

/// Refuses what only the other kind of mount, or another write policy, takes.
fn kind(spec: &MountSpec) -> Result<(), Refusal> {
    let MountSpec {
        source, settings, ..
    } = spec;
    let ram = source.is_none();
    if ram && settings.size.is_none() {
        let message = "a mount in memory needs a size: give --size, for example --size 1G";
        return Err(invalid(message));
    }
    if !ram && settings.size.is_some() {
        let message = "size is for mounts in memory only (--ram): a mount of a directory is as \
                       large as that; its memory is set by cache";
        return Err(invalid(message));
    }
    let of_source = [
        ("write-back", settings.is_write_back()),
        ("strict", settings.is_strict()),
        ("revalidate", settings.revalidate.is_some()),
        ("give-up-after", settings.give_up_after.is_some()),
    ];
    if let Some((name, _)) = of_source.iter().find(|(_, is_set)| ram && *is_set) {
        return Err(invalid(format!(
            "{name} is for mounts of a directory: a mount in memory has no source; omit it"
        )));
    }
    let of_back = [
        ("dirty-after", settings.dirty_after.is_some()),
        ("dirty-limit", settings.dirty_limit.is_some()),
    ];
    if let Some((name, _)) = of_back
        .iter()
        .find(|(_, is_set)| !settings.is_write_back() && *is_set)
    {
        return Err(invalid(format!(
            "{name} is for write-back only: nothing is dirty without; give --write-back too"
        )));
    }
    Ok(())
}

fn limits(settings: &MountSettings, memory: u64) -> Result<Limits, Refusal> {
    let size = settings.cache.unwrap_or(Size::Percent(CACHE_PERCENT));
    let cache = bytes(size, memory)?;
    if cache < MIN_CACHE {
        return Err(invalid(format!(
            "a cache of {} is too small: give at least {}",
            size.with_unit(),
            human(MIN_CACHE)
        )));
    }
    let dirty = match settings.dirty_limit {
        Some(size) => match bytes(size, cache)? {
            dirty if dirty < MIN_DIRTY => {
                return Err(invalid(format!(
                    "a dirty-limit of {} is too small: give at least {}",
                    size.with_unit(),
                    human(MIN_DIRTY)
                )));
            }
            dirty => dirty,
        },
        None => (cache / DIRTY_SHARE).max(MIN_DIRTY),
    };
    Ok(Limits {
        cache,
        floor: (cache / FLOOR_SHARE).max(MIN_CACHE),
        dirty_after: Duration::ZERO,
        dirty,
    })
}

fn allow_other(settings: &MountSettings, environment: Environment) -> Result<bool, Refusal> {
    let wanted = settings.allow_other.unwrap_or(environment.root);
    if wanted && !environment.root && !environment.user_allow_other {
        let message = format!(
            "allow-other needs the line user_allow_other in {FUSE_CONF}, which only root can \
             add; omit allow-other to mount for yourself alone"
        );
        return Err(Refusal::new(ErrorCode::Eperm, message));
    }
    Ok(wanted)
}

fn bytes(size: Size, whole: u64) -> Result<u64, Refusal> {
    size.resolve(whole).map_err(|e| invalid(e.to_string()))
}

fn allows_other(conf: &str) -> bool {
    conf.lines().any(|line| line.trim() == "user_allow_other")
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::Einval, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const ROOT: Environment = Environment {
        memory: 4 * GIB,
        root: true,
        user_allow_other: false,
        overcommit: None,
    };

    fn directory() -> MountSpec {
        MountSpec {
            source: Some("/a".into()),
            mountpoint: "/b".into(),
            ..MountSpec::default()
        }
    }

    fn ram() -> MountSpec {
        MountSpec {
            mountpoint: "/b".into(),
            settings: MountSettings {
                size: Some(Size::Bytes(GIB)),
                ..MountSettings::default()
            },
            ..MountSpec::default()
        }
    }

    fn with(mut spec: MountSpec, change: impl FnOnce(&mut MountSettings)) -> MountSpec {
        change(&mut spec.settings);
        spec
    }

    fn refused(spec: &MountSpec, environment: Environment, words: &[&str]) {
        let refusal = options(spec, environment).unwrap_err();
        for word in words {
            assert!(refusal.message.contains(word), "{word}: {refusal}");
        }
    }

    #[test]
    fn defaults() {
        let (options, warnings) = options(&directory(), ROOT).unwrap();
        assert_eq!(warnings, [""; 0]);
        let limits = Limits {
            cache: 2 * GIB,
            floor: GIB / 32,
            dirty_after: Duration::from_secs(30),
            dirty: GIB / 2,
        };
        assert_eq!(options.limits, limits);
        assert_eq!(options.codec, CodecSpec::ZSTD);
        assert_eq!(options.write, WritePolicy::Through);
        assert_eq!(options.revalidate, Duration::from_secs(60));
        assert_eq!(options.give_up_after, Duration::from_secs(30));
        assert!(options.allow_other && !options.strict);
    }

    #[test]
    fn options_are_taken() {
        let settings = MountSettings {
            size: None,
            cache: Some(Size::Percent(25)),
            codec: Some("zstd:1".into()),
            write_back: Some(true),
            dirty_after: Some(5),
            dirty_limit: Some(Size::Percent(50)),
            strict: Some(true),
            revalidate: Some(0),
            give_up_after: Some(300),
            allow_other: Some(false),
            flags: Some(vec!["ro".into(), "nosuid".into()]),
        };
        let spec = with(directory(), |s| *s = settings);
        let (options, _) = options(&spec, ROOT).unwrap();
        assert_eq!(options.limits.cache, GIB);
        assert_eq!(options.limits.dirty, GIB / 2);
        assert_eq!(options.limits.dirty_after, Duration::from_secs(5));
        assert_eq!(options.give_up_after, Duration::from_secs(300));
        assert_eq!(options.codec, CodecSpec::ZSTD);
        assert_eq!(options.write, WritePolicy::Back);
        assert_eq!(options.flags, ["ro", "nosuid"]);
        assert!(options.strict && !options.allow_other && options.revalidate.is_zero());
    }

    #[test]
    fn a_small_cache_has_the_smallest_floor_and_dirty_limit() {
        let spec = with(directory(), |s| s.cache = Some(Size::Bytes(MIN_CACHE)));
        let (options, _) = options(&spec, ROOT).unwrap();
        assert_eq!(options.limits.floor, MIN_CACHE);
        assert_eq!(options.limits.dirty, MIN_DIRTY);
    }

    #[test]
    fn more_than_the_memory_is_said() {
        let spec = with(directory(), |s| s.cache = Some(Size::Percent(200)));
        let (_, warnings) = options(&spec, ROOT).unwrap();
        assert!(warnings[0].contains("8G") && warnings[0].contains("4G"));
        let strict = Environment {
            overcommit: Some(StrictOvercommit { left: 5 << 20 }),
            ..ROOT
        };
        let (_, warnings) = options(&directory(), strict).unwrap();
        assert!(
            matches!(&warnings[..], [one] if one.contains("5120 kB")),
            "{warnings:?}"
        );
    }

    #[test]
    fn bad_values_are_refused_with_value_and_limit() {
        type Change = fn(&mut MountSettings);
        let cases: [(Change, &[&str]); 10] = [
            (
                |s| s.cache = Some(Size::Bytes(1024)),
                &["cache of 1K", "1M"],
            ),
            (|s| s.codec = Some("gzip".into()), &["gzip", "lz4"]),
            (|s| s.size = Some(Size::Bytes(GIB)), &["--ram"]),
            (
                |s| s.dirty_after = Some(5),
                &["dirty-after", "--write-back"],
            ),
            (
                |s| s.dirty_limit = Some(Size::Bytes(GIB)),
                &["dirty-limit", "--write-back"],
            ),
            (
                |s| (s.write_back, s.dirty_after) = (Some(true), Some(0)),
                &["dirty-after of 0", "1 to 86400"],
            ),
            (
                |s| (s.write_back, s.dirty_limit) = (Some(true), Some(Size::Bytes(5000))),
                &["dirty-limit of 5000 bytes", "1M"],
            ),
            (
                |s| s.revalidate = Some(86_401),
                &["revalidate of 86401", "0 to 86400"],
            ),
            (
                |s| s.give_up_after = Some(0),
                &["give-up-after of 0", "1 to 86400"],
            ),
            (|s| s.flags = Some(vec!["loop".into()]), &["loop", "nosuid"]),
        ];
        for (change, words) in cases {
            refused(&with(directory(), change), ROOT, words);
        }
    }

    #[test]
    fn mounts_in_memory_take_no_options_of_a_source() {
        options(&ram(), ROOT).unwrap();
        refused(&with(ram(), |s| s.size = None), ROOT, &["--size"]);
        let strict = with(ram(), |s| s.strict = Some(true));
        refused(&strict, ROOT, &["strict", "no source"]);
        let back = with(ram(), |s| s.write_back = Some(true));
        refused(&back, ROOT, &["write-back", "no source"]);
    }

    #[test]
    fn others_are_let_in_by_root_or_by_the_administrator() {
        let user = Environment {
            root: false,
            ..ROOT
        };
        assert!(!options(&directory(), user).unwrap().0.allow_other);
        let open = with(directory(), |s| s.allow_other = Some(true));
        refused(&open, user, &["user_allow_other", "/etc/fuse.conf"]);
        let allowed = Environment {
            user_allow_other: true,
            ..user
        };
        assert!(options(&open, allowed).unwrap().0.allow_other);
        assert!(allows_other("# a\n user_allow_other \n"));
        assert!(!allows_other("#user_allow_other\nmount_max = 1\n"));
    }
}
