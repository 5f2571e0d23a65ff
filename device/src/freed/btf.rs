//! The kernel's description of its own types, BTF (`Documentation/bpf/btf.rst`): as much of it
//! as is needed to find a function by its name, its parameters, and the place of a member in a
//! structure.
//!
//! The file has a header, a section of types and one of names. A type is three 32-bit words
//! (its name's offset; kind, flag and count; a size or the number of another type) and what its
//! kind adds. Types are numbered from 1 in the order in which they stand; 0 is `void`.

/// The kernel's own types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
/// Bytes of a type without what its kind adds.
const TYPE_BYTES: usize = 12;
/// How many names for a type (`typedef`, `const`, ...) may stand before it.
const MAX_NAMES: usize = 32;

/// Kinds of types (`include/uapi/linux/btf.h`).
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Types that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Not BTF, of another byte order, or of a version to come.
    #[error("the header is not that of BTF version 1 in this machine's byte order")]
    Header,
    /// A part passes the end of its section.
    #[error("the type information is cut short at byte {0}")]
    Truncated(usize),
    /// A kind whose length is not known.
    #[error("type {number} is of the unknown kind {kind}")]
    UnknownKind {
        /// The type.
        number: u32,
        /// Its kind.
        kind: u32,
    },
}

/// What a type is, as far as it matters here. Names of types (`typedef`, `const`) are passed
/// over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type<'a> {
    /// No type.
    Void,
    /// An integer of so many bytes.
    Int(u32),
    /// A pointer to the type of this number.
    Pointer(u32),
    /// A structure.
    Struct {
        /// Its name; empty if it has none.
        name: &'a str,
        /// Its size in bytes.
        size: u32,
    },
    /// Anything else.
    Other,
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its name.
    pub name: &'a str,
    /// The number of its type.
    pub number: u32,
    /// Its type.
    pub kind: Type<'a>,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// The number of its type, by which programs are attached to it.
    pub number: u32,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter<'a>>,
    /// What it returns.
    pub returns: Type<'a>,
}

/// Three words of a type and where its additions start.
#[derive(Clone, Copy)]
struct Raw {
    name: u32,
    kind: u32,
    flag: bool,
    count: usize,
    /// A size or the number of a type.
    value: u32,
    /// The offset of what the kind adds, in the section of types.
    more: usize,
}

/// BTF data, read as far as needed.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    names: &'a [u8],
    /// Where each type stands in `types`; type 1 comes first.
    places: Vec<u32>,
}

