//! The part of the FUSE protocol that a one-file file system needs: numbers and layouts of
//! `include/uapi/linux/fuse.h`, read and written field by field.

use compcache_engine::PAGE_SIZE;

/// The version that this side speaks. The kernel answers to older minors for ever; 31 is the
/// first that has every flag used here (Linux 5.4).
pub(super) const MAJOR: u32 = 7;
/// See [`MAJOR`].
pub(super) const MINOR: u32 = 31;

/// Bytes of a request's header.
pub(super) const IN_HEADER: usize = 40;
/// Bytes of a reply's header.
pub(super) const OUT_HEADER: usize = 16;
/// Bytes between a WRITE's header and its data.
pub(super) const WRITE_IN: usize = 40;
/// Bytes before a WRITE's data.
pub(super) const BEFORE_DATA: usize = IN_HEADER + WRITE_IN;
/// The largest fixed-size reply without its header: GETATTR's.
const MAX_FIXED: usize = 104;

/// The root's node number; there is no other.
pub(super) const ROOT: u64 = 1;

/// What the kernel asks for.
pub(super) mod op {
    pub(in super::super) const LOOKUP: u32 = 1;
    pub(in super::super) const FORGET: u32 = 2;
    pub(in super::super) const GETATTR: u32 = 3;
    pub(in super::super) const SETATTR: u32 = 4;
    pub(in super::super) const OPEN: u32 = 14;
    pub(in super::super) const READ: u32 = 15;
    pub(in super::super) const WRITE: u32 = 16;
    pub(in super::super) const STATFS: u32 = 17;
    pub(in super::super) const RELEASE: u32 = 18;
    pub(in super::super) const INIT: u32 = 26;
    pub(in super::super) const INTERRUPT: u32 = 36;
    pub(in super::super) const DESTROY: u32 = 38;
    pub(in super::super) const BATCH_FORGET: u32 = 42;
    pub(in super::super) const FALLOCATE: u32 = 43;
}

// Flags of INIT.
const ASYNC_READ: u32 = 1 << 0;
const BIG_WRITES: u32 = 1 << 5;
const ASYNC_DIO: u32 = 1 << 15;
const MAX_PAGES: u32 = 1 << 22;
/// There is a second word of flags.
const INIT_EXT: u32 = 1 << 30;
/// What is requested, as far as the kernel offers it.
const WANTED: u32 = ASYNC_READ | BIG_WRITES | ASYNC_DIO | MAX_PAGES;
/// Without these, requests are too small or wait for each other.
const NEEDED: u32 = ASYNC_DIO | MAX_PAGES;

// Flags of INIT's second word.
const OVER_IO_URING: u32 = 1 << (41 - 32);

// Flags of OPEN's reply.
const FOPEN_DIRECT_IO: u32 = 1 << 0;
const FOPEN_PARALLEL_DIRECT_WRITES: u32 = 1 << 6;

/// Requests that may be in flight at once.
const MAX_BACKGROUND: u16 = 128;
/// From this many on, the kernel calls the file system congested.
const CONGESTION_THRESHOLD: u16 = 96;

/// Attributes stay valid for this many seconds: they never change.
const FOR_EVER: u64 = u32::MAX as u64;

/// A request's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InHeader {
    pub(super) len: u32,
    pub(super) opcode: u32,
    pub(super) unique: u64,
    pub(super) nodeid: u64,
}

/// The `u32` at byte `at`; 0 past the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u32::from_ne_bytes(*b))
}

/// The `u64` at byte `at`; 0 past the end.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u64::from_ne_bytes(*b))
}

impl InHeader {
    /// Reads the header of a request; `None` if it is too short for one.
    pub(super) fn parse(request: &[u8]) -> Option<Self> {
        if request.len() < IN_HEADER {
            return None;
        }
        Some(InHeader {
            len: u32_at(request, 0),
            opcode: u32_at(request, 4),
            unique: u64_at(request, 8),
            nodeid: u64_at(request, 16),
        })
    }
}

/// Where a READ or WRITE goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Io {
    pub(super) offset: u64,
    pub(super) size: u32,
}

