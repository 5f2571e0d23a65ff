//! Values of keys, as more than one table has them.

use std::path::PathBuf;

use compcache_engine::CodecSpec;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// The largest size in kB: 2^44 bytes.
pub(super) const MAX_KB: i64 = 1 << 34;

/// An integer from `MIN` to `MAX`.
pub(super) fn within<'de, D, T, const MIN: i64, const MAX: i64>(
    from: D,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let value = i64::deserialize(from)?;
    match T::try_from(value) {
        Ok(fits) if (MIN..=MAX).contains(&value) => Ok(Some(fits)),
        _ => Err(D::Error::custom(format!(
            "{value} is out of range: give an integer from {MIN} to {MAX}"
        ))),
    }
}

/// A codec, `NAME` or `NAME:LEVEL`.
pub(super) fn codec<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse::<CodecSpec>().map_err(D::Error::custom)?;
    Ok(Some(text))
}

/// A path that does not depend on where the daemon runs.
pub(super) fn absolute_path<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if path.is_absolute() {
        return Ok(Some(path));
    }
    Err(D::Error::custom(format!(
        "\"{}\" is not an absolute path",
        path.display()
    )))
}
