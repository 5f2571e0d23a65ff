//! Whether pages are encrypted on their way to a backing swap.

use serde::{Deserialize, Serialize};

use super::choice::choice;

choice! {
    "backing encryption",
    /// Whether pages are encrypted before they are written to the backing swap.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum BackingEncryption {
        /// In a file, not on a block device: that may be encrypted already (dm-crypt, the disk itself).
        #[default]
        Auto = "auto",
        /// In any backing swap.
        On = "on",
        /// Never.
        Off = "off",
    }
}

impl BackingEncryption {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_by_its_name() {
        for choice in BackingEncryption::ALL {
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(json, format!("\"{choice}\""));
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
