//! Random reads and writes of one device.

use std::time::Instant;

use anyhow::{Context as _, Result};
use compcache_engine::Page;
use compcache_random::Random;

use super::nbd::Connection;
use super::target::Access;
use crate::direct::{Aligned, Disk};
use crate::histogram::Histogram;
use crate::load::stamp;
use crate::{interrupt, threads};

#[derive(Debug)]
pub(crate) struct Measured {
    /// Whether pages were written; else they were read.
    pub(crate) write: bool,
    /// Requests under way at once.
    pub(crate) depth: usize,
    /// Requests a second.
    pub(crate) iops: f64,
    pub(crate) latency: Histogram,
}

/// A request, which is under way or has been.
struct Slot {
    index: u64,
    start: Instant,
    page: Box<Aligned>,
}

impl Slot {
    fn new() -> Self {
        Slot {
            index: 0,
            start: Instant::now(),
            page: Aligned::new(),
        }
    }
}

trait Queue: Send {
    /// Begins to write or to read the page of the slot of this number.
    fn submit(&mut self, number: usize, slot: &mut Slot, write: bool) -> Result<()>;

    /// Waits until one that was begun has ended, and gives its number.
    fn complete(&mut self, slots: &mut [Slot], write: bool) -> Result<usize>;
}

/// By direct I/O there is one at a time, which has ended when it was begun.
impl Queue for &Disk {
    fn submit(&mut self, _number: usize, slot: &mut Slot, write: bool) -> Result<()> {
        if write {
            self.write(slot.index, &slot.page)
        } else {
            self.read(slot.index, &mut slot.page)
        }
    }

    fn complete(&mut self, _slots: &mut [Slot], _write: bool) -> Result<usize> {
        Ok(0)
    }
}

/// The cookie of a request is the number of its slot.
impl Queue for &mut Connection {
    fn submit(&mut self, number: usize, slot: &mut Slot, write: bool) -> Result<()> {
        if write {
            self.send_write(number as u64, slot.index, &slot.page.0)
        } else {
            self.send_read(number as u64, slot.index)
        }
    }

    fn complete(&mut self, slots: &mut [Slot], write: bool) -> Result<usize> {
        let cookie = self.reply(|cookie| {
            let slot = slots.get_mut(usize::try_from(cookie).ok()?)?;
            (!write).then_some(&mut slot.page.0)
        })?;
        Ok(usize::try_from(cookie)?)
    }
}

impl Access {
    /// What takes requests, `depth` of them at once; and how many at once each of these takes.
    fn queues(&mut self, depth: usize) -> (Vec<Box<dyn Queue + '_>>, usize) {
        match self {
            Access::Disk(disk) => {
                let queue = |_| Box::new(&*disk) as Box<dyn Queue>;
                ((0..depth).map(queue).collect(), 1)
            }
            Access::Socket(connection) => (vec![Box::new(&mut *connection)], depth),
        }
    }
}

/// The pages of a device: each is any of the samples, with a stamp.
#[derive(Clone, Copy)]
struct Pages<'a> {
    samples: &'a [Page],
    count: u64,
}

impl Pages<'_> {
    /// What is written to page `index`.
    fn content(&self, index: u64, random: &mut Random) -> Page {
        let mut page = random.pick(self.samples);
        stamp::write(&mut page, index as usize, 0);
        page
    }

    /// Writes all of them, one after the other.
    fn fill(&self, queue: &mut dyn Queue, mut random: Random) -> Result<()> {
        let mut slot = Slot::new();
        for index in 0..self.count {
            interrupt::check()?;
            slot.index = index;
            slot.page.0 = self.content(index, &mut random);
            queue.submit(0, &mut slot, true)?;
            queue.complete(std::slice::from_mut(&mut slot), true)?;
        }
        Ok(())
    }
}

pub(crate) struct Load<'a> {
    access: &'a mut Access,
    pages: Pages<'a>,
    seed: u64,
}

impl<'a> Load<'a> {
    /// Writes every page of a device: whatever it held is lost.
    pub(crate) fn new(
        access: &'a mut Access,
        samples: &'a [Page],
        count: u64,
        seed: u64,
    ) -> Result<Self> {
        let pages = Pages { samples, count };
        for mut queue in access.queues(1).0 {
            pages.fill(queue.as_mut(), Random::new(seed))?;
        }
        Ok(Load {
            access,
            pages,
            seed,
        })
    }

