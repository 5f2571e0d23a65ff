//! What a page has beside the options of its command.

/// A page that is not made from the command line's definition alone.
pub(super) struct Extra {
    /// Name of the page, as in `compcache-run`.
    pub(super) name: &'static str,
    /// Section of the manual.
    pub(super) section: &'static str,
    /// Headings and texts, in order, after the options.
    pub(super) parts: &'static [(&'static str, &'static str)],
    /// Lines to try.
    pub(super) examples: &'static str,
    /// Other pages, with sections.
    pub(super) see_also: &'static [&'static str],
}
