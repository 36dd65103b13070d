//! One result per file, for `check` and `verify`: lines of text, or one line of JSON.

use std::borrow::Cow;
use std::path::Path;

use artifact::detect::Detection;
use artifact::engine::Engine;
use artifact::error::escape;
use artifact::report::{Finding, Report};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{CommandResult, Console, Outcome, Style};
use crate::variants::{self, Judged};

/// How the result for a file is printed and counted.
pub struct Format {
    /// Print one JSON object instead of text.
    pub json: bool,
    /// Print every finding instead of the first.
    pub all: bool,
    /// The text for a file without findings.
    pub success: &'static str,
    /// The outcome of a file with findings, unless their status is worse.
    pub finding: Outcome,
}

/// What was found about a file: a report, and for a file of several targets one about each variant.
pub struct Checked {
    report: Report,
    variants: Vec<Judged>,
}

impl From<Report> for Checked {
    fn from(report: Report) -> Checked {
        Checked { report, variants: Vec::new() }
    }
}

impl Checked {
    /// Of several variants, the report is that of the chosen one, or of the most portable one if none fits.
    pub fn of_variants(variants: Vec<Judged>) -> Checked {
        let of = variants::chosen(&variants).or(variants.last());
        Checked { report: of.map(|variant| variant.report.clone()).unwrap_or_default(), variants }
    }

    /// Returns whether there is anything to tell.
    pub fn has_findings(&self) -> bool {
        !self.report.findings.is_empty()
    }

    fn chosen(&self) -> Option<usize> {
        variants::chosen(&self.variants).map(|variant| variant.index)
    }
}

/// Who made a file.
pub struct Origin {
    /// The header, if it can be read.
    pub found: Option<Detection>,
    /// Whether text says it too.
    pub told: bool,
}

impl Origin {
    /// What is added to a line of text: nothing for the producer of an engine that nobody has changed.
    fn suffix(&self) -> String {
        let own = Engine::new();
        match &self.found {
            Some(Detection { producer, version, .. }) if self.told => {
                let version = escape(version);
                match (producer.as_str(), &*version) {
                    (producer, version) if (producer, version) == (own.producer(), own.version()) => String::new(),
                    (producer, "") => format!(" (made by {producer})"),
                    (producer, version) => format!(" (made by {producer} {version})"),
                }
            }
            _ => String::new(),
        }
    }
}

/// Prints the result for a file and records its outcome.
pub fn print(
    console: &mut Console,
    file: &Path,
    result: &Result<Checked, Failure>,
    format: &Format,
    origin: Option<&Origin>,
) -> CommandResult {
    if format.json {
        console.json_line(&Line::new(file, result, origin))?;
    }
    let checked = match result {
        Ok(checked) => checked,
        Err(failure) => return Ok(console.error(failure)?),
    };
    let report = &checked.report;
    console.record(Outcome::of(report.status()));
    if !report.findings.is_empty() {
        console.record(format.finding);
    }
    if format.json {
        return Ok(());
    }
    let made_by = origin.map_or(String::new(), Origin::suffix);
    if report.findings.is_empty() {
        let which = match checked.chosen() {
            Some(index) => format!(" (variant {index} of {})", checked.variants.len()),
            None => String::new(),
        };
        console.line(file, &format!("{}{which}{made_by}", format.success), Style::Success)?;
    }
    let style = if format.finding == Outcome::Success { Style::Warning } else { Style::Error };
    let count = if format.all { usize::MAX } else { 1 };
    for finding in report.findings.iter().take(count) {
        console.line(file, &format!("{}{made_by}", finding.sentence), style)?;
    }
    for variant in &checked.variants {
        let place = format!("variant {} ({})", variant.index, variant.summary());
        if variant.report.findings.is_empty() {
            let is_chosen = checked.chosen() == Some(variant.index);
            let word = if is_chosen { "chosen" } else { format.success };
            console.line(file, &format!("{place}: {word}"), Style::Success)?;
        }
        for finding in variant.report.findings.iter().take(count) {
            console.line(file, &format!("{place}: {}", finding.sentence), Style::Warning)?;
        }
    }
    Ok(())
}

/// What `--json` prints for a file.
#[derive(Serialize)]
struct Line<'a> {
    file: Cow<'a, str>,
    /// The `artifact_status_t` of the C interface.
    status: u32,
    /// The message of the first finding, or of the error.
    sentence: Option<Cow<'a, str>>,
    /// The offset in the file that an error is about.
    offset: Option<u64>,
    #[serde(flatten)]
    origin: Option<OriginKeys<'a>>,
    findings: Vec<Entry<'a>>,
    #[serde(flatten)]
    variants: Option<Variants<'a>>,
}

/// For a file of several targets.
#[derive(Serialize)]
struct Variants<'a> {
    /// The index of the chosen one.
    variant: Option<usize>,
    variants: Vec<VariantLine<'a>>,
}

#[derive(Serialize)]
struct VariantLine<'a> {
    #[serde(flatten)]
    variant: &'a Judged,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct OriginKeys<'a> {
    producer: Option<&'a str>,
    version: Option<Cow<'a, str>>,
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
    fn new(file: &'a Path, result: &'a Result<Checked, Failure>, origin: Option<&'a Origin>) -> Line<'a> {
        let file = file.to_string_lossy();
        let origin = origin.map(|origin| OriginKeys {
            producer: origin.found.as_ref().map(|found| &*found.producer),
            version: origin.found.as_ref().map(|found| escape(&found.version)),
        });
        match result {
            Ok(checked @ Checked { report, variants }) => Line {
                file,
                status: report.status() as u32,
                sentence: report.findings.first().map(|finding| finding.sentence.as_str().into()),
                offset: None,
                origin,
                findings: report.findings.iter().map(Entry::new).collect(),
                variants: (!variants.is_empty()).then(|| Variants {
                    variant: checked.chosen(),
                    variants: variants.iter().map(VariantLine::new).collect(),
                }),
            },
            Err(failure) => Line {
                file,
                status: failure.status() as u32,
                sentence: Some(failure.message()),
                offset: failure.offset(),
                origin,
                findings: Vec::new(),
                variants: None,
            },
        }
    }
}

impl<'a> VariantLine<'a> {
    fn new(variant: &'a Judged) -> VariantLine<'a> {
        VariantLine { variant, findings: variant.report.findings.iter().map(Entry::new).collect() }
    }
}

impl<'a> Entry<'a> {
    fn new(finding: &'a Finding) -> Entry<'a> {
        let Finding { kind, setting, artifact, engine, sentence, .. } = finding;
        Entry { kind: kind.name(), setting, artifact, engine, sentence }
    }
}
