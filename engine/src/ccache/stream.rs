//! Which files are not worth caching: streams, whose pages are evicted before they are accessed
//! again, and data that does not compress.

/// Pages evicted unused after which a file may be a stream: 8 MiB.
const STREAM: u32 = 2048;

/// A file is a stream if fewer than one page in so many was accessed again.
const USED: u32 = 16;

/// Tries in a row that did not compress, after which the file is left alone for a while.
const RAW_RUN: u8 = 16;

/// Pages for which it is left alone at first; each time twice as many, up to 2^[`MAX_DOUBLED`]
/// times.
const PAUSE: u32 = 64;

/// See [`PAUSE`].
const MAX_DOUBLED: u8 = 4;

/// What is known of how useful it is to hold a file's pages.
#[derive(Debug, Default)]
pub(super) struct Usefulness {
    used: u32,
    unused: u32,
    raw: u8,
    doubled: u8,
    pause: u32,
}

impl Usefulness {
    /// A page that was held was accessed.
    pub(super) fn used(&mut self) {
        self.used += 1;
        self.forget_half();
    }

    /// A page was evicted that was never accessed.
    pub(super) fn unused(&mut self) {
        self.unused += 1;
        self.forget_half();
    }

    fn forget_half(&mut self) {
        if self.used.max(self.unused) > 16 * STREAM {
            self.used /= 2;
            self.unused /= 2;
        }
    }

    /// Whether pages of this file that were never accessed before are not worth admitting.
    pub(super) fn is_stream(&self) -> bool {
        self.unused > STREAM && self.used < self.unused / USED
    }

    /// Whether a page need not be tried because those before it did not compress. Counts down.
    pub(super) fn should_skip(&mut self) -> bool {
        let pauses = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        pauses
    }

    /// A page was compressed, or (`raw`) found not to compress.
    pub(super) fn tried(&mut self, raw: bool) {
        if !raw {
            (self.raw, self.doubled) = (0, 0);
            return;
        }
        self.raw += 1;
        if self.raw >= RAW_RUN {
            self.raw = RAW_RUN / 2;
            self.pause = PAUSE << self.doubled;
            self.doubled = (self.doubled + 1).min(MAX_DOUBLED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_from_files_that_are_read_again() {
        let mut stream = Usefulness::default();
        (0..STREAM + 1).for_each(|_| stream.unused());
        assert!(stream.is_stream());
        (0..STREAM / USED + 1).for_each(|_| stream.used());
        assert!(!stream.is_stream());
        (0..100 * STREAM).for_each(|_| stream.unused());
        assert!(stream.is_stream(), "old use is forgotten");
    }

    #[test]
    fn what_does_not_compress_is_tried_less_and_less() {
        let mut media = Usefulness::default();
        let mut tries = 0;
        for _ in 0..1 << 20 {
            if !media.should_skip() {
                media.tried(true);
                tries += 1;
            }
        }
        assert!((16..20_000).contains(&tries), "{tries} tries of a million");
        while media.should_skip() {}
        media.tried(false);
        assert!(!media.should_skip());
        (0..RAW_RUN).for_each(|_| media.tried(true));
        assert_eq!(media.pause, PAUSE, "it begins again");
    }
}
