//! The cipher of a backing swap, under a key of its own.
//!
//! The key comes from the kernel when the cipher is made, and is stored nowhere else. What is
//! derived from it lies in memory that is locked and is no part of a core dump, and is overwritten
//! when the cipher goes. Registers, and what the cipher spills from them to the stack of a worker
//! while it is at work, are beyond our control.

use std::io;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce};
use chacha20poly1305::ChaCha20Poly1305;
use compcache_engine::{PAGE_SIZE, Page};
use compcache_host::Mapping;
use compcache_host::memory::NotLocked;
use rustix::mm::MlockFlags;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::DeviceError;

/// Bytes of a key.
const KEY: usize = 32;

/// The tag that authenticates a page.
pub(super) type Tag = [u8; 16];

/// Which cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// AES-256-GCM (NIST SP 800-38D): twice as fast as the other where the CPU has instructions
    /// for it, and ten times slower where it has none.
    Aes,
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaCha,
}

impl Kind {
    /// The faster one on this CPU. Both take the same time whatever key and page are.
    pub(super) fn of_this_cpu() -> Kind {
        #[cfg(target_arch = "x86_64")]
        let aes = std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        let aes = std::arch::is_aarch64_feature_detected!("aes");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let aes = false;
        if aes { Kind::Aes } else { Kind::ChaCha }
    }

    /// Its name, as users read it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Aes => "aes-256-gcm",
            Kind::ChaCha => "chacha20-poly1305",
        }
    }
}

/// A cipher with its key.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for a device, and on the heap it would lie elsewhere than it must"
)]
enum Aead {
    Aes(Aes256Gcm),
    ChaCha(ChaCha20Poly1305),
}

/// An authenticated cipher with a fresh key.
pub(super) struct Cipher {
    /// Holds an [`Aead`] at its start.
    memory: Mapping,
    kind: Kind,
    locked: Result<(), NotLocked>,
}

