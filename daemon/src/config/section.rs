//! A table of a file, whose keys are taken out one by one; a key that is left over is unknown.

use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use super::value::found;

/// What is wrong, and where in the text.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The offset in bytes.
    pub at: usize,
    /// The key, the value and what is allowed.
    pub message: String,
}

impl Wrong {
    fn key(at: usize, key: &str, why: impl std::fmt::Display) -> Wrong {
        let message = format!("key `{key}`: {why}");
        Wrong { at, message }
    }
}

/// A table.
pub(super) struct Section<'t> {
    at: usize,
    keys: DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// The table that stands at this offset.
    pub(super) fn new(at: usize, keys: DeTable<'t>) -> Self {
        let known = Vec::new();
        Section { at, keys, known }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The value of a key as `read` reads it, if it is there.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Result<Option<T>, Wrong> {
        let Some((at, value)) = self.take(key) else {
            return Ok(None);
        };
        read(&value)
            .map(Some)
            .map_err(|why| Wrong::key(at, key, why))
    }

    /// As [`Section::value`], of a key that has to be there; `example` is what it may say.
    pub(super) fn needed<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Result<T, Wrong> {
        let value = self.value(key, read)?;
        value.ok_or_else(|| {
            let why = format!("is missing: add it, for example `{key} = {example}`");
            Wrong::key(self.at, key, why)
        })
    }

    /// The table `[KEY]`, if it is there.
    pub(super) fn table(&mut self, key: &'static str) -> Result<Option<Section<'t>>, Wrong> {
        match self.take(key) {
            None => Ok(None),
            Some((at, DeValue::Table(keys))) => Ok(Some(Section::new(at, keys))),
            Some((at, other)) => {
                let why = format!("{}: write [{key}], a table", found(&other));
                Err(Wrong::key(at, key, why))
            }
        }
    }

    /// The tables `[[KEY]]`.
    pub(super) fn tables(&mut self, key: &'static str) -> Result<Vec<Section<'t>>, Wrong> {
        let wrong = |at, value: &DeValue<'_>| {
            let why = format!("{}: write [[{key}]], an array of tables", found(value));
            Wrong::key(at, key, why)
        };
        let elements = match self.take(key) {
            None => return Ok(Vec::new()),
            Some((_, DeValue::Array(elements))) => elements,
            Some((at, other)) => return Err(wrong(at, &other)),
        };
        let section = |element: toml::Spanned<DeValue<'t>>| {
            let at = element.span().start;
            match element.into_inner() {
                DeValue::Table(keys) => Ok(Section::new(at, keys)),
                other => Err(wrong(at, &other)),
            }
        };
        elements.into_iter().map(section).collect()
    }

    /// Whether nothing is left.
    pub(super) fn end(self) -> Result<(), Wrong> {
        let left = self.keys.keys().min_by_key(|key| key.span().start);
        let Some(key) = left else { return Ok(()) };
        let mut message = format!("key `{}` is unknown: give one of ", key.get_ref());
        for (i, known) in self.known.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let _ = write!(message, "{comma}{known}");
        }
        let at = key.span().start;
        Err(Wrong { at, message })
    }

    fn take(&mut self, key: &'static str) -> Option<(usize, DeValue<'t>)> {
        self.known.push(key);
        let (key, value) = self.keys.remove_entry(key)?;
        Some((key.span().start, value.into_inner()))
    }
}
