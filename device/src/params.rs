//! The parameters of a device. The rules of its sizes are the engine's ([`sizes`]).

use std::path::PathBuf;

use compcache_engine::CodecSpec;
use compcache_engine::disk::sizes::{self, Sizes, size};
use compcache_engine::disk::{MIN_DISKSIZE, MIN_MEMLIMIT};
use serde::{Deserialize, Serialize};

use crate::error::DeviceError;
use crate::settings::{BackingEncryption, ColdCodec, Recompress, recompress};
use crate::warning::Warning;

/// Parameters to set; those that are `None` stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParamsUpdate {
    /// Size of the disk in bytes, rounded down to whole pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disksize: Option<u64>,
    /// Most bytes of memory for pages, rounded down to whole pages; 0: no limit. What does not fit
    /// goes to the backing swap, or is refused if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memlimit: Option<u64>,
    /// The swap file or partition that takes what is not kept in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing_swap: Option<PathBuf>,
    /// Whether what goes there is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing_encryption: Option<BackingEncryption>,
    /// The codec for new pages, such as `lz4` or `zstd:3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// The codec with which cold pages are recompressed, or `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recompress: Option<String>,
    /// How long a page is neither read nor written before it is cold, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recompress_after: Option<u32>,
    /// The share of one CPU that recompression may use, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recompress_cpu: Option<u32>,
}

impl ParamsUpdate {
    /// Whether nothing is to be set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == ParamsUpdate::default()
    }

    /// Whether all that is to be set can be set on a device that is in use.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.disksize.is_none()
            && self.memlimit.is_none()
            && self.backing_swap.is_none()
            && self.backing_encryption.is_none()
    }

    /// These parameters, and those of `other` if these are `None`.
    #[must_use]
    pub fn or(self, other: ParamsUpdate) -> ParamsUpdate {
        ParamsUpdate {
            disksize: self.disksize.or(other.disksize),
            memlimit: self.memlimit.or(other.memlimit),
            backing_swap: self.backing_swap.or(other.backing_swap),
            backing_encryption: self.backing_encryption.or(other.backing_encryption),
            codec: self.codec.or(other.codec),
            recompress: self.recompress.or(other.recompress),
            recompress_after: self.recompress_after.or(other.recompress_after),
            recompress_cpu: self.recompress_cpu.or(other.recompress_cpu),
        }
    }
}

/// The parameters that a user has set on a device that is not initialised yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Size of the disk in bytes: whole pages.
    pub disksize: Option<u64>,
    /// Most bytes of memory for pages: whole pages. 0: no limit, with a backing swap either.
    pub memlimit: Option<u64>,
    /// The backing swap.
    pub backing_swap: Option<PathBuf>,
    /// Whether what goes there is encrypted.
    pub backing_encryption: Option<BackingEncryption>,
    /// The codec for new pages.
    pub codec: Option<CodecSpec>,
    /// The codec for cold pages, or none.
    pub recompress: Option<ColdCodec>,
    /// When a page is cold, in seconds.
    pub recompress_after: Option<u32>,
    /// The share of one CPU for recompression, in per cent.
    pub recompress_cpu: Option<u32>,
}

/// What a device is made with, after every rule was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Size of the disk in bytes: whole pages.
    pub disksize: u64,
    /// Most bytes of memory for pages.
    pub memlimit: Option<u64>,
    /// The codec for new pages.
    pub codec: CodecSpec,
    /// What becomes of cold pages.
    pub recompress: Recompress,
}

impl Params {
    /// These parameters with `update` laid over them. `backing` is the size in bytes of the
    /// backing swap, if there will be one.
    ///
    /// # Errors
    /// [`DeviceError`] if a value is out of range or breaks a rule.
    pub fn with(&self, update: &ParamsUpdate) -> Result<Params, DeviceError> {
        let mut params = self.clone();
        if let Some(bytes) = update.disksize {
            params.disksize = Some(size("disksize", bytes, MIN_DISKSIZE)?);
        }
        if let Some(bytes) = update.memlimit {
            params.memlimit = Some(match bytes {
                0 => 0,
                bytes => size("memlimit", bytes, MIN_MEMLIMIT)?,
            });
        }
        if let Some(path) = &update.backing_swap {
            params.backing_swap = Some(path.clone());
        }
        params.backing_encryption = update.backing_encryption.or(params.backing_encryption);
        if let Some(codec) = &update.codec {
            params.codec = Some(codec.parse()?);
        }
        if let Some(codec) = &update.recompress {
            let codec = codec.parse().map_err(DeviceError::RecompressCodec)?;
            params.recompress = Some(codec);
        }
        if let Some(seconds) = update.recompress_after {
            params.recompress_after = Some(recompress::after_seconds(seconds)?);
        }
        if let Some(percent) = update.recompress_cpu {
            params.recompress_cpu = Some(recompress::cpu_percent(percent)?);
        }
        Ok(params)
    }