impl Io {
    /// Reads the arguments of a READ or WRITE, which stand behind the header.
    pub(super) fn parse(args: &[u8]) -> Self {
        Io {
            offset: u64_at(args, 8),
            size: u32_at(args, 16),
        }
    }
}

/// Arguments of FALLOCATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fallocate {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) mode: u32,
}

impl Fallocate {
    const KEEP_SIZE: u32 = 1;
    const PUNCH_HOLE: u32 = 2;
    const ZERO_RANGE: u32 = 16;

    /// Reads the arguments, which stand behind the header.
    pub(super) fn parse(args: &[u8]) -> Self {
        Fallocate {
            offset: u64_at(args, 8),
            len: u64_at(args, 16),
            mode: u32_at(args, 24),
        }
    }

    /// Whether the range shall read as zeros: what a block device's discard and write-zeroes
    /// become.
    pub(super) fn zeroes(&self) -> bool {
        let kind = self.mode & !Self::KEEP_SIZE;
        kind == Self::PUNCH_HOLE || kind == Self::ZERO_RANGE
    }
}

/// The kernel does not speak the protocol as it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    /// No INIT request.
    #[error("its first request is not INIT but number {0}")]
    NotInit(u32),
    /// Too old.
    #[error("it speaks FUSE {0}.{1}, 7.31 (Linux 5.4) or later is needed")]
    TooOld(u32, u32),
    /// It lacks flags.
    #[error("it lacks asynchronous direct I/O or large requests (INIT flags {0:#x})")]
    Lacks(u32),
}

/// A fixed-size reply, built without an allocation: header and body.
pub(super) struct Reply {
    bytes: [u8; OUT_HEADER + MAX_FIXED],
    len: usize,
}

