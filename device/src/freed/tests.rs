//! The kernel's types: small ones made by hand, and those of this machine.

use std::collections::HashMap;
use std::path::Path;

use compcache_test_support::needs;
use proptest::prelude::*;

use super::*;
use btf::{BtfError, Function, Type};
use hook::Place;

/// Makes BTF of a few types.
#[derive(Default)]
struct Blob {
    types: Vec<u32>,
    count: u32,
    names: Vec<u8>,
    known: HashMap<String, u32>,
}

const INT: u32 = 1;
const PTR: u32 = 2;
const STRUCT: u32 = 4;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;

impl Blob {
    fn name(&mut self, name: &str) -> u32 {
        if self.names.is_empty() {
            self.names.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let names = &mut self.names;
        *self.known.entry(name.to_owned()).or_insert_with(|| {
            let at = names.len() as u32;
            names.extend(name.as_bytes());
            names.push(0);
            at
        })
    }

    fn add(&mut self, name: &str, kind: u32, count: usize, value: u32, more: &[u32]) -> u32 {
        let name = self.name(name);
        self.types.extend([name, kind << 24 | count as u32, value]);
        self.types.extend(more);
        self.count += 1;
        self.count
    }

    fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let more: Vec<u32> = members
            .iter()
            .flat_map(|&(name, kind, byte)| [self.name(name), kind, byte * 8])
            .collect();
        self.add(name, STRUCT, members.len(), size, &more)
    }

    fn function(&mut self, name: &str, returns: u32, parameters: &[(&str, u32)]) -> u32 {
        let more: Vec<u32> = parameters
            .iter()
            .flat_map(|&(name, kind)| [self.name(name), kind])
            .collect();
        let proto = self.add("", FUNC_PROTO, parameters.len(), returns, &more);
        self.add(name, FUNC, 0, proto, &[])
    }

    fn bytes(&self) -> Vec<u8> {
        let types: Vec<u8> = self.types.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let mut out = Vec::new();
        out.extend(0xeb9f_u16.to_ne_bytes());
        out.extend([1, 0]);
        let (types_len, names_len) = (types.len() as u32, self.names.len() as u32);
        for word in [24, 0, types_len, types_len, names_len] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(types);
        out.extend(&self.names);
        out
    }
}

/// The numbers of the types that the functions of a kernel use.
struct Kernel {
    blob: Blob,
    long: u32,
    int: u32,
    entry: u32,
    info: u32,
    cluster: u32,
}

fn kernel() -> Kernel {
    let mut blob = Blob::default();
    let long = blob.add("unsigned long", INT, 0, 8, &[64]);
    let int = blob.add("unsigned int", INT, 0, 4, &[32]);
    let dev = blob.add("dev_t", TYPEDEF, 0, int, &[]);
    let inode = blob.structure("inode", 600, &[("i_mode", int, 0), ("i_rdev", dev, 76)]);
    let to_inode = blob.add("", PTR, 0, inode, &[]);
    let file = blob.structure(
        "file",
        200,
        &[("f_lock", int, 0), ("f_inode", to_inode, 32)],
    );
    let to_file = blob.add("", PTR, 0, file, &[]);
    let info = blob.structure("swap_info_struct", 632, &[("swap_file", to_file, 504)]);
    let info = blob.add("", PTR, 0, info, &[]);
    let cluster = blob.structure("swap_cluster_info", 32, &[]);
    let cluster = blob.add("", PTR, 0, cluster, &[]);
    let entry = blob.structure("", 8, &[("val", long, 0)]);
    let entry = blob.add("swp_entry_t", TYPEDEF, 0, entry, &[]);
    Kernel {
        blob,
        long,
        int,
        entry,
        info,
        cluster,
    }
}

/// The hooks of a kernel, as name, form of the place, and the parameters of place and count.
fn found(kernel: &Kernel) -> Vec<(&'static str, Place, u8, u8)> {
    let bytes = kernel.blob.bytes();
    Hook::all(&Btf::parse(&bytes).unwrap())
        .into_iter()
        .inspect(|hook| {
            assert_eq!((hook.swap_file, hook.inode, hook.rdev), (504, 32, 76));
        })
        .map(|hook| (hook.name, hook.place.1, hook.place.0, hook.count))
        .collect()
}

