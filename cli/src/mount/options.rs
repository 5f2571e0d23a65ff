//! The options behind `-o`, in the manner of mount(8).

use std::str::FromStr;

use compcached::integer::{NumberError, Numbers};
use compcached::protocol::{DIRTY_AFTER, FLAGS, GIVE_UP_AFTER, MountSettings, REVALIDATE};
use compcached::size::Size;

/// Options that are for mount(8), systemd or the kernel's own business and mean nothing here.
const IGNORED: [&str; 25] = [
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "rw",
    "async",
    "atime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "diratime",
    "nodiratime",
    "iversion",
    "noiversion",
    "loud",
    "silent",
];
/// Options that undo each other: the last one counts.
const OPPOSITES: [(&str, &str); 5] = [
    ("ro", "rw"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("exec", "noexec"),
    ("atime", "noatime"),
];

/// What is wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionError {
    /// Not known.
    #[error(
        "unknown option \"{0}\": known are cache=, codec=, size=, write-back, write-through, \
         dirty-after=, dirty-limit=, strict, revalidate=, give-up-after=, allow-other, no-allow-other, \
         {flags} and those of mount(8) and systemd that are not for the file system", flags = FLAGS.join(", ")
    )]
    Unknown(String),
    /// Without its value.
    #[error("option {0} needs a value: write {0}=VALUE")]
    NoValue(String),
    /// With a value that it does not take.
    #[error("option {name} takes no value, but has \"{value}\": write {name} alone")]
    Value {
        /// The option.
        name: String,
        /// Its value.
        value: String,
    },
    /// With a bad value.
    #[error("option {name}: {why}")]
    Bad {
        /// The option.
        name: String,
        /// What is wrong with its value.
        why: String,
    },
    /// A change of what is mounted.
    #[error(
        "a mount cannot be changed by remount: unmount it and mount it again with the new options"
    )]
    Remount,
}

/// What a list of options says. Its flags are those of each pair of [`OPPOSITES`] that came last; what the
/// kernel does anyway is among them, as in `rw`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options(MountSettings);

impl FromStr for Options {
    type Err = OptionError;

    fn from_str(list: &str) -> Result<Self, OptionError> {
        let (options, unknown) = Options::tolerant(list)?;
        unknown
            .into_iter()
            .next()
            .map_or(Ok(options), |name| Err(OptionError::Unknown(name)))
    }
}

impl Options {
    /// Reads a list with commas between the options; gives those that are not known besides.
    ///
    /// # Errors
    /// [`OptionError`] but for [`OptionError::Unknown`].
    pub(crate) fn tolerant(list: &str) -> Result<(Options, Vec<String>), OptionError> {
        let mut options = Options::default();
        let mut unknown = Vec::new();
        for option in list.split(',').map(str::trim).filter(|o| !o.is_empty()) {
            if !options.add(option)? {
                unknown.push(option.to_owned());
            }
        }
        Ok((options, unknown))
    }

    /// Adds what another list says, which wins.
    pub(crate) fn extend(&mut self, mut other: Options) {
        let flags = other.0.flags.take().unwrap_or_default();
        self.0 = other.0.or(std::mem::take(&mut self.0));
        for flag in flags {
            self.set_flag(&flag);
        }
    }

    /// Whether a size of a mount in memory is among them.
    pub(crate) fn has_size(&self) -> bool {
        self.0.size.is_some()
    }

    /// What they set.
    pub(crate) fn settings(self) -> MountSettings {
        let mut settings = self.0;
        if let Some(flags) = &mut settings.flags {
            flags.retain(|flag| FLAGS.contains(&flag.as_str()));
        }
        settings
    }

