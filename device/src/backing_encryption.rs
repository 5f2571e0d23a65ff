//! Whether pages are encrypted on their way to a backing swap: what a user chooses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether pages are encrypted before they are written to the backing swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackingEncryption {
    /// In a file, not on a block device: that may be encrypted already (dm-crypt, the disk itself).
    #[default]
    Auto,
    /// In any backing swap.
    On,
    /// Never.
    Off,
}

impl BackingEncryption {
    /// All of them.
    pub const ALL: [BackingEncryption; 3] = [
        BackingEncryption::Auto,
        BackingEncryption::On,
        BackingEncryption::Off,
    ];

    /// Its name, as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BackingEncryption::Auto => "auto",
            BackingEncryption::On => "on",
            BackingEncryption::Off => "off",
        }
    }

    /// Whether that encrypts a backing swap that is a file, or a block device.
    #[must_use]
    pub fn encrypts(self, file: bool) -> bool {
        match self {
            BackingEncryption::Auto => file,
            BackingEncryption::On => true,
            BackingEncryption::Off => false,
        }
    }
}

impl fmt::Display for BackingEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A choice that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("backing encryption can't be \"{0}\": give auto (files are encrypted), on or off")]
pub struct UnknownBackingEncryption(String);

impl FromStr for BackingEncryption {
    type Err = UnknownBackingEncryption;

    fn from_str(name: &str) -> Result<Self, UnknownBackingEncryption> {
        BackingEncryption::ALL
            .into_iter()
            .find(|choice| choice.name() == name)
            .ok_or_else(|| UnknownBackingEncryption(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_by_which_it_is_found() {
        for choice in BackingEncryption::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(json, format!("\"{choice}\""));
        }
        for unknown in ["", "On", "yes", "aes"] {
            let error = unknown.parse::<BackingEncryption>().unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&format!("\"{unknown}\"")), "{message}");
            assert!(message.contains("auto") && message.contains("on or off"));
        }
    }

    #[test]
    fn of_itself_a_file_is_encrypted_and_a_block_device_is_not() {
        let both = |choice: BackingEncryption| (choice.encrypts(true), choice.encrypts(false));
        assert_eq!(both(BackingEncryption::default()), (true, false));
        assert_eq!(both(BackingEncryption::On), (true, true));
        assert_eq!(both(BackingEncryption::Off), (false, false));
    }
}
