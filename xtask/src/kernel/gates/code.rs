//! What the gates look at, read from an ELF file: functions with their instructions' bytes,
//! symbols, relocations, `.modinfo`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use iced_x86::{Decoder, DecoderOptions, Instruction};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags,
    RelocationTarget, SectionFlags, SymbolKind,
};

/// A function of an object.
#[derive(Debug, Default, Clone)]
pub(crate) struct Function {
    /// Demangled.
    pub(crate) name: String,
    /// The object's name for it.
    pub(crate) symbol: String,
    /// Visible to other objects.
    pub(crate) global: bool,
    pub(crate) bytes: Vec<u8>,
    /// The functions and symbols that relocations in it name, by offset in `bytes`.
    pub(crate) targets: BTreeMap<usize, String>,
}

impl Function {
    /// Its instructions in order.
    pub(crate) fn instructions(&self) -> Vec<Instruction> {
        Decoder::with_ip(64, &self.bytes, 0, DecoderOptions::NONE)
            .into_iter()
            .collect()
    }
}

/// A relocation in a section that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relocation {
    pub(crate) section: String,
    /// One of ELF's `R_X86_64_*`.
    pub(crate) kind: u32,
    /// The symbol or function that it names.
    pub(crate) target: String,
}

/// An object as the gates see it.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub(crate) functions: Vec<Function>,
    pub(crate) defined: Vec<String>,
    pub(crate) undefined: Vec<String>,
    pub(crate) relocations: Vec<Relocation>,
    /// `.modinfo`'s `key=value`s.
    pub(crate) info: Vec<String>,
}

type Elf<'a> = ElfFile64<'a, Endianness>;

impl Code {
    /// # Errors
    ///
    /// The bytes are no 64-bit ELF file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        elf::FileHeader64::<Endianness>::parse(bytes).context("no 64-bit ELF file")?;
        let file = Elf::parse(bytes)?;
        let mut code = Self::default();
        for symbol in file.symbols() {
            let name = symbol.name()?.to_string();
            match symbol.kind() {
                _ if name.is_empty() => {}
                _ if symbol.is_undefined() => code.undefined.push(name),
                SymbolKind::Text => {
                    code.defined.push(name.clone());
                    code.functions.push(function(&file, &symbol, name)?);
                }
                SymbolKind::Section | SymbolKind::File => {}
                _ => code.defined.push(name),
            }
        }
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else {
                continue;
            };
            if sh_flags & u64::from(elf::SHF_ALLOC) == 0 {
                continue;
            }
            for (offset, relocation) in section.relocations() {
                let RelocationFlags::Elf { r_type: kind } = relocation.flags() else {
                    continue;
                };
                let target = target(&file, &relocation)?;
                let name = section.name()?;
                code.note_target(&file, name, offset, &target)?;
                code.relocations.push(Relocation {
                    section: name.into(),
                    kind,
                    target,
                });
            }
        }
        if let Some(section) = file.section_by_name(".modinfo") {
            let text = String::from_utf8_lossy(section.data()?).into_owned();
            code.info = text
                .split('\0')
                .filter(|s| !s.is_empty())
                .map(Into::into)
                .collect();
        }
        Ok(code)
    }

    /// The function of a name.
    pub(crate) fn function(&self, symbol: &str) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| function.symbol == symbol)
    }

    /// Enters a relocation with the function that it is in.
    fn note_target(
        &mut self,
        file: &Elf<'_>,
        section: &str,
        offset: u64,
        target: &str,
    ) -> Result<()> {
        for symbol in file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
        {
            let range = symbol.address()..symbol.address() + symbol.size();
            let Some(index) = symbol.section_index().filter(|_| range.contains(&offset)) else {
                continue;
            };
            if file.section_by_index(index)?.name()? != section {
                continue;
            }
            let name = symbol.name()?;
            let at = usize::try_from(offset - symbol.address())?;
            for function in self
                .functions
                .iter_mut()
                .filter(|function| function.symbol == name)
            {
                function.targets.insert(at, target.into());
            }
        }
        Ok(())
    }
}