    /// Adds one option; whether it is known.
    fn add(&mut self, option: &str) -> Result<bool, OptionError> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let known = IGNORED.contains(&name) || FLAGS.contains(&name);
        if known && value.is_none() {
            self.set_flag(name);
            return Ok(true);
        }
        if name.starts_with("x-") || name.starts_with("X-") || name == "comment" {
            return Ok(true);
        }
        // `allow_other` is how FUSE has always written it.
        let canonical = name.replace('_', "-");
        let needed = || value.ok_or_else(|| OptionError::NoValue(name.to_owned()));
        let into = &mut self.0;
        match canonical.as_str() {
            "cache" => into.cache = Some(parse(name, needed()?)?),
            "codec" => into.codec = Some(needed()?.to_owned()),
            "size" => into.size = Some(parse(name, needed()?)?),
            "dirty-after" => into.dirty_after = Some(number(name, needed()?, DIRTY_AFTER)?),
            "dirty-limit" => into.dirty_limit = Some(parse(name, needed()?)?),
            "revalidate" => into.revalidate = Some(number(name, needed()?, REVALIDATE)?),
            "give-up-after" => into.give_up_after = Some(number(name, needed()?, GIVE_UP_AFTER)?),
            "remount" => return Err(OptionError::Remount),
            other => return self.add_switch(other, name, value),
        }
        Ok(true)
    }

    fn add_switch(
        &mut self,
        canonical: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<bool, OptionError> {
        let into = &mut self.0;
        match canonical {
            "write-back" => into.write_back = Some(true),
            "write-through" => into.write_back = Some(false),
            "strict" => into.strict = Some(true),
            "allow-other" => into.allow_other = Some(true),
            "no-allow-other" => into.allow_other = Some(false),
            _ => return Ok(false),
        }
        match value {
            None => Ok(true),
            Some(value) => Err(OptionError::Value {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
        }
    }

    fn set_flag(&mut self, flag: &str) {
        for (one, other) in OPPOSITES {
            if flag == one || flag == other {
                let flags = self.0.flags.get_or_insert_default();
                flags.retain(|f| f != one && f != other);
                flags.push(flag.to_owned());
            }
        }
    }
}

fn parse(name: &str, value: &str) -> Result<Size, OptionError> {
    value
        .parse()
        .map_err(|e: compcached::size::SizeError| bad(name, e.to_string()))
}

fn number(name: &str, value: &str, numbers: Numbers) -> Result<u32, OptionError> {
    let why = |e: NumberError| format!("{value:?} is not accepted: {e}");
    numbers.parse(value).map_err(|e| bad(name, why(e)))
}

fn bad(name: &str, why: String) -> OptionError {
    OptionError::Bad {
        name: name.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(list: &str) -> MountSettings {
        let options: Options = list.parse().unwrap();
        options.settings()
    }

    #[test]
    fn a_line_of_fstab() {
        let list = "defaults,cache=1G,codec=zstd:1,write-back,dirty_after=5,dirty-limit=10%,\
                    allow_other,ro,nosuid,_netdev,nofail,x-systemd.automount,comment=a=b,give-up-after=60,\
                    x-systemd.requires=network-online.target";
        let expected = MountSettings {
            cache: Some(Size::Bytes(1 << 30)),
            codec: Some("zstd:1".into()),
            write_back: Some(true),
            dirty_after: Some(5),
            dirty_limit: Some(Size::Percent(10)),
            give_up_after: Some(60),
            allow_other: Some(true),
            flags: Some(vec!["ro".into(), "nosuid".into()]),
            ..MountSettings::default()
        };
        assert_eq!(settings(list), expected);
        assert_eq!(settings(""), MountSettings::default());
        assert_eq!(settings("size=2g,").size, Some(Size::Bytes(2 << 30)));
    }

    #[test]
    fn the_last_one_counts() {
        assert_eq!(settings("ro,noexec,rw,exec").flags.unwrap(), ["exec"]);
        assert_eq!(settings("write-back,write-through").write_back, Some(false));
        assert_eq!(
            settings("cache=1G,cache=2G").cache,
            Some(Size::Bytes(2 << 30))
        );
        let mut first: Options = "ro,cache=1G,strict".parse().unwrap();
        first.extend("rw,codec=lz4".parse().unwrap());
        let settings = first.settings();
        assert_eq!(settings.flags.as_deref(), Some(&[][..]));
        assert_eq!(settings.strict, Some(true));
        assert_eq!(settings.codec.as_deref(), Some("lz4"));
    }

    #[test]
    fn bad_options_say_what_is_wrong() {
        for (list, words) in [
            ("frob", &["\"frob\"", "cache="][..]),
            ("ro=1", &["\"ro=1\""]),
            ("loop", &["\"loop\""]),
            ("cache", &["cache=VALUE"]),
            ("cache=much", &["cache", "\"much\"", "512M"]),
            ("dirty-after=soon", &["dirty-after", "\"soon\"", "seconds"]),
            ("revalidate=-1", &["revalidate", "\"-1\"", "0 to 86400"]),
            (
                "revalidate=86401",
                &["revalidate", "\"86401\"", "0 to 86400"],
            ),
            ("dirty-after=0", &["dirty-after", "\"0\"", "1 to 86400"]),
            (
                "dirty-after=99999999999",
                &["dirty-after", "\"99999999999\"", "1 to 86400"],
            ),
            ("give-up-after=", &["give-up-after", "\"\"", "1 to 86400"]),
            ("strict=yes", &["strict", "\"yes\""]),
            ("remount,ro", &["remount", "unmount it"]),
        ] {
            let message = list.parse::<Options>().unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{list}: {word} not in {message}");
            }
        }
        let (_, unknown) = Options::tolerant("frob,ro,nicate=1").unwrap();
        assert_eq!(unknown, ["frob", "nicate=1"]);
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in ".{0,60}") {
            let _ = text.parse::<Options>();
        }
    }
}
