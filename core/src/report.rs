//! What a comparison or a verification found: a list of findings, and what they come to.

use crate::error::{Error, Result, Status};
use crate::limits::MAX_FINDINGS;

/// What a finding is about. The values are bits of a mask and part of the C interface.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Another producer wrote it.
    Producer = 1,
    /// Another version wrote it.
    Version = 2,
    /// For another architecture.
    Architecture = 4,
    /// For another operating system.
    OperatingSystem = 8,
    /// A compiler flag differs.
    SharedFlag = 0x10,
    /// An instruction set is missing, or an ISA flag differs.
    IsaFlag = 0x20,
    /// A tunable differs.
    Tunable = 0x40,
    /// A Wasm feature differs.
    Feature = 0x80,
    /// Verification: a link skips bytes or leads off alignment.
    Link = 0x1_0000,
    /// Verification: padding isn't zero.
    Padding = 0x2_0000,
    /// Verification: a module is for another machine than the target triple says.
    Machine = 0x4_0000,
    /// Verification: a module's sections, symbols or relocations point where they shouldn't.
    Section = 0x8_0000,
    /// Verification: keys of Metadata are out of order or stand there twice.
    Metadata = 0x10_0000,
    /// Verification: bytes behind Metadata that are nothing of ours.
    TrailingBytes = 0x20_0000,
    /// Verification: a signature that isn't of this artifact, or not of the key that it names.
    Signature = 0x40_0000,
}

impl Kind {
    /// The kind in lower case, as the command line's JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
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
}

/// One mismatch, or one oddity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// The setting's name, or the module's or section's.
    pub setting: String,
    /// The artifact's value; empty where it has none.
    pub artifact: String,
    /// The engine's value; empty where it has none.
    pub engine: String,
    /// The whole sentence.
    pub sentence: String,
}

/// Findings, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Each one, the first first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds a finding.
    ///
    /// # Errors
    ///
    /// LIMIT if there are more than anybody would read: a file that has so many is made to have them.
    pub fn add(&mut self, finding: Finding) -> Result<()> {
        if self.findings.len() >= MAX_FINDINGS {
            let message =
                format!("report: expected at most {MAX_FINDINGS} entries, found more; the last: {}", finding.sentence);
            return Err(Error::new(Status::Limit, message));
        }
        self.findings.push(finding);
        Ok(())
    }

    /// A mask of the kinds that occur.
    #[must_use]
    pub fn kinds(&self) -> u64 {
        self.findings.iter().fold(0, |mask, finding| mask | u64::from(finding.kind as u32))
    }

    /// What the first finding comes to; OK if there is none. Oddities that verification names are no failure.
    #[must_use]
    pub fn status(&self) -> Status {
        self.findings.first().map_or(Status::Ok, |finding| status_of(finding.kind))
    }
}

/// What one finding of this kind comes to.
#[must_use]
fn status_of(kind: Kind) -> Status {
    match kind {
        Kind::Producer => Status::WrongProducer,
        Kind::Version => Status::WrongVersion,
        Kind::Architecture
        | Kind::OperatingSystem
        | Kind::SharedFlag
        | Kind::IsaFlag
        | Kind::Tunable
        | Kind::Feature => Status::Incompatible,
        Kind::Link
        | Kind::Padding
        | Kind::Machine
        | Kind::Section
        | Kind::Metadata
        | Kind::TrailingBytes
        | Kind::Signature => Status::Ok,
    }
}

impl From<Finding> for Report {
    fn from(finding: Finding) -> Report {
        Report { findings: vec![finding] }
    }
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Error {
        Error::new(status_of(finding.kind), finding.sentence)
    }
}