#[test]
fn functions_are_known_in_all_their_forms() {
    let mut old = kernel();
    let (info, long, int) = (old.info, old.long, old.int);
    let range = [("si", info), ("offset", long), ("nr_entries", int)];
    old.blob.function("swap_range_free", 0, &range);
    let entries = [("p", info), ("entry", old.entry), ("nr_pages", int)];
    old.blob.function("swap_entry_range_free", 0, &entries);
    assert_eq!(
        found(&old),
        [
            ("swap_range_free", Place::Offset, 1, 2),
            ("swap_entry_range_free", Place::Entry, 1, 2)
        ]
    );

    let mut new = kernel();
    let (si, ci) = (("si", new.info), ("ci", new.cluster));
    let entries = [si, ci, ("entry", new.entry), ("nr_pages", new.int)];
    new.blob.function("swap_entries_free", 0, &entries);
    assert_eq!(found(&new), [("swap_entries_free", Place::Entry, 2, 3)]);

    let mut newer = kernel();
    let offsets = [si, ci, ("offset", newer.long), ("nr_pages", newer.int)];
    newer.blob.function("swap_entries_free", 0, &offsets);
    assert_eq!(found(&newer), [("swap_entries_free", Place::Offset, 2, 3)]);
}

type Parameters<'a> = &'a [(&'a str, u32)];

#[test]
fn functions_of_other_parameters_are_refused() {
    let Kernel {
        long,
        int,
        entry,
        info,
        cluster,
        ..
    } = kernel();
    let (si, ci) = (("si", info), ("ci", cluster));
    let refused: [(&str, u32, Parameters<'_>); 8] = [
        // A countdown, as `swap_entry_free` was.
        (
            "swap_entry_free",
            0,
            &[si, ("entry", entry), ("nr_pages", int)],
        ),
        // Slots within a cluster.
        (
            "swap_entries_free",
            0,
            &[si, ci, ("ci_start", int), ("nr_pages", int)],
        ),
        (
            "swap_entries_free",
            0,
            &[si, ci, ("offset", int), ("nr_pages", int)],
        ),
        (
            "swap_entries_free",
            0,
            &[si, ci, ("entry", entry), ("usage", int)],
        ),
        (
            "swap_entries_free",
            0,
            &[si, ci, ("entry", entry), ("nr_pages", long)],
        ),
        (
            "swap_range_free",
            0,
            &[ci, ("offset", long), ("nr_entries", int)],
        ),
        ("swap_range_free", 0, &[si, ("offset", long)]),
        // One that may fail.
        (
            "swap_range_free",
            int,
            &[si, ("offset", long), ("nr_entries", int)],
        ),
    ];
    for (name, returns, parameters) in refused {
        let mut kernel = kernel();
        kernel.blob.function(name, returns, parameters);
        assert!(found(&kernel).is_empty(), "{name} {parameters:?}");
    }
}

#[test]
fn a_function_that_is_there_twice_is_refused() {
    let mut kernel = kernel();
    let range = [
        ("si", kernel.info),
        ("offset", kernel.long),
        ("nr_entries", kernel.int),
    ];
    kernel.blob.function("swap_range_free", 0, &range);
    assert_eq!(found(&kernel).len(), 1);
    kernel.blob.function("swap_range_free", 0, &range);
    assert!(found(&kernel).is_empty());
}

#[test]
fn what_is_not_btf_is_refused() {
    let bytes = kernel().blob.bytes();
    assert!(Btf::parse(&bytes).is_ok());
    assert_eq!(Btf::parse(&[]).unwrap_err(), BtfError::Header);
    let mut other = bytes.clone();
    other[2] = 2;
    assert_eq!(Btf::parse(&other).unwrap_err(), BtfError::Header);
    let cut = Btf::parse(&bytes[..bytes.len() - 1]).unwrap_err();
    assert!(matches!(cut, BtfError::Truncated(_)), "{cut}");
    let mut unknown = kernel().blob;
    unknown.add("", 30, 0, 0, &[]);
    let number = unknown.count;
    assert_eq!(
        Btf::parse(&unknown.bytes()).unwrap_err(),
        BtfError::UnknownKind { number, kind: 30 }
    );
}

#[test]
fn names_of_types_that_go_in_circles_end() {
    let mut blob = Blob::default();
    blob.add("a", TYPEDEF, 0, 2, &[]);
    blob.add("b", TYPEDEF, 0, 1, &[]);
    let bytes = blob.bytes();
    assert_eq!(Btf::parse(&bytes).unwrap().kind(1), Type::Other);
}

proptest! {
    /// Whatever is changed: no panic, no endless loop.
    #[test]
    fn damaged_types_do_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), cut: prop::sample::Index) {
        let mut kernel = kernel();
        let range = [("si", kernel.info), ("offset", kernel.long), ("nr_entries", kernel.int)];
        kernel.blob.function("swap_range_free", 0, &range);
        let mut bytes = kernel.blob.bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let len = bytes.len();
        for bytes in [&bytes[..], &bytes[..cut.index(len)]] {
            if let Ok(btf) = Btf::parse(bytes) {
                let _ = Hook::all(&btf);
            }
        }
    }
}

/// The kernel that runs this test, if it describes its types.
#[test]
fn this_kernels_types_are_read() {
    if !needs::kernel(
        Path::new(btf::VMLINUX).exists(),
        "a description of its types",
    ) {
        return;
    }
    let types = std::fs::read(btf::VMLINUX).unwrap();
    let btf = Btf::parse(&types).unwrap();
    let Function {
        parameters,
        returns,
        ..
    } = btf.function("vfs_read").unwrap();
    let names: Vec<_> = parameters.iter().map(|p| p.name).collect();
    assert_eq!(names, ["file", "buf", "count", "pos"]);
    assert_eq!((parameters[2].kind, returns), (Type::Int(8), Type::Int(8)));
    let Type::Pointer(file) = parameters[0].kind else {
        panic!("{:?}", parameters[0]);
    };
    assert!(matches!(btf.kind(file), Type::Struct { name: "file", .. }));
    let (_, inode) = btf.member(file, "f_inode").unwrap();
    assert!(matches!(btf.kind(inode), Type::Pointer(_)));
    assert_eq!(btf.member(file, "no_such_member"), None);
}

/// The kernel takes the program for each function that it has.
#[test]
fn this_kernel_takes_the_program() {
    if !needs::root() || !needs::traced_swap(is_supported()) {
        return;
    }
    let layout = Layout::new(1 << 32).unwrap();
    let small = Layout::new(10).unwrap();
    for layout in [layout, small] {
        // The maps' sizes do not matter to the verifier.
        let (array, ring) = (Array::new(small.total()).unwrap(), Ring::new().unwrap());
        for hook in hooks().unwrap() {
            let code = program::freed(&hook, 7 << 20, &layout, array.fd(), raw(&ring));
            match sys::load(&code, hook.function) {
                Ok(_) => {}
                // Before the verifier has looked at it.
                Err((error, None)) if error.raw_os_error() == Some(libc::EPERM) => {
                    let _ = needs::traced_swap(false);
                }
                Err(error) => panic!("{}: {error:?}", hook.name),
            }
        }
    }
}

/// A write takes back its pages' bits, whoever looks at the bitmap later.
#[test]
fn a_page_that_is_written_after_its_slot_was_freed_stays() {
    use crate::disk::{Disk, StoreDisk};
    use compcache_engine::{BackingAccess, CodecSpec, Store, StoreConfig};
    use compcache_host::memory::{LinuxHost, MemfdFrames, MemfdSlots};
    use std::sync::atomic::AtomicU64;

    let store = Store::try_new(
        LinuxHost::new(Arc::default(), Arc::default()),
        MemfdFrames::new("ramzswap pool", 16).unwrap(),
        MemfdSlots::new("ramzswap slot table", 100, false).unwrap(),
        BackingAccess::None,
        StoreConfig {
            memlimit: None,
            codec: CodecSpec::LZ4,
            arenas: 1,
            reserve_bytes: 1 << 20,
        },
    )
    .unwrap();
    let disk = StoreDisk::new(store, None);
    let layout = Layout::new(100).unwrap();
    let words: Vec<AtomicU64> = (0..layout.total()).map(|_| AtomicU64::new(0)).collect();
    let dead = Arc::new(DeadBits::new(Box::new(words), layout));
    disk.revive_in(&dead);
    let mut worker = disk.worker().unwrap();
    let mut write = |page: u64, byte: u8| {
        disk.write(&mut worker, page * 4096, &[byte; 4096]).unwrap();
    };
    (0..10).for_each(|page| write(page, 1));
    // The kernel frees all of them and gives some to other pages, which are written at once.
    (0..10).for_each(|page| dead.set(page));
    [3, 4, 9].into_iter().for_each(|page| write(page, 2));
    dead.for_each(|page| {
        disk.store().discard_if(page, || dead.take(page));
    });
    let mut data = [0; 10 * 4096];
    let mut worker = disk.worker().unwrap();
    disk.read(&mut worker, 0, &mut data).unwrap();
    let first: Vec<u8> = data.chunks(4096).map(|page| page[4095]).collect();
    assert_eq!(first, [0, 0, 0, 2, 2, 0, 0, 0, 0, 2]);
    assert_eq!(disk.store().stats().notify_free, 7);
}
