//! What guests have measured.

use std::collections::BTreeMap;

/// Values by key.
pub(super) type Values = BTreeMap<String, f64>;

/// RELEASE.SET, CONTENDER and KEY of a key. A contender begins with its driver's name.
pub(super) fn split(key: &str) -> Option<(&str, &str, &str)> {
    let at = [".zram-", ".ramzswap-"]
        .iter()
        .find_map(|driver| key.find(driver))?;
    let (contender, rest) = key[at + 1..].split_once('.')?;
    Some((&key[..at], contender, rest))
}