    /// Applies the rules. `ram` is the machine's memory in bytes, `backing` the size of the
    /// backing swap in bytes, page 0 included, if there is one.
    ///
    /// The second value are warnings for the user.
    ///
    /// # Errors
    /// [`DeviceError`] if a rule refuses the parameters.
    pub fn resolve(
        &self,
        ram: u64,
        backing: Option<u64>,
    ) -> Result<(Resolved, Vec<Warning>), DeviceError> {
        let mut warnings = Vec::new();
        let sizes = Sizes {
            disksize: self.disksize,
            memlimit: self.memlimit,
        };
        let sizes::Resolved { disksize, memlimit } =
            sizes.resolve(ram, backing, |warning| warnings.push(warning.into()))?;
        Ok((
            Resolved {
                disksize,
                memlimit,
                codec: self.codec.unwrap_or_default(),
                recompress: self.recompress(),
            },
            warnings,
        ))
    }

    /// What becomes of cold pages.
    #[must_use]
    pub fn recompress(&self) -> Recompress {
        let default = Recompress::default();
        Recompress {
            codec: self.recompress.unwrap_or(default.codec),
            after_seconds: self.recompress_after.unwrap_or(default.after_seconds),
            cpu_percent: self.recompress_cpu.unwrap_or(default.cpu_percent),
        }
    }

