//! A table `[[mount]]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::Config;
use super::value::{MAX_KB, absolute_path, codec, within};
use crate::mounts::plan::{FLAGS, MAX_SECONDS};
use crate::size::Size;

/// The longest time.
const SECONDS: i64 = MAX_SECONDS as i64;

/// A mount in a file. Keys that are not there change nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mount {
    #[serde(deserialize_with = "mountpoint")]
    mountpoint: PathBuf,
    #[serde(default, deserialize_with = "absolute_path")]
    source: Option<PathBuf>,
    #[serde(default, deserialize_with = "within::<_, u64, 1, MAX_KB>")]
    size_kb: Option<u64>,
    #[serde(default, deserialize_with = "within::<_, u64, 1, MAX_KB>")]
    cache_kb: Option<u64>,
    #[serde(default, deserialize_with = "codec")]
    codec: Option<String>,
    write_back: Option<bool>,
    #[serde(default, deserialize_with = "within::<_, u32, 1, SECONDS>")]
    dirty_after: Option<u32>,
    #[serde(default, deserialize_with = "within::<_, u64, 1, MAX_KB>")]
    dirty_limit_kb: Option<u64>,
    strict: Option<bool>,
    #[serde(default, deserialize_with = "within::<_, u32, 0, SECONDS>")]
    revalidate: Option<u32>,
    #[serde(default, deserialize_with = "within::<_, u32, 1, SECONDS>")]
    give_up_after: Option<u32>,
    allow_other: Option<bool>,
    #[serde(default, deserialize_with = "flags")]
    options: Option<Vec<String>>,
}

impl Mount {
    /// Where it is to be.
    pub(super) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Lays it over what is known of a mount at the same place.
    pub(super) fn add_to(self, config: &mut Config, origin: String) {
        let into = config.mounts.entry(self.mountpoint.clone()).or_default();
        let kb = |kb: Option<u64>| kb.map(|kb| Size::Bytes(kb << 10));
        let spec = &mut into.spec;
        spec.mountpoint = self.mountpoint;
        spec.source = self.source.or(spec.source.take());
        spec.size = kb(self.size_kb).or(spec.size);
        spec.cache = kb(self.cache_kb).or(spec.cache);
        spec.codec = self.codec.or(spec.codec.take());
        spec.write_back = self.write_back.unwrap_or(spec.write_back);
        spec.dirty_after = self.dirty_after.or(spec.dirty_after);
        spec.dirty_limit = kb(self.dirty_limit_kb).or(spec.dirty_limit);
        spec.strict = self.strict.unwrap_or(spec.strict);
        spec.revalidate = self.revalidate.or(spec.revalidate);
        spec.give_up_after = self.give_up_after.or(spec.give_up_after);
        spec.allow_other = self.allow_other.or(spec.allow_other);
        if let Some(options) = self.options {
            spec.flags = options;
        }
        into.origin = origin;
    }
}

fn mountpoint<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    Ok(absolute_path(from)?.unwrap_or_default())
}

fn flags<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let flags = Vec::<String>::deserialize(from)?;
    match flags.iter().find(|flag| !FLAGS.contains(&flag.as_str())) {
        None => Ok(Some(flags)),
        Some(flag) => Err(D::Error::custom(format!(
            "\"{flag}\" is not a mount option: give {}",
            FLAGS.join(", ")
        ))),
    }
}