impl Reply {
    /// An empty reply; `errno` 0 for success.
    fn new(unique: u64, errno: i32) -> Self {
        let mut reply = Reply {
            bytes: [0; _],
            len: 0,
        };
        reply.u32(0);
        reply.bytes[4..8].copy_from_slice(&(-errno).to_ne_bytes());
        reply.len = 8;
        reply.u64(unique);
        reply
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn u16(&mut self, n: u16) {
        self.push(&n.to_ne_bytes());
    }

    fn u32(&mut self, n: u32) {
        self.push(&n.to_ne_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.push(&n.to_ne_bytes());
    }

    fn zeros(&mut self, n: usize) {
        self.len += n;
    }

    /// Sets the length of the whole reply, `data` bytes that follow included.
    fn finish(mut self, data: usize) -> Self {
        let len = u32::try_from(self.len + data).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// The reply's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Its header.
    pub(super) fn header(&self) -> &[u8] {
        &self.bytes[..OUT_HEADER]
    }

    /// What follows the header.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[OUT_HEADER..self.len]
    }

    /// Failure with an error number, or (0) success without a body.
    pub(super) fn error(unique: u64, errno: i32) -> Self {
        Reply::new(unique, errno).finish(0)
    }

    /// The header of a READ's reply, which `len` bytes of data follow.
    pub(super) fn data(unique: u64, len: usize) -> Self {
        Reply::new(unique, 0).finish(len)
    }

    /// Reply to a WRITE of `len` bytes.
    pub(super) fn written(unique: u64, len: u32) -> Self {
        let mut reply = Reply::new(unique, 0);
        reply.u32(len);
        reply.zeros(4);
        reply.finish(0)
    }

    /// Reply to OPEN: every request goes to the server, writes in parallel.
    pub(super) fn opened(unique: u64) -> Self {
        let mut reply = Reply::new(unique, 0);
        reply.u64(0);
        reply.u32(FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES);
        reply.zeros(4);
        reply.finish(0)
    }

    /// Reply to GETATTR: a regular file of `size` bytes that only its owner may use.
    pub(super) fn attributes(unique: u64, size: u64, uid: u32, gid: u32) -> Self {
        let mut reply = Reply::new(unique, 0);
        reply.u64(FOR_EVER);
        reply.zeros(8);
        for n in [ROOT, size, size / 512, 0, 0, 0] {
            reply.u64(n);
        }
        reply.zeros(12);
        for n in [libc::S_IFREG | 0o600, 1, uid, gid, 0, PAGE_SIZE as u32, 0] {
            reply.u32(n);
        }
        reply.finish(0)
    }

    /// Reply to STATFS: its block size is what the loop device discards by.
    pub(super) fn statfs(unique: u64, size: u64) -> Self {
        let mut reply = Reply::new(unique, 0);
        for n in [size / PAGE_SIZE as u64, 0, 0, 1, 0] {
            reply.u64(n);
        }
        for n in [PAGE_SIZE as u32, 255, PAGE_SIZE as u32] {
            reply.u32(n);
        }
        reply.zeros(28);
        reply.finish(0)
    }

    /// Reply to INIT, the kernel's `request` being the whole first request, with requests of
    /// up to `max_io` bytes of data, and whether they come over io_uring: only if `uring`
    /// asks for it and the kernel offers it.
    ///
    /// # Errors
    /// [`HandshakeError`] if the kernel is too old.
    pub(super) fn init(
        request: &[u8],
        max_io: u32,
        uring: bool,
    ) -> Result<(Self, bool), HandshakeError> {
        let header = InHeader::parse(request).ok_or(HandshakeError::NotInit(0))?;
        if header.opcode != op::INIT {
            return Err(HandshakeError::NotInit(header.opcode));
        }
        let args = &request[IN_HEADER..];
        let (major, minor, offered) = (u32_at(args, 0), u32_at(args, 4), u32_at(args, 12));
        if major != MAJOR || minor < MINOR {
            return Err(HandshakeError::TooOld(major, minor));
        }
        if offered & NEEDED != NEEDED {
            return Err(HandshakeError::Lacks(offered));
        }
        let offered2 = if offered & INIT_EXT == 0 {
            0
        } else {
            u32_at(args, 16)
        };
        let uring = uring && offered2 & OVER_IO_URING != 0;
        let (ext, flags2) = if uring {
            (INIT_EXT, OVER_IO_URING)
        } else {
            (0, 0)
        };
        let mut reply = Reply::new(header.unique, 0);
        reply.u32(MAJOR);
        reply.u32(MINOR);
        reply.u32(0); // No read-ahead: the file is never cached.
        reply.u32(offered & WANTED | ext);
        reply.u16(MAX_BACKGROUND);
        reply.u16(CONGESTION_THRESHOLD);
        reply.u32(max_io);
        reply.u32(1); // Granularity of times, which the file does not have.
        reply.u16(u16::try_from(max_io as usize / PAGE_SIZE).unwrap_or(u16::MAX));
        reply.u16(0);
        reply.u32(flags2);
        reply.zeros(4 + 2 + 22);
        Ok((reply.finish(0), uring))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(opcode: u32, args: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((IN_HEADER as u32 + args.len() as u32).to_ne_bytes());
        bytes.extend(opcode.to_ne_bytes());
        bytes.extend(0x1122_3344_5566_7788_u64.to_ne_bytes());
        bytes.extend(ROOT.to_ne_bytes());
        bytes.resize(IN_HEADER, 0);
        bytes.extend(args);
        bytes
    }

    fn numbers(list: &[u32]) -> Vec<u8> {
        list.iter().flat_map(|n| n.to_ne_bytes()).collect()
    }

    #[test]
    fn headers_and_arguments_are_read_where_the_kernel_writes_them() {
        let bytes = request(op::WRITE, &[0; WRITE_IN]);
        let header = InHeader::parse(&bytes).unwrap();
        assert_eq!(
            (header.len, header.opcode, header.nodeid),
            (80, op::WRITE, ROOT)
        );
        assert_eq!(header.unique, 0x1122_3344_5566_7788);
        assert_eq!(InHeader::parse(&bytes[..39]), None);
        let mut args = [0; 40];
        args[8..16].copy_from_slice(&77_u64.to_ne_bytes());
        args[16..20].copy_from_slice(&5_u32.to_ne_bytes());
        assert_eq!(
            Io::parse(&args),
            Io {
                offset: 77,
                size: 5
            }
        );
        assert_eq!(Io::parse(&[]), Io { offset: 0, size: 0 });
        args[16..24].copy_from_slice(&9_u64.to_ne_bytes());
        args[24..28].copy_from_slice(&3_u32.to_ne_bytes());
        let hole = Fallocate::parse(&args);
        assert_eq!(
            hole,
            Fallocate {
                offset: 77,
                len: 9,
                mode: 3
            }
        );
    }

    #[test]
    fn only_holes_and_zeros_are_discards() {
        let zeroes = |mode| {
            Fallocate {
                offset: 0,
                len: 0,
                mode,
            }
            .zeroes()
        };
        assert!([2, 3, 16, 17].map(zeroes).iter().all(|z| *z));
        assert!(![0, 1, 8, 32, 64, 18].map(zeroes).iter().any(|z| *z));
    }

    #[test]
    fn replies_have_the_sizes_of_the_protocol() {
        for (reply, size) in [
            (Reply::error(1, 5), 16),
            (Reply::written(1, 5), 24),
            (Reply::opened(1), 32),
            (Reply::attributes(1, 40960, 0, 0), 120),
            (Reply::statfs(1, 40960), 96),
        ] {
            assert_eq!(reply.bytes().len(), size);
            assert_eq!(u32_at(reply.bytes(), 0) as usize, size);
            assert_eq!(u64_at(reply.bytes(), 8), 1);
        }
        let data = Reply::data(9, 8192);
        assert_eq!((data.bytes().len(), u32_at(data.bytes(), 0)), (16, 8208));
        assert_eq!(
            u32_at(Reply::error(1, libc::EIO).bytes(), 4),
            (-libc::EIO).cast_unsigned()
        );
    }

    #[test]
    fn the_handshake_takes_what_is_offered_and_refuses_old_kernels() {
        let init = |list: &[u32]| Reply::init(&request(op::INIT, &numbers(list)), 1 << 20, false);
        let (reply, uring) = init(&[7, 45, 131_072, u32::MAX, u32::MAX]).unwrap();
        let body = reply.body();
        assert_eq!(reply.header(), &reply.bytes()[..OUT_HEADER]);
        assert_eq!((body.len(), uring), (64, false));
        assert_eq!((u32_at(body, 12), u32_at(body, 32)), (WANTED, 0));
        assert_eq!(
            u32_at(body, 16),
            u32::from(CONGESTION_THRESHOLD) << 16 | 128
        );
        assert_eq!(u32_at(body, 20), 1 << 20);
        assert_eq!(u32_at(body, 28), 256);
        assert_eq!(
            init(&[7, 30, 0, u32::MAX]).err(),
            Some(HandshakeError::TooOld(7, 30))
        );
        assert_eq!(
            init(&[8, 0, 0, u32::MAX]).err(),
            Some(HandshakeError::TooOld(8, 0))
        );
        assert_eq!(init(&[7, 31, 0, 1]).err(), Some(HandshakeError::Lacks(1)));
        assert_eq!(
            Reply::init(&request(op::READ, &[]), 4096, false).err(),
            Some(HandshakeError::NotInit(op::READ))
        );
        assert_eq!(
            Reply::init(&[], 4096, true).err(),
            Some(HandshakeError::NotInit(0))
        );
    }

    #[test]
    fn io_uring_is_agreed_on_only_where_it_is_offered() {
        let init = |flags, flags2| {
            let args = numbers(&[7, 45, 0, flags, flags2]);
            let (reply, uring) = Reply::init(&request(op::INIT, &args), 1 << 18, true).unwrap();
            let flags2 = u32_at(reply.body(), 32);
            assert_eq!(flags2 != 0, uring);
            assert_eq!(u32_at(reply.body(), 12) & INIT_EXT != 0, uring);
            (uring, flags2)
        };
        assert_eq!(init(u32::MAX, u32::MAX), (true, 1 << 9));
        assert_eq!(init(u32::MAX, !OVER_IO_URING), (false, 0));
        assert_eq!(init(!INIT_EXT, u32::MAX), (false, 0));
    }
}
