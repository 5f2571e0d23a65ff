//! The client's side of the NBD protocol, as far as a disk of pages needs it: the newstyle
//! handshake with `NBD_OPT_EXPORT_NAME`, simple requests and simple replies
//! (<https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>). All numbers are
//! big-endian.

use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail, ensure};
use compcache_engine::{PAGE_SIZE, Page};

/// `NBDMAGIC`.
const MAGIC: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`.
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// Both sides leave out 124 bytes of zeros after the handshake.
const NO_ZEROES: u16 = 2;
/// The other side speaks the newstyle as it was fixed; it does not disturb us.
const FIXED_NEWSTYLE: u16 = 1;
const OPTION_EXPORT_NAME: u32 = 1;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
const READ: u16 = 0;
const WRITE: u16 = 1;

/// A connection to a server's default export.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    pub(crate) bytes: u64,
}

impl Connection {
    pub(crate) fn new(mut stream: UnixStream) -> Result<Self> {
        ensure!(
            read_u64(&mut stream).context("no greeting")? == MAGIC
                && read_u64(&mut stream)? == OPTION_MAGIC,
            "this is no NBD server of the newstyle"
        );
        let flags = u16::from_be_bytes(read(&mut stream)?) & (NO_ZEROES | FIXED_NEWSTYLE);
        let mut answer = Vec::new();
        answer.extend(u32::from(flags).to_be_bytes());
        answer.extend(OPTION_MAGIC.to_be_bytes());
        answer.extend(OPTION_EXPORT_NAME.to_be_bytes());
        // The default export has an empty name.
        answer.extend(0_u32.to_be_bytes());
        stream.write_all(&answer)?;
        let bytes = read_u64(&mut stream).context("the server refused")?;
        let _flags: [u8; 2] = read(&mut stream)?;
        if flags & NO_ZEROES == 0 {
            stream.read_exact(&mut [0; 124])?;
        }
        Ok(Connection { stream, bytes })
    }

    /// Asks for a page; `cookie` comes back with it.
    pub(crate) fn send_read(&mut self, cookie: u64, index: u64) -> Result<()> {
        Ok(self.stream.write_all(&request(READ, cookie, index))?)
    }

    /// Sends a page; `cookie` comes back when it is written.
    pub(crate) fn send_write(&mut self, cookie: u64, index: u64, page: &Page) -> Result<()> {
        let mut bytes = [0; HEADER + PAGE_SIZE];
        bytes[..HEADER].copy_from_slice(&request(WRITE, cookie, index));
        bytes[HEADER..].copy_from_slice(page);
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Waits for the reply to any request, and gives its cookie. If that is one for which
    /// `page_of` has a page, the page is read into that.
    pub(crate) fn reply<'p>(
        &mut self,
        page_of: impl FnOnce(u64) -> Option<&'p mut Page>,
    ) -> Result<u64> {
        let header: [u8; 16] = read(&mut self.stream)?;
        let mut rest = &header[..];
        let magic = u32::from_be_bytes(read(&mut rest)?);
        let error = u32::from_be_bytes(read(&mut rest)?);
        let cookie = read_u64(&mut rest)?;
        ensure!(magic == REPLY_MAGIC, "{magic:#x} is no reply of NBD's");
        if error != 0 {
            bail!("the NBD server answers with error {error}");
        }
        if let Some(page) = page_of(cookie) {
            self.stream.read_exact(page)?;
        }
        Ok(cookie)
    }
}

/// Bytes of a request, without a page.
const HEADER: usize = 28;

fn request(kind: u16, cookie: u64, index: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    // Bytes 4 and 5 are flags, none of which is set.
    bytes[..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
    bytes[6..8].copy_from_slice(&kind.to_be_bytes());
    bytes[8..16].copy_from_slice(&cookie.to_be_bytes());
    bytes[16..24].copy_from_slice(&(index * PAGE_SIZE as u64).to_be_bytes());
    bytes[24..].copy_from_slice(&(PAGE_SIZE as u32).to_be_bytes());
    bytes
}

/// The next bytes of a number.
fn read<const N: usize>(stream: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_u64(stream: &mut impl Read) -> std::io::Result<u64> {
    Ok(u64::from_be_bytes(read(stream)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection to a server that says this, and the server's end of the socket.
    fn connect(says: &[&[u8]]) -> (Result<Connection>, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&says.concat()).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        (Connection::new(ours), theirs)
    }

    /// The next bytes that a server got.
    fn sent<const N: usize>(server: &mut UnixStream) -> [u8; N] {
        read(server).unwrap()
    }

    const GREETING: &[u8] = b"NBDMAGICIHAVEOPT\0\x03";
    /// Bytes that the client sends before its requests.
    const HANDSHAKE: usize = 20;
    /// 64 KiB, and flags.
    const EXPORT: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 0, 0, 1];

    #[test]
    fn hands_are_shaken_in_the_new_style() {
        let (connection, mut server) = connect(&[GREETING, EXPORT]);
        assert_eq!(connection.unwrap().bytes, 65536);
        let wanted: [u8; HANDSHAKE] = *b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0";
        assert_eq!(sent(&mut server), wanted);
        // No more than that: the connection has ended.
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn the_zeros_of_an_old_server_are_passed_over() {
        let greeting = b"NBDMAGICIHAVEOPT\0\0";
        let reply = b"\x67\x44\x66\x98\0\0\0\0\0\0\0\0\0\0\0\x07";
        let (connection, mut server) = connect(&[greeting, EXPORT, &[0; 124], reply]);
        assert_eq!(connection.unwrap().reply(|_| None).unwrap(), 7);
        assert_eq!(sent(&mut server), [0; 4]);
    }

    #[test]
    fn pages_are_written_and_read_in_any_order() {
        let ok = |cookie: u8| [b"\x67\x44\x66\x98\0\0\0\0\0\0\0\0\0\0\0", &[cookie][..]].concat();
        let page = [0xa5; PAGE_SIZE];
        let (connection, mut server) = connect(&[GREETING, EXPORT, &ok(2), &page, &ok(1)]);
        let mut connection = connection.unwrap();
        sent::<HANDSHAKE>(&mut server);
        connection.send_write(1, 3, &[7; PAGE_SIZE]).unwrap();
        connection.send_read(2, 5).unwrap();
        let write = b"\x25\x60\x95\x13\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x30\0\0\0\x10\0";
        assert_eq!(sent(&mut server), *write);
        assert_eq!(sent(&mut server), [7; PAGE_SIZE]);
        let read = b"\x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x50\0\0\0\x10\0";
        assert_eq!(sent(&mut server), *read);
        let mut into = [0; PAGE_SIZE];
        assert_eq!(connection.reply(|_| Some(&mut into)).unwrap(), 2);
        assert_eq!(into, page);
        assert_eq!(connection.reply(|_| None).unwrap(), 1);
        assert!(connection.reply(|_| None).is_err(), "the server has ended");
    }

    #[test]
    fn what_is_no_nbd_is_refused() {
        for says in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53",
            GREETING,
        ] {
            assert!(connect(&[says]).0.is_err(), "{says:?}");
        }
        let error = b"\x67\x44\x66\x98\0\0\0\x05\0\0\0\0\0\0\0\x01";
        for reply in [&error[..], &[0; 16], &error[..9]] {
            let (connection, _server) = connect(&[GREETING, EXPORT, reply]);
            let reply_is = connection.unwrap().reply(|_| None);
            assert!(reply_is.is_err(), "{reply:?}");
        }
    }
}
