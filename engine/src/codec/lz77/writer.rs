//! Appending to a chunk, each byte checked: for what is rare or long.

/// A chunk that is being written.
pub(in crate::codec) struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Goes on after the first `len` bytes of `out`.
    #[inline]
    pub(in crate::codec) fn new(out: &'a mut [u8], len: usize) -> Self {
        Writer { out, len }
    }

    /// How many bytes are written.
    #[inline]
    pub(in crate::codec) fn len(&self) -> usize {
        self.len
    }

    /// Appends a byte; `None` if there is no room.
    #[inline]
    pub(in crate::codec) fn byte(&mut self, byte: u8) -> Option<()> {
        *self.out.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    /// Appends bytes; `None` if there is no room for all.
    #[inline]
    pub(in crate::codec) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    /// Sets bits of the byte `back` before the end; `None` if there is none.
    #[inline]
    pub(in crate::codec) fn or(&mut self, back: usize, bits: u8) -> Option<()> {
        *self.out.get_mut(self.len.checked_sub(back)?)? |= bits;
        Some(())
    }
}
