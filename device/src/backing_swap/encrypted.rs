//! A backing swap whose pages are encrypted.
//!
//! ```text
//!   page ──► cipher, with the number of this write ──► a buffer of 64 pages ──► disk
//!                                                  └─► tag and number: the seal, in memory
//! ```
//!
//! Nothing but the header of the swap area lies on the disk as it is. A page that was changed there,
//! moved to another place, or replaced by what lay there before does not match its seal: it is
//! [`Unread::Damaged`].

use std::sync::Arc;

use compcache_engine::backing::Transfer;
use compcache_engine::space::NoSlot;
use compcache_engine::{Backing, BackingAccess, BackingError, PAGE_SIZE, Page, SlotMemory, Unread};
use compcache_host::memory::{MemfdSlots, NotLocked};

use super::buffers::{Buffers, RUN};
use super::cipher::{Cipher, Kind};
use super::seals::{Look, Seal, Seals, WORDS};
use super::{Aligned, BackingSwap};
use crate::error::DeviceError;
use crate::settings::BackingEncryption;

/// What is known of the encryption of a backing swap while it is used.
pub(crate) struct Encryption {
    seals: Arc<Seals<MemfdSlots>>,
    buffer_bytes: u64,
    cipher: Kind,
    locked: Result<(), NotLocked>,
}

impl Encryption {
    /// The cipher's name.
    pub(crate) fn name(&self) -> &'static str {
        self.cipher.name()
    }

    /// Bytes of memory that it takes now.
    pub(crate) fn bytes(&self) -> u64 {
        self.seals.bytes() + self.buffer_bytes
    }

    /// Whether the key is locked in memory.
    pub(crate) fn locked(&self) -> Result<(), NotLocked> {
        self.locked
    }
}

/// How the pages of a store that `workers` threads use reach this backing swap, if there is one, and
/// what encrypts them there, if that is wanted.
///
/// # Errors
/// If there is no memory, or no random key, for the encryption.
pub(crate) fn access(
    backing: Option<BackingSwap>,
    choice: BackingEncryption,
    workers: usize,
) -> Result<(BackingAccess, Option<Encryption>), DeviceError> {
    match backing {
        Some(backing) if choice.encrypts(backing.is_file) => {
            let (encrypted, encryption) = Encrypted::new(backing, workers)?;
            Ok((Some(encrypted).into(), Some(encryption)))
        }
        plain => Ok((plain.into(), None)),
    }
}

/// A store of pages that encrypts them on their way to another.
pub(crate) struct Encrypted<B, S> {
    inner: B,
    cipher: Cipher,
    seals: Arc<Seals<S>>,
    buffers: Buffers,
}

impl Encrypted<BackingSwap, MemfdSlots> {
    /// Encrypts what `workers` threads write to a backing swap, under a key that nobody else knows.
    ///
    /// # Errors
    /// If there is no memory, or the kernel gives no random bytes.
    fn new(swap: BackingSwap, workers: usize) -> Result<(Self, Encryption), DeviceError> {
        let words = swap.pages() * WORDS;
        let memory = MemfdSlots::new("seals of the backing swap", words, false)?;
        let cipher = Cipher::new(Kind::of_this_cpu())?;
        let encrypted = Encrypted::over(swap, memory, cipher, workers)?;
        let encryption = Encryption {
            seals: Arc::clone(&encrypted.seals),
            buffer_bytes: Buffers::bytes(workers) as u64,
            cipher: encrypted.cipher.kind(),
            locked: encrypted.cipher.locked(),
        };
        Ok((encrypted, encryption))
    }
}

impl<B: Backing, S: SlotMemory> Encrypted<B, S> {
    fn over(inner: B, memory: S, cipher: Cipher, workers: usize) -> Result<Self, DeviceError> {
        let buffers = Buffers::new(workers).map_err(|source| DeviceError::Memory {
            what: "buffers of the backing swap",
            bytes: Buffers::bytes(workers) as u64,
            source,
        })?;
        Ok(Encrypted {
            inner,
            cipher,
            seals: Arc::new(Seals::try_new(memory)?),
            buffers,
        })
    }

    /// Encrypts pages into `room`, which has room for them, and writes them.
    fn write_run(&self, first: u64, pages: &[Page], room: &mut [Page]) -> Result<(), BackingError> {
        let mut begun = 0;
        let mut seals = [Seal::default(); RUN];
        let mut seal_all = || {
            let each = pages.iter().zip(room.iter_mut()).zip(&mut seals);
            for (place, ((page, out), seal)) in (first..).zip(each) {
                let failed = |errno| BackingError {
                    transfer: Transfer::Write,
                    index: place,
                    errno,
                };
                self.seals.begin(place).map_err(|e| match e {
                    NoSlot::NoMemory(_) => failed(libc::ENOMEM),
                    NoSlot::OutOfRange => failed(libc::EIO),
                })?;
                begun += 1;
                let number = self.seals.number();
                let tag = self.cipher.seal(number, place, page, out);
                let tag = tag.ok_or(failed(libc::EIO))?;
                *seal = Seal { number, tag };
            }
            Ok(())
        };
        let result = seal_all().and_then(|()| self.inner.write(first, &room[..pages.len()]));
        for (place, seal) in (first..).zip(&seals[..begun]) {
            match result {
                Ok(()) => self.seals.commit(place, *seal),
                Err(_) => self.seals.abandon(place),
            }
        }
        result
    }

    /// Reads pages, at most [`RUN`], and decrypts them.
    fn read_run(&self, first: u64, pages: &mut [Page]) -> Result<(), Unread> {
        let mut seals = [Seal::default(); RUN];
        for (place, seal) in (first..).zip(&mut seals[..pages.len()]) {
            *seal = match self.seals.look(place) {
                Look::Sealed(seal) => seal,
                Look::Writing => return Err(Unread::Changed),
                Look::Nothing => return Err(Unread::Damaged),
            };
        }
        self.inner.read(first, pages)?;
        for (place, (page, seal)) in (first..).zip(pages.iter_mut().zip(&seals)) {
            if !self.seals.is_still(place, seal) {
                return Err(Unread::Changed);
            }
            if !self.cipher.open(seal.number, place, &seal.tag, page) {
                return Err(Unread::Damaged);
            }
        }
        Ok(())
    }
}

impl<B: Backing, S: SlotMemory> Backing for Encrypted<B, S> {
    fn read(&self, first: u64, pages: &mut [Page]) -> Result<(), Unread> {
        for (first, run) in (first..).step_by(RUN).zip(pages.chunks_mut(RUN)) {
            self.read_run(first, run)?;
        }
        Ok(())
    }

    fn verifies(&self) -> bool {
        true
    }

    fn write(&self, first: u64, pages: &[Page]) -> Result<(), BackingError> {
        // More threads at once than there are workers take their pages one by one.
        let mut alone;
        let mut buffer;
        let room = match self.buffers.take() {
            Some(taken) => {
                buffer = taken;
                &mut buffer[..]
            }
            None => {
                alone = Aligned([0; PAGE_SIZE]);
                std::slice::from_mut(&mut alone.0)
            }
        };
        let step = room.len();
        for (first, run) in (first..).step_by(step).zip(pages.chunks(step)) {
            self.write_run(first, run, room)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