    /// Does `requests` requests at random places, `depth` at once: by direct I/O one after the other
    /// in each of so many threads.
    pub(crate) fn measure(
        &mut self,
        write: bool,
        depth: usize,
        requests: usize,
    ) -> Result<Measured> {
        self.seed += 1000;
        let requests = requests.div_ceil(depth) * depth;
        let pages = self.pages;
        let (queues, depth_each) = self.access.queues(depth);
        let each = requests / queues.len();
        let queues = (self.seed..).zip(queues).collect();
        let (times, seconds) = threads::at_once(queues, |(seed, mut queue)| {
            let random = Random::new(seed);
            run(queue.as_mut(), pages, write, depth_each, each, random)
        })?;
        let mut latency = Histogram::new();
        times.iter().for_each(|times| latency.merge(times));
        Ok(Measured {
            write,
            depth,
            iops: requests as f64 / seconds,
            latency,
        })
    }
}

/// Does requests at random places, `depth` at once, and gives the time of each.
fn run(
    queue: &mut dyn Queue,
    pages: Pages<'_>,
    write: bool,
    depth: usize,
    requests: usize,
    mut random: Random,
) -> Result<Histogram> {
    let mut begin = |queue: &mut dyn Queue, number: usize, slot: &mut Slot| {
        slot.index = random.below(pages.count);
        if write {
            slot.page.0 = pages.content(slot.index, &mut random);
        }
        slot.start = Instant::now();
        queue.submit(number, slot, write)
    };
    let mut slots: Vec<Slot> = (0..depth.min(requests)).map(|_| Slot::new()).collect();
    let mut latency = Histogram::new();
    for (number, slot) in slots.iter_mut().enumerate() {
        begin(queue, number, slot)?;
    }
    let begun = slots.len();
    for ended in 0..requests {
        interrupt::check()?;
        let number = queue.complete(&mut slots, write)?;
        let slot = slots.get_mut(number).context("a reply to no request")?;
        latency.add(slot.start.elapsed().as_nanos() as u64);
        stamp::check(&slot.page.0, slot.index as usize, 0)?;
        if ended + begun < requests {
            begin(queue, number, slot)?;
        }
    }
    Ok(latency)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use compcache_engine::PAGE_SIZE;

    use super::*;

    /// What the smallest NBD server does that keeps its pages.
    fn serve(mut stream: UnixStream, pages: usize) {
        use std::io::{Read as _, Write as _};
        stream.write_all(b"NBDMAGICIHAVEOPT\0\x03").unwrap();
        stream.read_exact(&mut [0; 20]).unwrap();
        let bytes = (pages * PAGE_SIZE) as u64;
        stream.write_all(&bytes.to_be_bytes()).unwrap();
        stream.write_all(&[0; 2]).unwrap();
        let mut disk = vec![[0_u8; PAGE_SIZE]; pages];
        let mut request = [0; 28];
        while stream.read_exact(&mut request).is_ok() {
            let offset = u64::from_be_bytes(request[16..24].try_into().unwrap());
            let page = &mut disk[offset as usize / PAGE_SIZE];
            let is_write = request[7] == 1;
            if is_write {
                stream.read_exact(page).unwrap();
            }
            let mut reply = b"\x67\x44\x66\x98\0\0\0\0".to_vec();
            reply.extend(&request[8..16]);
            if !is_write {
                reply.extend(*page);
            }
            // The client may have seen enough.
            if stream.write_all(&reply).is_err() {
                break;
            }
        }
    }

    #[test]
    fn a_socket_is_measured_at_any_depth() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || serve(theirs, 64));
        let mut access = Access::Socket(Connection::new(ours).unwrap());
        let samples = [[1; PAGE_SIZE], [2; PAGE_SIZE]];
        let mut load = Load::new(&mut access, &samples, 64, 1).unwrap();
        for depth in [1, 8, 32] {
            for write in [true, false] {
                let measured = load.measure(write, depth, 100).unwrap();
                let requests = 100_usize.div_ceil(depth) * depth;
                assert_eq!(measured.latency.count(), requests as u64);
                assert!(measured.iops > 0.0);
            }
        }
        drop(access);
        server.join().unwrap();
    }

    #[test]
    fn a_wrong_page_is_noticed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || serve(theirs, 64));
        let mut connection = Connection::new(ours).unwrap();
        let pages = Pages {
            samples: &[[1; PAGE_SIZE]],
            count: 64,
        };
        // Nothing was written: all pages are zeros.
        let work = run(&mut &mut connection, pages, false, 4, 50, Random::new(1));
        let error = work.err().unwrap().to_string();
        assert!(error.contains("has come back wrong"), "{error}");
        drop(connection);
        server.join().unwrap();
    }
}
