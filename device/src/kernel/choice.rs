//! Which driver the user wants.

use std::fmt;
use std::str::FromStr;

/// Which driver is to serve devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// The kernel's if it is loaded or can be, otherwise the one in userspace.
    #[default]
    Auto,
    /// The kernel driver, or failure.
    Kernel,
    /// The devices in userspace.
    User,
}

impl DriverChoice {
    /// All of them.
    pub const ALL: [DriverChoice; 3] =
        [DriverChoice::Auto, DriverChoice::Kernel, DriverChoice::User];

    /// Its name, as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DriverChoice::Auto => "auto",
            DriverChoice::Kernel => "kernel",
            DriverChoice::User => "user",
        }
    }
}

impl fmt::Display for DriverChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A driver that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no driver \"{0}\": give auto, kernel or user")]
pub struct UnknownDriver(String);

impl FromStr for DriverChoice {
    type Err = UnknownDriver;

    fn from_str(name: &str) -> Result<Self, UnknownDriver> {
        DriverChoice::ALL
            .into_iter()
            .find(|choice| choice.name() == name)
            .ok_or_else(|| UnknownDriver(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for choice in DriverChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        let error = "ramzswap".parse::<DriverChoice>().unwrap_err().to_string();
        assert!(error.contains("\"ramzswap\""), "{error}");
        assert!(error.contains("auto, kernel or user"), "{error}");
    }
}
