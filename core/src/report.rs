//! Reports of comparisons and verifications: a list of findings, and the status they amount to.

use crate::error::{Error, Result, Status};
use crate::limits::MAX_FINDINGS;

/// The kind of a finding. The values are bits of a mask and part of the C interface.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The artifact was written by another producer.
    Producer = 1,
    /// The artifact was written by another version.
    Version = 2,
    /// The artifact is for another architecture.
    Architecture = 4,
    /// The artifact is for another operating system.
    OperatingSystem = 8,
    /// A compiler flag differs.
    SharedFlag = 0x10,
    /// An instruction set is missing, or an ISA flag differs.
    IsaFlag = 0x20,
    /// A tunable differs.
    Tunable = 0x40,
    /// A Wasm feature differs.
    Feature = 0x80,
    /// A module's ELF header is for another machine, class or byte order than the engine's target.
    ModuleMachine = 0x100,
    /// Verification: a link skips bytes or points to an unaligned offset.
    Link = 0x1_0000,
    /// Verification: padding isn't zero.
    Padding = 0x2_0000,
    /// Verification: a module is for another machine than the target triple says.
    Machine = 0x4_0000,
    /// Verification: a section overlaps another, is unaligned or oddly named, or a relocation refers outside its section or symbol
    /// table.
    Section = 0x8_0000,
    /// Verification: map keys in Metadata are out of order or duplicate.
    Metadata = 0x10_0000,
    /// Verification: unknown bytes follow Metadata.
    TrailingBytes = 0x20_0000,
    /// Verification: a signature does not match this artifact and the key that it names.
    Signature = 0x40_0000,
}

impl Kind {
    /// Returns the name of the kind in lower case, as in the JSON of the command line.
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
            Kind::ModuleMachine => "module_machine",
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

/// One mismatch with an engine, or one oddity that verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The kind of the finding.
    pub kind: Kind,
    /// The name of the setting, module, section or signature.
    pub setting: String,
    /// The artifact's value; empty if it has none.
    pub artifact: String,
    /// The engine's value; empty if it has none.
    pub engine: String,
    /// A sentence that describes the finding.
    pub sentence: String,
}

/// A list of findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The findings, in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds a finding.
    ///
    /// # Errors
    ///
    /// LIMIT if the report is full. Only a file crafted for it has that many findings.
    pub fn add(&mut self, finding: Finding) -> Result<()> {
        if self.findings.len() >= MAX_FINDINGS {
            let message =
                format!("report: expected at most {MAX_FINDINGS} entries, found more; the last: {}", finding.sentence);
            return Err(Error::new(Status::Limit, message));
        }
        self.findings.push(finding);
        Ok(())
    }

    /// Returns a mask of the kinds that occur.
    #[must_use]
    pub fn kinds(&self) -> u64 {
        self.findings.iter().fold(0, |mask, finding| mask | u64::from(finding.kind as u32))
    }

    /// Returns the status of the first finding; OK without findings. Oddities that verification found count as OK.
    #[must_use]
    pub fn status(&self) -> Status {
        self.findings.first().map_or(Status::Ok, |finding| status_of(finding.kind))
    }
}

/// Returns the status of a finding of this kind.
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
        | Kind::Feature
        | Kind::ModuleMachine => Status::Incompatible,
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
