//! Frames: how a message looks on the wire.
//!
//! ```text
//!  0        4         6       8          12
//! +--------+---------+-------+----------+------------------+
//! | "RZSC" | version | kind  | length   | payload (JSON)   |
//! +--------+---------+-------+----------+------------------+
//!            u16 LE    u16 LE  u32 LE     `length` bytes
//! ```
//!
//! The length is checked against [`MAX_PAYLOAD`] before anything is allocated.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"RZSC";
/// The version that this build speaks. Another one is refused, not guessed at.
pub const VERSION: u16 = 1;
/// Bytes of a header.
pub const HEADER_LEN: usize = 12;
/// The most bytes of a payload: 1 MiB.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A [`Request`](super::Request).
    Request = 1,
    /// A [`Response`](super::Response).
    Response = 2,
    /// What the daemon tells a process of its own that begins.
    Begin = 3,
    /// What it asks of such a process.
    Order = 4,
    /// The answer of that.
    Answer = 5,
    /// What such a process tells by itself.
    Event = 6,
}

/// A type that travels in a frame.
pub trait Message: Serialize + DeserializeOwned {
    /// The frame's kind.
    const KIND: Kind;
}

/// A message that could not be sent or understood.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Not a frame of this protocol at all.
    #[error("not a compcache control message: it starts with {0:02x?} instead of \"RZSC\"")]
    Magic([u8; 4]),
    /// A client and a daemon of different builds.
    #[error(
        "control protocol version {0}, but this build speaks version {VERSION}: \
         install the daemon and the tools from the same release"
    )]
    Version(u16),
    /// A request where a response belongs, or something unknown.
    #[error("control message of kind {found} where kind {expected} was expected")]
    Kind {
        /// The kind in the header.
        found: u16,
        /// The kind that belongs there.
        expected: u16,
    },
    /// A payload over [`MAX_PAYLOAD`].
    #[error("control message of {0} bytes; the limit is {MAX_PAYLOAD}")]
    TooLong(usize),
    /// The stream ended within a frame.
    #[error("the connection ended in the middle of a control message")]
    Truncated,
    /// A payload that is not the message it should be.
    #[error("control message not understood: {0}")]
    Payload(#[from] serde_json::Error),
    /// The connection failed.
    #[error("control connection: {0}")]
    Io(#[from] io::Error),
}

/// The frame of a message.
///
/// # Errors
/// [`ProtocolError::TooLong`] if the payload passes [`MAX_PAYLOAD`],
/// [`ProtocolError::Payload`] if it has no JSON form (a path that is not UTF-8).
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, ProtocolError> {
    let mut frame = Vec::with_capacity(256);
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&VERSION.to_le_bytes());
    frame.extend_from_slice(&(M::KIND as u16).to_le_bytes());
    frame.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - HEADER_LEN;
    match u32::try_from(length) {
        Ok(n) if length <= MAX_PAYLOAD => {
            frame[8..HEADER_LEN].copy_from_slice(&n.to_le_bytes());
            Ok(frame)
        }
        _ => Err(ProtocolError::TooLong(length)),
    }
}

/// The first message in `bytes` and the number of bytes it took, or `None` if `bytes` is
/// a proper beginning of a frame and more is needed.
///
/// # Errors
/// Any [`ProtocolError`] but `Truncated` and `Io`, as soon as the bytes cannot become a
/// frame of this kind of message.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<Option<(M, usize)>, ProtocolError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let length = payload_length(header, M::KIND)?;
    let Some(payload) = rest.get(..length) else {
        return Ok(None);
    };
    Ok(Some((
        serde_json::from_slice(payload)?,
        HEADER_LEN + length,
    )))
}

/// Sends one message.
///
/// # Errors
/// See [`encode`]; [`ProtocolError::Io`] if the stream fails.
pub fn write<M: Message>(stream: &mut impl Write, message: &M) -> Result<(), ProtocolError> {
    stream.write_all(&encode(message)?)?;
    Ok(stream.flush()?)
}

/// Receives one message; `None` if the stream ended before it began.
///
/// # Errors
/// Any [`ProtocolError`].
pub fn read<M: Message>(stream: &mut impl Read) -> Result<Option<M>, ProtocolError> {
    let mut header = [0; HEADER_LEN];
    match fill(stream, &mut header)? {
        0 => return Ok(None),
        HEADER_LEN => {}
        _ => return Err(ProtocolError::Truncated),
    }
    let mut payload = vec![0; payload_length(&header, M::KIND)?];
    if fill(stream, &mut payload)? < payload.len() {
        return Err(ProtocolError::Truncated);
    }
    Ok(Some(serde_json::from_slice(&payload)?))
}

/// Checks a header and gives the length of the payload behind it, at most [`MAX_PAYLOAD`].
fn payload_length(header: &[u8; HEADER_LEN], expected: Kind) -> Result<usize, ProtocolError> {
    let [m0, m1, m2, m3, v0, v1, k0, k1, l0, l1, l2, l3] = *header;
    let magic = [m0, m1, m2, m3];
    if magic != MAGIC {
        return Err(ProtocolError::Magic(magic));
    }
    let version = u16::from_le_bytes([v0, v1]);
    if version != VERSION {
        return Err(ProtocolError::Version(version));
    }
    let found = u16::from_le_bytes([k0, k1]);
    if found != expected as u16 {
        return Err(ProtocolError::Kind {
            found,
            expected: expected as u16,
        });
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_PAYLOAD {
        Err(ProtocolError::TooLong(length))
    } else {
        Ok(length)
    }
}

/// Reads until `buffer` is full or the stream ends; gives the number of bytes read.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match stream.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}
