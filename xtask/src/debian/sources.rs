//! The mirrors that the machine's own apt uses, read from its source files: one-line and deb822
//! form.

use std::path::Path;

use anyhow::{Result, bail};

/// The archive of a Debian release and that of its security updates.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirrors {
    pub(crate) main: String,
    pub(crate) security: Option<String>,
}

/// A source: where, and which suites of it.
#[derive(Debug)]
struct Source {
    uri: String,
    suites: Vec<String>,
}

const SUITES: [&str; 8] = [
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "stable",
    "testing",
    "unstable",
    "oldstable",
];

/// The mirrors in the source files of `/etc/apt`.
///
/// # Errors
///
/// None of the files names a Debian archive.
pub(crate) fn mirrors(etc_apt: &Path) -> Result<Mirrors> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = etc_apt.join("sources.list.d").read_dir() {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line)),
            Some("sources") => sources.extend(deb822(&text)),
            _ => {}
        }
    }
    choose(&sources, etc_apt)
}

fn choose(sources: &[Source], etc_apt: &Path) -> Result<Mirrors> {
    let with = |wanted: &dyn Fn(&str) -> bool| {
        let found = sources
            .iter()
            .find(|source| source.suites.iter().any(|suite| wanted(suite)));
        found.map(|source| source.uri.clone())
    };
    let Some(main) = with(&|suite| SUITES.contains(&suite)) else {
        bail!(
            "no Debian archive in {}: kernels come from Debian's packages; \
             add a source with one of the suites {}",
            etc_apt.display(),
            SUITES.join(", ")
        );
    };
    Ok(Mirrors {
        main,
        security: with(&|suite| suite.ends_with("-security")),
    })
}

/// `deb [options] URI SUITE COMPONENT…`
fn one_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    Some(Source {
        uri: words.next()?.into(),
        suites: vec![words.next()?.into()],
    })
}

/// Paragraphs of `Field: value` with at least `Types`, `URIs` and `Suites`.
fn deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for paragraph in lines.split(|line| line.trim().is_empty()) {
        let field = |name: &str| {
            paragraph.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let off = field("Enabled").is_some_and(|value| value == "no");
        let binary = field("Types").is_some_and(|types| types.split(' ').any(|t| t == "deb"));
        if let (false, true, Some(uris), Some(suites)) =
            (off, binary, field("URIs"), field("Suites"))
        {
            let suites: Vec<String> = suites.split_whitespace().map(String::from).collect();
            let sources_of = |uri: &str| Source {
                uri: uri.into(),
                suites: suites.clone(),
            };
            sources.extend(uris.split_whitespace().map(sources_of));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Mirrors> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        mirrors(directory.path())
    }

    #[test]
    fn deb822_with_others_and_comments() {
        let text = "Types: deb\nURIs: https://example.net/node\nSuites: nodistro\n\n\
                    Types: deb\n# a comment\nURIs: http://mirror.example/debian\n\
                    Suites: bookworm bookworm-updates\n\n\
                    Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\n";
        let mirrors = read("sources.list.d/debian.sources", text).unwrap();
        assert_eq!(mirrors.main, "http://mirror.example/debian");
        assert_eq!(
            mirrors.security.as_deref(),
            Some("http://mirror.example/security")
        );
    }

    #[test]
    fn one_line_form_with_options() {
        let text = "deb-src http://a.example/src trixie main\n\
                    deb [arch=amd64 signed-by=/k] http://a.example/debian trixie main contrib\n";
        let mirrors = read("sources.list", text).unwrap();
        assert_eq!(
            mirrors,
            Mirrors {
                main: "http://a.example/debian".into(),
                security: None
            }
        );
    }

    #[test]
    fn sources_that_are_off_do_not_count() {
        let text = "Enabled: no\nTypes: deb\nURIs: http://a.example\nSuites: trixie\n";
        assert!(read("sources.list.d/a.sources", text).is_err());
    }

    #[test]
    fn without_debian_it_says_what_to_add() {
        let error = read("sources.list", "deb http://a.example/x noble main\n").unwrap_err();
        assert!(error.to_string().contains("add a source"), "{error}");
    }
}