impl<'a> Btf<'a> {
    /// Reads the header of `data` and finds where each type is.
    ///
    /// # Errors
    /// [`BtfError`].
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        let magic = data.get(..2).ok_or(BtfError::Header)?;
        if magic != MAGIC.to_ne_bytes() || data.get(2) != Some(&VERSION) {
            return Err(BtfError::Header);
        }
        let header = word(data, 4)? as usize;
        let section = |offset_at, len_at| -> Result<&'a [u8], BtfError> {
            let start = header.saturating_add(word(data, offset_at)? as usize);
            let end = start.saturating_add(word(data, len_at)? as usize);
            data.get(start..end)
                .ok_or(BtfError::Truncated(data.len().min(end)))
        };
        let mut btf = Btf {
            types: section(8, 12)?,
            names: section(16, 20)?,
            places: Vec::new(),
        };
        let mut at = 0;
        while at < btf.types.len() {
            let raw = btf.raw_at(at)?;
            let more = added_bytes(raw.kind, raw.count).ok_or(BtfError::UnknownKind {
                number: btf.places.len() as u32 + 1,
                kind: raw.kind,
            })?;
            btf.places.push(at as u32);
            at = raw.more + more;
        }
        if at > btf.types.len() {
            return Err(BtfError::Truncated(header + btf.types.len()));
        }
        Ok(btf)
    }

    /// The function of this name; `None` if there is none, or more than one.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<Function<'a>> {
        let mut found = self.numbers().filter(|&number| {
            self.raw(number)
                .is_some_and(|raw| raw.kind == kind::FUNC && self.name(raw.name) == Some(name))
        });
        let (number, None) = (found.next()?, found.next()) else {
            return None;
        };
        let proto = self.raw(self.raw(number)?.value)?;
        if proto.kind != kind::FUNC_PROTO {
            return None;
        }
        let parameters = (0..proto.count)
            .map(|i| {
                let at = proto.more + i * 8;
                let number = word(self.types, at + 4).ok()?;
                Some(Parameter {
                    name: self.name(word(self.types, at).ok()?)?,
                    number,
                    kind: self.kind(number),
                })
            })
            .collect::<Option<_>>()?;
        Some(Function {
            number,
            parameters,
            returns: self.kind(proto.value),
        })
    }

    /// What the type of this number is.
    #[must_use]
    pub fn kind(&self, number: u32) -> Type<'a> {
        if number == 0 {
            return Type::Void;
        }
        let Some(raw) = self.resolve(number) else {
            return Type::Other;
        };
        match raw.kind {
            kind::INT => Type::Int(raw.value),
            kind::PTR => Type::Pointer(raw.value),
            kind::STRUCT => Type::Struct {
                name: self.name(raw.name).unwrap_or_default(),
                size: raw.value,
            },
            _ => Type::Other,
        }
    }

    /// The offset in bytes of a structure's member and the number of its type; `None` if
    /// there is no such member, or it does not start at a byte.
    #[must_use]
    pub fn member(&self, structure: u32, name: &str) -> Option<(u32, u32)> {
        let raw = self.resolve(structure)?;
        if raw.kind != kind::STRUCT {
            return None;
        }
        (0..raw.count).find_map(|i| {
            let at = raw.more + i * 12;
            if self.name(word(self.types, at).ok()?)? != name {
                return None;
            }
            let bits = word(self.types, at + 8).ok()?;
            // With the flag set, the upper eight bits are the width of a bit field.
            let plain = !raw.flag || bits >> 24 == 0;
            let offset = if raw.flag { bits & 0x00ff_ffff } else { bits };
            (plain && offset.is_multiple_of(8))
                .then_some((offset / 8, word(self.types, at + 4).ok()?))
        })
    }

    /// All numbers of types.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        1..=self.places.len() as u32
    }

    /// A type, past the names that stand before it.
    fn resolve(&self, mut number: u32) -> Option<Raw> {
        for _ in 0..MAX_NAMES {
            let raw = self.raw(number)?;
            match raw.kind {
                kind::TYPEDEF | kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => {
                    number = raw.value
                }
                _ => return Some(raw),
            }
        }
        None
    }

    fn raw(&self, number: u32) -> Option<Raw> {
        let place = *self.places.get(number.checked_sub(1)? as usize)?;
        self.raw_at(place as usize).ok()
    }

    fn raw_at(&self, at: usize) -> Result<Raw, BtfError> {
        let info = word(self.types, at + 4)?;
        Ok(Raw {
            name: word(self.types, at)?,
            kind: info >> 24 & 0x1f,
            flag: info >> 31 == 1,
            count: (info & 0xffff) as usize,
            value: word(self.types, at + 8)?,
            more: at + TYPE_BYTES,
        })
    }

    /// The name at an offset of the names' section.
    fn name(&self, offset: u32) -> Option<&'a str> {
        let rest = self.names.get(offset as usize..)?;
        let end = rest.iter().position(|&b| b == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

/// Bytes that a kind adds to the three words; `None` for a kind that is not known.
fn added_bytes(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        kind::PTR
        | kind::FWD
        | kind::TYPEDEF
        | kind::VOLATILE
        | kind::CONST
        | kind::RESTRICT
        | kind::FUNC
        | kind::FLOAT
        | kind::TYPE_TAG => 0,
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::ENUM | kind::FUNC_PROTO => count * 8,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => count * 12,
        _ => return None,
    })
}

/// The 32-bit word at a byte.
fn word(data: &[u8], at: usize) -> Result<u32, BtfError> {
    let bytes = data
        .get(at..at.saturating_add(4))
        .and_then(|b| b.try_into().ok());
    Ok(u32::from_ne_bytes(bytes.ok_or(BtfError::Truncated(at))?))
}