    /// These parameters in the form in which a user sets them.
    #[must_use]
    pub fn to_update(&self) -> ParamsUpdate {
        ParamsUpdate {
            disksize: self.disksize,
            memlimit: self.memlimit,
            backing_swap: self.backing_swap.clone(),
            backing_encryption: self.backing_encryption,
            codec: self.codec.map(|codec| codec.to_string()),
            recompress: self.recompress.map(|codec| codec.to_string()),
            recompress_after: self.recompress_after,
            recompress_cpu: self.recompress_cpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const RAM: u64 = 1000 * MIB;

    fn set(update: ParamsUpdate) -> Result<Params, DeviceError> {
        Params::default().with(&update)
    }

    fn disksize(bytes: u64) -> ParamsUpdate {
        ParamsUpdate {
            disksize: Some(bytes),
            ..Default::default()
        }
    }

    fn memlimit(bytes: u64) -> ParamsUpdate {
        ParamsUpdate {
            memlimit: Some(bytes),
            backing_swap: Some("/swap".into()),
            ..Default::default()
        }
    }

    #[test]
    fn the_default_disk_is_a_quarter_of_the_ram() {
        let (resolved, warnings) = Params::default().resolve(RAM, None).unwrap();
        assert_eq!(resolved.disksize, 250 * MIB);
        assert_eq!(resolved.memlimit, None);
        assert_eq!(resolved.codec, CodecSpec::default());
        assert!(warnings.is_empty());
    }

    #[test]
    fn sizes_out_of_range_are_refused_by_name() {
        for (bytes, words) in [
            (0, "disksize 0 is refused: give a size of at least 40 kB"),
            (1, "disksize of 1 bytes is too small: give at least 40 kB"),
            (MIN_DISKSIZE - 1, "too small"),
            (u64::MAX, "too large: the limit is 17179869184 kB (16 TiB)"),
        ] {
            let message = set(disksize(bytes)).unwrap_err().to_string();
            assert!(message.contains(words), "{bytes}: {message}");
        }
    }

    #[test]
    fn with_a_backing_swap_the_disk_has_its_size() {
        let params = set(memlimit(10 * MIB)).unwrap();
        let (resolved, warnings) = params.resolve(RAM, Some(64 * MIB)).unwrap();
        assert_eq!(resolved.disksize, 64 * MIB);
        assert_eq!(resolved.memlimit, Some(10 * MIB));
        assert!(warnings.is_empty());

        let params = params.with(&disksize(32 * MIB)).unwrap();
        let (resolved, warnings) = params.resolve(RAM, Some(64 * MIB)).unwrap();
        assert_eq!(resolved.disksize, 64 * MIB);
        assert!(
            warnings[0]
                .to_string()
                .contains("disksize 32768 kB is ignored"),
            "{warnings:?}"
        );
        assert!(warnings[0].to_string().contains("65536 kB"), "{warnings:?}");
    }

    #[test]
    fn a_limit_needs_no_backing_swap() {
        let mut update = memlimit(10 * MIB);
        update.backing_swap = None;
        let (resolved, warnings) = set(update).unwrap().resolve(RAM, None).unwrap();
        assert_eq!(resolved.memlimit, Some(10 * MIB));
        assert_eq!(resolved.disksize, 250 * MIB);
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_limit_over_the_disk_is_refused() {
        let mut update = memlimit(10 * MIB);
        update.memlimit = None;
        let earlier = set(update).unwrap();
        let only_limit = ParamsUpdate {
            memlimit: Some(10 * MIB),
            ..Default::default()
        };
        let params = earlier.with(&only_limit).unwrap();
        assert!(params.resolve(RAM, Some(10 * MIB)).is_ok());
        let message = params.resolve(RAM, Some(9 * MIB)).unwrap_err().to_string();
        assert!(
            message.contains("10240 kB is larger than the disk (9216 kB)"),
            "{message}"
        );
    }

    #[test]
    fn a_limit_of_zero_is_none_with_a_backing_swap_either() {
        for backing in [None, Some(500 * MIB)] {
            let params = set(memlimit(0)).unwrap();
            assert_eq!(params.resolve(RAM, backing).unwrap().0.memlimit, None);
            assert_eq!(params.to_update(), memlimit(0));
        }
        let limited = set(memlimit(10 * MIB)).unwrap();
        let taken_away = limited.with(&memlimit(0)).unwrap();
        assert_eq!(taken_away.resolve(RAM, None).unwrap().0.memlimit, None);
    }

    #[test]
    fn a_codec_is_set_or_the_known_ones_named() {
        let codec = |name: &str| {
            set(ParamsUpdate {
                codec: Some(name.into()),
                ..Default::default()
            })
        };
        assert_eq!(
            codec("zstd:3").unwrap().to_update().codec.as_deref(),
            Some("zstd:3")
        );
        let message = codec("lzma").unwrap_err().to_string();
        assert!(
            message.contains("'lzma'") && message.contains("wkdm"),
            "{message}"
        );
    }

    #[test]
    fn what_becomes_of_cold_pages_is_set_or_has_defaults() {
        let resolve = |update| set(update).map(|p| p.resolve(RAM, None).unwrap().0.recompress);
        assert_eq!(resolve(disksize(MIB)).unwrap(), Recompress::default());
        let update = ParamsUpdate {
            recompress: Some("zstd:3".into()),
            recompress_cpu: Some(50),
            ..Default::default()
        };
        let expected = Recompress {
            codec: "zstd:3".parse().unwrap(),
            after_seconds: Recompress::default().after_seconds,
            cpu_percent: 50,
        };
        assert_eq!(resolve(update).unwrap(), expected);
        for (after, cpu, codec, words) in [
            (
                Some(0),
                None,
                None,
                "recompress-after of 0 s is out of range",
            ),
            (
                None,
                Some(101),
                None,
                "recompress-cpu of 101 % is out of range",
            ),
            (None, None, Some("gzip"), "'gzip'"),
            (None, None, Some(""), "or switch it off with 'off'"),
        ] {
            let update = ParamsUpdate {
                recompress: codec.map(Into::into),
                recompress_after: after,
                recompress_cpu: cpu,
                ..Default::default()
            };
            let message = resolve(update).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn an_update_over_another_wins_where_it_says_something() {
        let over = disksize(MIB).or(ParamsUpdate {
            disksize: Some(2 * MIB),
            recompress: Some("off".into()),
            ..Default::default()
        });
        assert_eq!(
            (over.disksize, over.recompress.as_deref()),
            (Some(MIB), Some("off"))
        );
        assert!(!over.is_live());
        let live = ParamsUpdate {
            codec: Some("lz4".into()),
            recompress_cpu: Some(1),
            ..Default::default()
        };
        assert!(live.is_live());
    }

    #[test]
    fn an_update_reads_back_and_unknown_fields_are_refused() {
        let update = ParamsUpdate {
            disksize: Some(1 << 20),
            memlimit: Some(1 << 19),
            backing_swap: Some("/swap".into()),
            backing_encryption: Some(BackingEncryption::Off),
            codec: Some("lzo".into()),
            recompress: Some("off".into()),
            recompress_after: Some(5),
            recompress_cpu: Some(20),
        };
        let text = serde_json::to_string(&update).unwrap();
        assert_eq!(serde_json::from_str::<ParamsUpdate>(&text).unwrap(), update);
        assert_eq!(set(update.clone()).unwrap().to_update(), update);
        assert_eq!(
            serde_json::to_string(&ParamsUpdate::default()).unwrap(),
            "{}"
        );
        assert!(serde_json::from_str::<ParamsUpdate>("{\"disk\":1}").is_err());
    }
}
