//! A table `[[mount]]`.

use std::path::Path;

use toml::de::DeValue;

use super::section::{Section, Wrong};
use super::settings::Config;
use super::value::{absolute_path, boolean, codec, found, kilobytes, whole};
use crate::protocol::{DIRTY_AFTER, FLAGS, GIVE_UP_AFTER, MountSettings, MountSpec, REVALIDATE};
use crate::size::Size;

/// A mount in a file. Keys that are not there change nothing.
pub(super) struct Mount {
    at: usize,
    spec: MountSpec,
}

impl Mount {
    /// Reads the table.
    pub(super) fn read(mut from: Section<'_>) -> Result<Mount, Wrong> {
        let at = from.at();
        let spec = MountSpec {
            mountpoint: from.needed("mountpoint", "\"/mnt/fast\"", absolute_path)?,
            source: from.value("source", absolute_path)?,
            settings: MountSettings {
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
                flags: from.value("options", flags)?,
            },
        };
        from.end()?;
        Ok(Mount { at, spec })
    }

    /// Where it stands in the file.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where it is to be.
    pub(super) fn mountpoint(&self) -> &Path {
        &self.spec.mountpoint
    }

    /// Lays it over what is known of a mount at the same place.
    pub(super) fn add_to(self, config: &mut Config, origin: String) {
        let MountSpec {
            source,
            mountpoint,
            settings,
        } = self.spec;
        let into = config.mounts.entry(mountpoint.clone()).or_default();
        into.spec.mountpoint = mountpoint;
        into.spec.source = source.or(into.spec.source.take());
        into.spec.settings = settings.or(std::mem::take(&mut into.spec.settings));
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
