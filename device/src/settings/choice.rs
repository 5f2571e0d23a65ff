//! Settings that are one of a few names.

/// A name that a setting does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {setting} \"{given}\": give {}", alternatives(.names))]
pub struct UnknownChoice {
    pub(super) setting: &'static str,
    pub(super) given: String,
    pub(super) names: &'static [&'static str],
}

/// `a, b or c`.
fn alternatives(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// An enum whose values are written by these names, and what errors call it.
macro_rules! choice {
    (
        $setting:literal,
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($(#[$about:meta])* $value:ident = $text:literal,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $($(#[$about])* $value,)+
        }

        impl $name {
            const NAMES: &[&str] = &[$($text),+];

            /// All of them.
            pub const ALL: [$name; $name::NAMES.len()] = [$($name::$value),+];

            /// Its name, as users write it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$value => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::settings::UnknownChoice;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                let found = $name::ALL.into_iter().find(|choice| choice.name() == name);
                found.ok_or_else(|| $crate::settings::UnknownChoice {
                    setting: $setting,
                    given: name.to_owned(),
                    names: $name::NAMES,
                })
            }
        }
    };
}

pub(super) use choice;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::str::FromStr;

    use crate::settings::{BackingEncryption, Channel, DeadSlots, DriverChoice, UnknownChoice};

    fn names_read_back<T>(all: &[T], message: &str)
    where
        T: FromStr<Err = UnknownChoice> + ToString + PartialEq + Debug,
    {
        for choice in all {
            assert_eq!(choice.to_string().parse().as_ref(), Ok(choice));
        }
        for unknown in ["", "Auto", "other"] {
            let error = unknown.parse::<T>().unwrap_err().to_string();
            assert_eq!(error, message.replace('?', unknown));
        }
    }

    #[test]
    fn each_has_a_name_by_which_it_is_found() {
        names_read_back(
            &BackingEncryption::ALL,
            "there is no backing encryption \"?\": give auto, on or off",
        );
        names_read_back(
            &Channel::ALL,
            "there is no transport \"?\": give auto, fuse or fuse-uring",
        );
        names_read_back(
            &DeadSlots::ALL,
            "there is no way to free dead slots \"?\": give auto or clusters",
        );
        names_read_back(
            &DriverChoice::ALL,
            "there is no driver \"?\": give auto, kernel or user",
        );
    }
}
