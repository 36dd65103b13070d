//! What `check` and `verify` say about each of several files: a line for people, or a line of JSON for programs.

use std::path::Path;

use artifact::error::Result;
use artifact::report::{Finding, Kind, Report};
use serde::Serialize;

use crate::output::{Console, Done, Outcome, Paint};

/// How findings are shown.
pub struct Style {
    /// One object per file instead of sentences.
    pub json: bool,
    /// Every finding instead of the first.
    pub all: bool,
    /// What is said of a file without findings.
    pub fine: &'static str,
    /// What any finding means for the exit status, where its own status doesn't say.
    pub oddity: Outcome,
}

/// Says what was found about a file, and counts it.
pub fn show(console: &mut Console, file: &Path, result: &Result<Report>, style: &Style) -> Done {
    if style.json {
        console.json_line(&Line::new(file, result))?;
    }
    let report = match result {
        Ok(report) => report,
        Err(error) => return Ok(console.refuse(file, error)?),
    };
    console.count(Outcome::of(report.status()));
    if !report.findings.is_empty() {
        console.count(style.oddity);
    }
    if style.json {
        return Ok(());
    }
    if report.findings.is_empty() {
        console.line(file, style.fine, Paint::Good)?;
    }
    let paint = if style.oddity == Outcome::Fine { Paint::Odd } else { Paint::Bad };
    let count = if style.all { usize::MAX } else { 1 };
    for finding in report.findings.iter().take(count) {
        console.line(file, &finding.sentence, paint)?;
    }
    Ok(())
}

/// What `--json` prints per file.
#[derive(Serialize)]
struct Line<'a> {
    file: String,
    /// As in the C interface; 0 if all is well.
    status: u32,
    /// The first finding's, or the error's.
    sentence: Option<&'a str>,
    /// Where in the file an error is.
    offset: Option<u64>,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    kind: &'static str,
    setting: &'a str,
    artifact: &'a str,
    engine: &'a str,
    sentence: &'a str,
}

impl<'a> Line<'a> {
    fn new(file: &Path, result: &'a Result<Report>) -> Line<'a> {
        let file = file.to_string_lossy().into_owned();
        match result {
            Ok(report) => Line {
                file,
                status: report.status() as u32,
                sentence: report.findings.first().map(|finding| finding.sentence.as_str()),
                offset: None,
                findings: report.findings.iter().map(Entry::new).collect(),
            },
            Err(error) => Line {
                file,
                status: error.status() as u32,
                sentence: Some(error.message()),
                offset: error.offset(),
                findings: Vec::new(),
            },
        }
    }
}

impl<'a> Entry<'a> {
    fn new(finding: &'a Finding) -> Entry<'a> {
        let Finding { kind, setting, artifact, engine, sentence } = finding;
        Entry { kind: name(*kind), setting, artifact, engine, sentence }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Producer => "producer",
        Kind::Version => "version",
        Kind::Architecture => "architecture",
        Kind::OperatingSystem => "operating_system",
        Kind::SharedFlag => "shared_flag",
        Kind::IsaFlag => "isa_flag",
        Kind::Tunable => "tunable",
        Kind::Feature => "feature",
        Kind::Link => "link",
        Kind::Padding => "padding",
        Kind::Machine => "machine",
        Kind::Section => "section",
        Kind::Metadata => "metadata",
        Kind::TrailingBytes => "trailing_bytes",
        Kind::Signature => "signature",
    }
}
