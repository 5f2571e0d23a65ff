//! A table `[[mount]]`.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::section::{Section, Wrong};
use super::settings::Config;
use super::value::{absolute_path, boolean, codec, found, kilobytes, whole};
use crate::mounts::plan::{DIRTY_AFTER, FLAGS, GIVE_UP_AFTER, REVALIDATE};
use crate::size::Size;

/// A mount in a file. Keys that are not there change nothing.
pub(super) struct Mount {
    at: usize,
    mountpoint: PathBuf,
    source: Option<PathBuf>,
    size: Option<Size>,
    cache: Option<Size>,
    codec: Option<String>,
    write_back: Option<bool>,
    dirty_after: Option<u32>,
    dirty_limit: Option<Size>,
    strict: Option<bool>,
    revalidate: Option<u32>,
    give_up_after: Option<u32>,
    allow_other: Option<bool>,
    options: Option<Vec<String>>,
}

impl Mount {
    /// Reads the table.
    pub(super) fn read(mut from: Section<'_>) -> Result<Mount, Wrong> {
        let mount = Mount {
            at: from.at(),
            mountpoint: from.needed("mountpoint", "\"/mnt/fast\"", absolute_path)?,
            source: from.value("source", absolute_path)?,
            size: from.value("size_kb", size)?,
            cache: from.value("cache_kb", size)?,
            codec: from.value("codec", codec)?,
            write_back: from.value("write_back", boolean)?,
            dirty_after: from.value("dirty_after", whole(DIRTY_AFTER))?,
            dirty_limit: from.value("dirty_limit_kb", size)?,
            strict: from.value("strict", boolean)?,
            revalidate: from.value("revalidate", whole(REVALIDATE))?,
            give_up_after: from.value("give_up_after", whole(GIVE_UP_AFTER))?,
            allow_other: from.value("allow_other", boolean)?,
            options: from.value("options", flags)?,
        };
        from.end()?;
        Ok(mount)
    }

    /// Where it stands in the file.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where it is to be.
    pub(super) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Lays it over what is known of a mount at the same place.
    pub(super) fn add_to(self, config: &mut Config, origin: String) {
        let into = config.mounts.entry(self.mountpoint.clone()).or_default();
        let spec = &mut into.spec;
        spec.mountpoint = self.mountpoint;
        spec.source = self.source.or(spec.source.take());
        spec.size = self.size.or(spec.size);
        spec.cache = self.cache.or(spec.cache);
        spec.codec = self.codec.or(spec.codec.take());
        spec.write_back = self.write_back.unwrap_or(spec.write_back);
        spec.dirty_after = self.dirty_after.or(spec.dirty_after);
        spec.dirty_limit = self.dirty_limit.or(spec.dirty_limit);
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

fn size(value: &DeValue<'_>) -> Result<Size, String> {
    kilobytes(value).map(Size::Bytes)
}

fn flags(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let known = FLAGS.join(", ");
    let flag = |value: &DeValue<'_>| match value.as_str() {
        Some(flag) if FLAGS.contains(&flag) => Ok(flag.to_owned()),
        Some(flag) => Err(format!("{flag:?} is not a mount option: give {known}")),
        None => Err(format!(
            "{}: give strings in double quotes, of {known}",
            found(value)
        )),
    };
    let Some(flags) = value.as_array() else {
        return Err(format!(
            "{}: give an array of strings, of {known}, as in [\"ro\", \"noexec\"]",
            found(value)
        ));
    };
    flags.iter().map(|value| flag(value.get_ref())).collect()
}
