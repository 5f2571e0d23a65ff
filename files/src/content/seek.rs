//! Where a file has data, and where holes.

use std::fs::File;
use std::io;

use super::file_content::Content;
use super::mode::Mode;

impl Content {
    /// Finds data or a hole from `offset` on (lseek's SEEK_DATA and SEEK_HOLE).
    ///
    /// # Errors
    /// ENXIO past the end, and those of lseek.
    pub fn seek(&self, source: &File, offset: u64, hole: bool) -> io::Result<u64> {
        match self.shared.mode {
            Mode::Memory => return self.seek_in_memory(offset, hole),
            Mode::Back => self.write_out()?,
            Mode::Through => {}
        }
        let from = if hole {
            rustix::fs::SeekFrom::Hole(offset)
        } else {
            rustix::fs::SeekFrom::Data(offset)
        };
        Ok(rustix::fs::seek(source, from)?)
    }
}
