//! The variants of a file of several targets: which one a host or an engine gets, and why not the others.

use artifact::artifact::{Artifact, OpenOptions};
use artifact::engine::Engine;
use artifact::error::{Error, Result, Status, quote};
use artifact::report::Report;
use serde::Serialize;

/// How many needs a line of text names.
const NAMED: usize = 4;

/// A variant, and what a host or an engine makes of it.
#[derive(Serialize)]
pub struct Judged {
    pub index: usize,
    pub target: String,
    /// The ISA flags that are on, and others as `name=value`.
    pub needs: Vec<String>,
    pub offset: u64,
    pub len: u64,
    pub score: i32,
    /// Why it was not chosen; without findings if it fits.
    #[serde(skip)]
    pub report: Report,
}

impl Judged {
    /// The target and the first needs, for people.
    pub fn summary(&self) -> String {
        let mut words = vec![quote(self.target.as_bytes()).into_owned()];
        words.extend(self.needs.iter().take(NAMED).map(|need| quote(need.as_bytes()).into_owned()));
        match self.needs.len().saturating_sub(NAMED) {
            0 => (),
            more => words.push(format!("and {more} more")),
        }
        words.join(" ")
    }
}

/// Lists the variants, without judging them. Empty for a file of one target.
pub fn list(artifact: &Artifact) -> Result<Vec<Judged>> {
    let count = if artifact.variant_count() == 1 { 0 } else { artifact.variant_count() };
    let one = |index| {
        let row = artifact.variant(index)?;
        let needs = row.needs().map(|need| need.into_owned()).collect();
        let (target, report) = (row.target.to_owned(), Report::default());
        Ok(Judged { index, target, needs, offset: row.offset, len: row.len, score: row.score, report })
    };
    (0..count).map(one).collect()
}

/// Compares every variant with an engine, or with this host without one. Empty for a file of one target.
pub fn judge(artifact: &Artifact, engine: Option<&Engine>) -> Result<Vec<Judged>> {
    let mut options = OpenOptions::default();
    options.read = true;
    let mut variants = list(artifact)?;
    for variant in &mut variants {
        let opened = artifact.open_variant(variant.index, &options)?;
        variant.report = engine.map_or_else(|| opened.report_for_host(), |engine| opened.report(engine))?;
    }
    Ok(variants)
}

/// The variant that is chosen: the first one that fits.
pub fn chosen(variants: &[Judged]) -> Option<&Judged> {
    variants.iter().find(|variant| variant.report.findings.is_empty())
}

/// Refuses a file of several targets for a command that works on the parts of one.
pub fn expect_one(artifact: &Artifact, instead: &str) -> Result<()> {
    match artifact.variant_count() {
        1 => Ok(()),
        count => {
            let message = format!("expected a file of one target, found {count} variants (use `{instead}`)");
            Err(Error::new(Status::Unsupported, message))
        }
    }
}