impl Cipher {
    /// A cipher with a new key from getrandom(2).
    ///
    /// # Errors
    /// If there is no memory, or the kernel gives no random bytes.
    pub(super) fn new(kind: Kind) -> Result<Cipher, DeviceError> {
        let bytes = size_of::<Aead>();
        let memory = Mapping::anonymous(bytes).and_then(|memory| {
            memory.populate(0, bytes)?;
            Ok(memory)
        });
        let memory = memory.map_err(|source| DeviceError::Memory {
            what: "the key of the backing swap",
            bytes: bytes as u64,
            source,
        })?;
        let locked = memory.lock(MlockFlags::empty());
        let written = write_fresh(&memory, kind);
        overwrite_stack();
        written.map_err(|e| DeviceError::system("get a random key", e, None))?;
        // From here on there is an `Aead`, for `drop` to drop.
        Ok(Cipher {
            memory,
            kind,
            locked: locked.map_err(|errno| NotLocked {
                what: "key of the backing swap",
                errno,
            }),
        })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the key's memory is locked.
    pub(super) fn locked(&self) -> Result<(), NotLocked> {
        self.locked
    }

    fn aead(&self) -> &Aead {
        // SAFETY: `new` has written an `Aead` there, at a page's boundary, and nothing else writes
        // to the mapping until `self` is dropped.
        unsafe { self.memory.base().cast().as_ref() }
    }

    /// Encrypts `page` into `out`, as write `number` to the place `place`. No two pages may have
    /// the same number. `None` if the cipher refuses, which none does for a page.
    pub(super) fn seal(&self, number: u64, place: u64, page: &Page, out: &mut Page) -> Option<Tag> {
        match self.aead() {
            Aead::Aes(aead) => seal(aead, nonce(number, place), page, out),
            Aead::ChaCha(aead) => seal(aead, nonce(number, place), page, out),
        }
    }

    /// Decrypts a page in place; returns whether it is the one that [`Cipher::seal`] has encrypted
    /// with this number for this place. If not, it is left as it is.
    #[must_use]
    pub(super) fn open(&self, number: u64, place: u64, tag: &Tag, page: &mut Page) -> bool {
        match self.aead() {
            Aead::Aes(aead) => open(aead, nonce(number, place), tag, page),
            Aead::ChaCha(aead) => open(aead, nonce(number, place), tag, page),
        }
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        // SAFETY: as in `aead`; it is dropped once, and `&mut self` says that nobody uses it.
        unsafe { self.memory.base().cast::<Aead>().drop_in_place() };
        overwrite(&self.memory);
    }
}

/// A nonce: the number of the write, and the place, which belongs to the page that is authenticated.
fn nonce(number: u64, place: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    // A swap area has 2^32 pages at most. The number alone makes the nonce unique.
    nonce[8..].copy_from_slice(&place.to_le_bytes()[..4]);
    nonce
}

fn seal<A: AeadInOut>(aead: &A, nonce: [u8; 12], page: &Page, out: &mut Page) -> Option<Tag> {
    let nonce = Nonce::<A>::try_from(nonce.as_slice()).ok()?;
    let pages = InOutBuf::new(page.as_slice(), out.as_mut_slice()).ok()?;
    let tag = aead.encrypt_inout_detached(&nonce, &[], pages).ok()?;
    tag.as_slice().try_into().ok()
}

fn open<A: AeadInOut>(aead: &A, nonce: [u8; 12], tag: &Tag, page: &mut Page) -> bool {
    let (Ok(nonce), Ok(tag)) = (
        Nonce::<A>::try_from(nonce.as_slice()),
        aes_gcm::aead::Tag::<A>::try_from(tag.as_slice()),
    ) else {
        return false;
    };
    aead.decrypt_inout_detached(&nonce, &[], page.as_mut_slice().into(), &tag)
        .is_ok()
}

/// Writes a cipher with a new key to the start of memory that has room for it.
#[inline(never)]
fn write_fresh(memory: &Mapping, kind: Kind) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY]);
    let mut filled = 0;
    while filled < KEY {
        let flags = rustix::rand::GetRandomFlags::empty();
        match rustix::rand::getrandom(&mut key[filled..], flags) {
            Ok(bytes) => filled += bytes,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let key: &[u8; KEY] = &key;
    let aead = match kind {
        Kind::Aes => Aead::Aes(Aes256Gcm::new(key.into())),
        Kind::ChaCha => Aead::ChaCha(ChaCha20Poly1305::new(key.into())),
    };
    // SAFETY: the mapping has room for it, is aligned to a page and private, and nobody refers to
    // what lies there.
    unsafe { memory.base().cast().write(aead) };
    Ok(())
}

/// Overwrites the stack below the caller's frame, where [`write_fresh`] has left traces of the key.
#[inline(never)]
fn overwrite_stack() {
    [0_u8; 4 * PAGE_SIZE].zeroize();
}

/// Overwrites all of a mapping with zeros.
fn overwrite(memory: &Mapping) {
    // SAFETY: the mapping has so many initialised bytes, is private to the cipher that is being
    // dropped, and nothing refers to them.
    let bytes = unsafe { std::slice::from_raw_parts_mut(memory.base().as_ptr(), memory.len()) };
    bytes.zeroize();
}

#[cfg(test)]
mod tests {
    use compcache_host::{maps, proc};
    use compcache_random::Random;

    use super::*;

    const BOTH: [Kind; 2] = [Kind::Aes, Kind::ChaCha];

    fn random_page(seed: u64) -> Page {
        let mut page = [0; PAGE_SIZE];
        Random::new(seed).fill(&mut page);
        page
    }

    #[test]
    fn a_page_comes_back_under_its_number_and_place_only() {
        for kind in BOTH {
            let cipher = Cipher::new(kind).unwrap();
            assert_eq!(cipher.kind(), kind);
            let page = random_page(1);
            let mut sealed = [0; PAGE_SIZE];
            let tag = cipher.seal(7, 9, &page, &mut sealed).unwrap();
            assert!(sealed != page);
            let open = |number, place, tag: &Tag, sealed: &Page| {
                let mut opened = *sealed;
                let is_it = cipher.open(number, place, tag, &mut opened);
                assert_eq!(is_it, opened == page);
                assert!(is_it || opened == *sealed, "left as it is");
                is_it
            };
            assert!(open(7, 9, &tag, &sealed));
            assert!(!open(8, 9, &tag, &sealed) && !open(7, 10, &tag, &sealed));
            let mut random = Random::new(2);
            for _ in 0..50 {
                let mut changed = sealed;
                changed[random.index(PAGE_SIZE)] ^= 1 << random.index(8);
                assert!(!open(7, 9, &tag, &changed));
                let mut other = tag;
                other[random.index(16)] ^= 1 << random.index(8);
                assert!(!open(7, 9, &other, &sealed));
            }
        }
    }

    /// NIST's GCM test case 13 and RFC 8439's are of the crates; here it is that nothing of ours
    /// stands between: numbers, places and keys all change what is written.
    #[test]
    fn the_same_page_is_never_written_twice_alike() {
        for kind in BOTH {
            let ciphers = [Cipher::new(kind).unwrap(), Cipher::new(kind).unwrap()];
            let page = random_page(3);
            let mut seen = std::collections::HashSet::new();
            for cipher in &ciphers {
                for (number, place) in [
                    (1, 1),
                    (2, 1),
                    (1, 2),
                    (1 << 40, 1),
                    (1, u64::from(u32::MAX)),
                ] {
                    let mut sealed = [0; PAGE_SIZE];
                    let tag = cipher.seal(number, place, &page, &mut sealed).unwrap();
                    assert!(seen.insert(sealed.to_vec()) && seen.insert(tag.to_vec()));
                }
            }
        }
    }

    #[test]
    fn the_key_is_locked_not_dumped_and_overwritten_in_the_end() {
        let cipher = Cipher::new(Kind::of_this_cpu()).unwrap();
        cipher.locked().unwrap();
        let address = cipher.memory.base().as_ptr().addr() as u64;
        let smaps = proc::of(std::process::id(), "smaps").unwrap();
        let mapped = maps::at(&smaps, address).unwrap();
        assert!(mapped.has_flag("lo") && mapped.has_flag("dd"), "{mapped:?}");

        // SAFETY: the mapping has these bytes, and they are only looked at.
        let bytes = || unsafe {
            std::slice::from_raw_parts(cipher.memory.base().as_ptr(), cipher.memory.len()).to_vec()
        };
        assert!(bytes().iter().any(|byte| *byte != 0));
        overwrite(&cipher.memory);
        assert!(bytes().iter().all(|byte| *byte == 0));
        // What is dropped must be a cipher again.
        write_fresh(&cipher.memory, cipher.kind).unwrap();
    }

    #[test]
    fn it_is_the_cipher_that_the_cpu_is_made_for() {
        let cpu = proc::read(std::path::Path::new("/proc/cpuinfo")).unwrap();
        let has = |flag: &str| proc::words(&cpu).any(|word| word == flag.as_bytes());
        let aes = has("aes") && (has("pclmulqdq") || has("pmull"));
        assert_eq!(Kind::of_this_cpu() == Kind::Aes, aes);
        assert_ne!(Kind::Aes.name(), Kind::ChaCha.name());
    }
}
