//! Random reads and writes of one device.

use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use compcache_engine::{PAGE_SIZE, Page};
use compcache_random::Random;

use super::nbd::Connection;
use super::target::Access;
use crate::direct::{Aligned, Disk};
use crate::histogram::Histogram;
use crate::interrupt;
use crate::load::stamp;

/// What came of a measurement.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Whether pages were written; else they were read.
    pub(crate) write: bool,
    /// Requests under way at once.
    pub(crate) depth: usize,
    /// Requests a second.
    pub(crate) iops: f64,
    /// The time of each.
    pub(crate) latency: Histogram,
}

/// What one thread did.
struct Work {
    started: Instant,
    ended: Instant,
    latency: Histogram,
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
}

/// A device full of known pages.
pub(crate) struct Load<'a> {
    access: &'a mut Access,
    pages: Pages<'a>,
    seed: u64,
}

impl<'a> Load<'a> {
    /// Writes every page of a device: whatever it held is lost.
    ///
    /// # Errors
    /// If the device fails, or after Ctrl-C.
    pub(crate) fn new(
        access: &'a mut Access,
        samples: &'a [Page],
        count: u64,
        seed: u64,
    ) -> Result<Self> {
        let pages = Pages { samples, count };
        let mut random = Random::new(seed);
        let mut page = Aligned::new();
        for index in 0..count {
            interrupt::check()?;
            page.0 = pages.content(index, &mut random);
            match access {
                Access::Disk(disk) => disk.write(index, &page)?,
                Access::Socket(connection) => {
                    connection.ask_write(index, index, &page.0)?;
                    connection.reply(|_| None)?;
                }
            }
        }
        Ok(Load {
            access,
            pages,
            seed,
        })
    }

    /// Does `requests` requests at random places, `depth` at once.
    ///
    /// # Errors
    /// If the device fails or gives back another page than the one that was asked for, or
    /// after Ctrl-C.
    pub(crate) fn measure(
        &mut self,
        write: bool,
        depth: usize,
        requests: usize,
    ) -> Result<Measured> {
        self.seed += 1000;
        let each = requests.div_ceil(depth);
        let all = match self.access {
            Access::Disk(disk) => by_threads(disk, self.pages, write, depth, each, self.seed)?,
            Access::Socket(connection) => {
                let random = Random::new(self.seed);
                let mut pipeline = Pipeline::new(connection, self.pages, random, depth);
                vec![pipeline.run(write, each * depth)?]
            }
        };
        let started = all.iter().map(|work| work.started).min();
        let ended = all.iter().map(|work| work.ended).max();
        let (started, ended) = started.zip(ended).context("no thread worked")?;
        let mut latency = Histogram::new();
        for work in &all {
            latency.merge(&work.latency);
        }
        Ok(Measured {
            write,
            depth,
            iops: (each * depth) as f64 / (ended - started).as_secs_f64(),
            latency,
        })
    }
}

/// Requests by direct I/O: `each` of them one after the other in each of `depth` threads.
fn by_threads(
    disk: &Disk,
    pages: Pages<'_>,
    write: bool,
    depth: usize,
    each: usize,
    seed: u64,
) -> Result<Vec<Work>> {
    let start_line = Barrier::new(depth);
    let work = |number: usize| {
        let random = Random::new(seed + number as u64);
        start_line.wait();
        direct(disk, pages, write, each, random)
    };
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..depth)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        // All are waited for, also if one has failed.
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        let panicked = |_| Err(anyhow!("a thread panicked"));
        ended
            .into_iter()
            .map(|work| work.unwrap_or_else(panicked))
            .collect()
    })
}

fn direct(
    disk: &Disk,
    pages: Pages<'_>,
    write: bool,
    requests: usize,
    mut random: Random,
) -> Result<Work> {
    let started = Instant::now();
    let mut latency = Histogram::new();
    let mut page = Aligned::new();
    for _ in 0..requests {
        interrupt::check()?;
        let index = random.below(pages.count);
        if write {
            page.0 = pages.content(index, &mut random);
        }
        let start = Instant::now();
        if write {
            disk.write(index, &page)?;
        } else {
            disk.read(index, &mut page)?;
        }
        latency.add(start.elapsed().as_nanos() as u64);
        stamp::check(&page.0, index as usize, 0)?;
    }
    Ok(Work {
        started,
        ended: Instant::now(),
        latency,
    })
}

/// Requests by one connection, as many under way as there are places.
struct Pipeline<'a> {
    connection: &'a mut Connection<UnixStream>,
    pages: Pages<'a>,
    random: Random,
    places: Vec<Place>,
}

/// A request that is under way; its cookie is the number of its place.
struct Place {
    index: u64,
    start: Instant,
    page: Page,
}

impl<'a> Pipeline<'a> {
    fn new(
        connection: &'a mut Connection<UnixStream>,
        pages: Pages<'a>,
        random: Random,
        depth: usize,
    ) -> Self {
        let place = |_| Place {
            index: 0,
            start: Instant::now(),
            page: [0; PAGE_SIZE],
        };
        Pipeline {
            connection,
            pages,
            random,
            places: (0..depth).map(place).collect(),
        }
    }

    fn run(&mut self, write: bool, requests: usize) -> Result<Work> {
        let started = Instant::now();
        let mut latency = Histogram::new();
        let first = self.places.len().min(requests);
        for at in 0..first {
            self.ask(write, at)?;
        }
        for answered in 0..requests {
            interrupt::check()?;
            let places = &mut self.places;
            let cookie = self.connection.reply(|cookie| {
                let place = places.get_mut(usize::try_from(cookie).ok()?)?;
                (!write).then_some(&mut place.page)
            })?;
            let at = usize::try_from(cookie)?;
            let place = self.places.get(at).context("a reply to no request")?;
            latency.add(place.start.elapsed().as_nanos() as u64);
            stamp::check(&place.page, place.index as usize, 0)?;
            if answered + first < requests {
                self.ask(write, at)?;
            }
        }
        Ok(Work {
            started,
            ended: Instant::now(),
            latency,
        })
    }

    fn ask(&mut self, write: bool, at: usize) -> Result<()> {
        let place = &mut self.places[at];
        place.index = self.random.below(self.pages.count);
        if write {
            place.page = self.pages.content(place.index, &mut self.random);
        }
        place.start = Instant::now();
        if write {
            self.connection
                .ask_write(at as u64, place.index, &place.page)
        } else {
            self.connection.ask_read(at as u64, place.index)
        }
    }
}

#[cfg(test)]
mod tests {
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
        let mut pipeline = Pipeline::new(&mut connection, pages, Random::new(1), 4);
        // Nothing was written: all pages are zeros.
        let error = pipeline.run(false, 50).err().unwrap().to_string();
        assert!(error.contains("has come back wrong"), "{error}");
        drop(connection);
        server.join().unwrap();
    }
}