fn function<'a>(
    file: &Elf<'a>,
    symbol: &impl object::ObjectSymbol<'a>,
    name: String,
) -> Result<Function> {
    let index = symbol
        .section_index()
        .context("a function is in a section")?;
    let section = file.section_by_index(index)?;
    let data = section.data()?;
    let start = usize::try_from(symbol.address())?.min(data.len());
    let end = usize::try_from(symbol.address() + symbol.size())?.min(data.len());
    Ok(Function {
        name: format!("{:#}", rustc_demangle::demangle(&name)),
        symbol: name,
        global: symbol.is_global(),
        bytes: data[start..end].to_vec(),
        targets: BTreeMap::new(),
    })
}

/// What a relocation names: a symbol, or for a section the function at that place in it, or the
/// section.
fn target(file: &Elf<'_>, relocation: &object::Relocation) -> Result<String> {
    let RelocationTarget::Symbol(index) = relocation.target() else {
        return Ok(String::new());
    };
    let symbol = file.symbol_by_index(index)?;
    if symbol.kind() != SymbolKind::Section {
        return Ok(symbol.name()?.into());
    }
    let index = symbol
        .section_index()
        .context("a section's symbol is in it")?;
    let RelocationFlags::Elf { r_type } = relocation.flags() else {
        return Ok(String::new());
    };
    let relative = [elf::R_X86_64_PC32, elf::R_X86_64_PLT32].contains(&r_type);
    // A relative address counts from the end of its four bytes.
    let place = relocation.addend() + if relative { 4 } else { 0 };
    let at = file.symbols().find(|symbol| {
        symbol.kind() == SymbolKind::Text
            && symbol.section_index() == Some(index)
            && i64::try_from(symbol.address()) == Ok(place)
    });
    match at {
        Some(function) => Ok(function.name()?.into()),
        None => Ok(file.section_by_index(index)?.name()?.into()),
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// An object with one function.
    pub(crate) fn one(symbol: &str, global: bool, bytes: &[u8]) -> Code {
        let function = Function {
            name: symbol.into(),
            symbol: symbol.into(),
            global,
            bytes: bytes.to_vec(),
            targets: BTreeMap::new(),
        };
        Code {
            functions: vec![function],
            ..Code::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles C without anything that would change its calls.
    fn compiled(source: &str) -> Code {
        let directory = tempfile::tempdir().unwrap();
        let (c, o) = (directory.path().join("a.c"), directory.path().join("a.o"));
        std::fs::write(&c, source).unwrap();
        let mut gcc = std::process::Command::new("gcc");
        gcc.args([
            "-O1",
            "-ffunction-sections",
            "-fcf-protection=none",
            "-fno-pic",
            "-c",
            "-o",
        ]);
        crate::command::output(gcc.arg(&o).arg(&c)).unwrap();
        Code::read(&std::fs::read(&o).unwrap()).unwrap()
    }

    #[test]
    fn functions_calls_and_symbols_are_read() {
        let code = compiled(
            "int other(int);\n\
             static __attribute__((noinline)) int inner(int a) { return other(a) + 1; }\n\
             int outer(int a) { return inner(a) * 3; }\n\
             int (*table[])(int) = { inner };\n",
        );
        let outer = code.function("outer").unwrap();
        assert!(outer.global && !code.function("inner").unwrap().global);
        assert!(
            outer.targets.values().any(|target| target == "inner"),
            "{:?}",
            outer.targets
        );
        assert_eq!(code.undefined, ["other"]);
        assert!(code.defined.contains(&"table".to_string()));
        let absolute = |r: &&Relocation| r.kind == elf::R_X86_64_64 && r.target == "inner";
        assert!(
            code.relocations.iter().any(|r| absolute(&r)),
            "{:?}",
            code.relocations
        );
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(Code::read(b"#!/bin/sh\n").is_err());
    }
}
