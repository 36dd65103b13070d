//! Packs of artifacts, as `inspect` and `verify` show them.

use std::path::Path;

use artifact::artifact::OpenOptions;
use artifact::cache::pack::Pack;
use artifact::error::{Error, Status};
use artifact::format::pack::Row;
use artifact::report::Report;
use artifact::trust::keys::PublicKey;
use serde::ser::{Error as _, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::facts::hex;
use crate::failure::Failure;
use crate::input::{Input, OpenRules};
use crate::output::{CommandResult, Console, Style};

/// Column widths, for [`Console::row`].
const FACT: [isize; 2] = [9, 0];
const ARTIFACT: [isize; 3] = [81, -12, -10];

/// What `inspect --json` prints for a pack. Programs rely on its keys.
#[derive(Serialize)]
struct Facts<'p> {
    file_len: u64,
    align: u64,
    signed_by: Option<String>,
    signatures: Vec<String>,
    artifacts: Table<'p>,
}

/// The table of a pack, which has been read once before without an error. It can have millions of rows, so they are not kept.
struct Table<'p>(&'p Pack);

#[derive(Serialize)]
struct Listed {
    key: String,
    target: String,
    offset: u64,
    len: u64,
}

impl From<&Row> for Listed {
    fn from(row: &Row) -> Listed {
        Listed { key: hex(&row.key), target: hex(&row.target), offset: row.offset.get(), len: row.len.get() }
    }
}

impl Serialize for Table<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(None)?;
        let mut failed = None;
        let read = self.0.each(&mut |row| {
            rows.serialize_element(&Listed::from(row)).map_err(|error| {
                failed = Some(error);
                Error::new(Status::Io, "writing the table")
            })
        });
        match (failed, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(S::Error::custom(error)),
            (None, Ok(())) => rows.end(),
        }
    }
}

/// Opens a pack; returns none if the input is something else.
pub fn open(file: &Path, input: &Input<'_>, rules: &OpenRules) -> Result<Option<Pack>, Failure> {
    let in_file = |error| Failure::in_file(file, error);
    let region = input.region()?;
    if !Pack::is_pack(&region).map_err(in_file)? {
        return Ok(None);
    }
    if !rules.signature().is_empty() {
        let message =
            "detached signature: expected an artifact, found a pack, which is signed by its own signatures only";
        return Err(in_file(Error::new(Status::InvalidArgument, message)));
    }
    Pack::from_region(region, &rules.trusted_keys()).map(Some).map_err(in_file)
}

/// Prints the contents of a pack. A pack that has to be signed is one that is signed as a whole.
pub fn inspect(console: &mut Console, file: &Path, pack: &Pack, rules: &OpenRules, json: bool) -> CommandResult {
    let in_file = |error| Failure::in_file(file, error);
    if rules.require_signature() && pack.signer().is_none() {
        let message = "signature: expected one of a trusted key over the pack, found none";
        return Err(in_file(Error::new(Status::Untrusted, message)).into());
    }
    // Nothing is printed of a table that is damaged.
    pack.each(&mut |_| Ok(())).map_err(in_file)?;
    let signed_by = pack.signer().map(PublicKey::to_string);
    let signatures = pack.signatures().iter().map(|found| hex(&found.key)).collect();
    let (file_len, align, artifacts) = (pack.file_len(), pack.align(), Table(pack));
    let facts = Facts { file_len, align, signed_by, signatures, artifacts };
    if json { console.json(&facts) } else { print(console, file, &facts) }
}

fn print(console: &mut Console, file: &Path, facts: &Facts<'_>) -> CommandResult {
    let Facts { file_len, align, signed_by, signatures, artifacts: Table(pack) } = facts;
    console.line(file, &format!("pack, {file_len} bytes"), Style::Heading)?;
    console.row(FACT, ["artifacts", &pack.len().to_string()])?;
    console.row(FACT, ["alignment", &format!("{align} bytes")])?;
    for key in signatures {
        let trust = if signed_by.as_ref() == Some(key) { "trusted" } else { "not verified" };
        console.row(FACT, ["signature", &format!("key {key}, {trust}")])?;
    }
    if signatures.is_empty() {
        console.row(FACT, ["signature", "none"])?;
    }
    if pack.len() == 0 {
        return Ok(());
    }
    console.heading("artifacts")?;
    console.row(ARTIFACT, ["key and target", "offset", "bytes"])?;
    let mut printed = Ok(());
    let read = pack.each(&mut |row| {
        let Listed { key, target, offset, len } = row.into();
        printed = console.row(ARTIFACT, [&format!("{key}.{target}"), &offset.to_string(), &len.to_string()]);
        if printed.is_ok() { Ok(()) } else { Err(Error::new(Status::Io, "writing the table")) }
    });
    printed?;
    Ok(read.map_err(|error| Failure::in_file(file, error))?)
}

/// Verifies a pack and each artifact in it. The report has the findings of all.
pub fn verify(file: &Path, pack: &Pack, rules: &OpenRules) -> Result<Report, Failure> {
    let trusted = rules.trusted_keys();
    let verified = pack.verify().and_then(|mut report| {
        pack.each(&mut |row| {
            let mut options = OpenOptions::default();
            (options.trusted, options.read) = (&trusted, true);
            let name = || format!("artifact {}.{}", hex(&row.key), hex(&row.target));
            let found = pack.artifact(row, rules.engine.as_ref(), &options).and_then(|artifact| artifact.verify());
            for mut finding in found.map_err(|error| error.within(name()))?.findings {
                finding.sentence = format!("{}: {}", name(), finding.sentence);
                report.add(finding)?;
            }
            Ok(())
        })?;
        Ok(report)
    });
    verified.map_err(|error| Failure::in_file(file, error))
}
