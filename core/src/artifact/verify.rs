//! Full verification: everything that opening does not check because the time for it grows with the file. Damage is an error.
//! What a genuine Wasmtime 0.33 accepts although no known writer creates it is an oddity, listed in the report.

use object::elf;

use super::spans::each_span;
use super::{Artifact, Trailer, digest_mismatch};
use crate::alloc;
use crate::engine::target::elf_identity;
use crate::error::{Error, Result, quote};
use crate::format::body::{self, LINK_SIZE};
use crate::format::elf::{Extent, Identity};
use crate::format::metadata::Metadata;
use crate::format::module::{Module, Section};
use crate::format::trailer::{Digest, TRAILER_MAGIC};
use crate::format::types::EntityType;
use crate::format::{Map, first_nonzero};
use crate::limits::NameBudget;
use crate::native;
use crate::report::{Finding, Kind, Report};
use crate::trust::keys::PublicKey;

/// Verifies every digest, link, bound and table of an artifact.
///
/// # Errors
///
/// DIGEST_MISMATCH, CORRUPT or TRUNCATED for damage, with its offset, TRUNCATED also for a file that has become shorter; WRONG_VERSION if Metadata has an unknown layout.
pub fn verify(artifact: &Artifact) -> Result<Report> {
    let mut report = Report::default();
    artifact.region.check_length()?;
    if let Some(trailer) = artifact.trailer() {
        check_frame(artifact, trailer)?;
    }
    // Damage is found before a Metadata of an unknown layout is.
    let metadata = artifact.metadata();
    let expected = metadata.as_ref().ok().and_then(|metadata| elf_identity(metadata.target));
    let mut names = NameBudget::for_file(artifact.len());
    each_span(artifact, &mut |index, span, digest| {
        let seen = check_module(artifact, index, span, digest)?;
        let Ok(metadata) = metadata else { return Ok(()) };
        let in_module = |error| artifact.in_module(index, error);
        check_link(&mut report, artifact, index, span, seen.align)?;
        if let Some(expected) = expected {
            check_machine(&mut report, metadata, expected, index, &seen.extent)?;
        }
        check_sections(&mut report, seen.bytes, index, &seen.module, &mut names).map_err(in_module)?;
        // What loading the module would check, so that no module is called corrupt only then.
        if seen.extent.big_endian {
            Ok(())
        } else {
            native::verify::verify(seen.bytes, seen.extent.machine).map_err(in_module)
        }
    })?;
    let metadata = artifact.metadata()?;
    check_maps(&mut report, metadata)?;
    check_signatures(&mut report, artifact)?;
    let (end, len) = (artifact.body_end(), artifact.len());
    if artifact.trailer().is_none() && end < len {
        let count = len - end;
        let sentence = format!("{count} unknown bytes follow Metadata at offset {end}");
        report.add(oddity(Kind::TrailingBytes, "body", sentence))?;
    }
    Ok(report)
}

/// Checks all digests of a trailer, if there is one.
///
/// # Errors
///
/// DIGEST_MISMATCH or CORRUPT, with the offset.
pub fn check_all_digests(artifact: &Artifact) -> Result<()> {
    let Some(trailer) = artifact.trailer() else { return Ok(()) };
    check_frame(artifact, trailer)?;
    each_span(artifact, &mut |index, span, digest| check_module(artifact, index, span, digest).map(|_| ()))
}

/// Checks what opening does not, in an artifact with a trailer whose modules have the given digests: all digests, the bytes between
/// the parts, and that links and alignments agree with the module table.
///
/// # Errors
///
/// DIGEST_MISMATCH or CORRUPT, with the offset.
pub fn check_digests(artifact: &Artifact, trailer: &Trailer, digests: &[Digest]) -> Result<()> {
    check_frame(artifact, trailer)?;
    digests
        .iter()
        .enumerate()
        .try_for_each(|(index, digest)| check_module(artifact, index, artifact.module_span(index)?, digest).map(|_| ()))
}

/// Checks the parts of an artifact with a trailer that are not modules: the tail, attributes, and the bytes between the parts.
fn check_frame(artifact: &Artifact, trailer: &Trailer) -> Result<()> {
    let Trailer { layout, root, .. } = trailer;
    let base = artifact.base();
    let (tail, end) = (root.tail_offset(), root.body_end.get());
    let read = artifact.region.stable(tail, layout.table, "the bytes between modules and trailer")?;
    let (found, gap) = read.split_at_checked(end.saturating_sub(tail) as usize).unwrap_or((&read, &[]));
    let (zeros, magic) = gap.split_at(gap.len().saturating_sub(TRAILER_MAGIC.len()));
    if first_nonzero(zeros).is_some() {
        let message = "trailer: expected zero padding before it, found nonzero bytes";
        return Err(Error::corrupt(message).at(base + end));
    }
    if magic != TRAILER_MAGIC {
        let message = "trailer: expected its magic, found other bytes";
        return Err(Error::corrupt(message).at(base + layout.start));
    }
    // Opening has read the tail into memory and compared its digest.
    if found != artifact.tail()? {
        return Err(digest_mismatch("HEADER and Metadata", base + tail));
    }
    artifact.attributes().map(|_| ())
}

/// A module whose digest, link and ELF header are right.
struct Seen<'a> {
    bytes: &'a [u8],
    extent: Extent,
    module: Module<'a>,
    align: u64,
}

/// Checks a module's link and header, and compares it with its entry in the module table, if there is one: digest and alignment.
fn check_module<'a>(artifact: &Artifact, index: usize, span: &'a [u8], digest: &Digest) -> Result<Seen<'a>> {
    let entry = if artifact.trailer().is_some() { artifact.entries()?.get(index) } else { None };
    let start = || artifact.span_start(index).map_or(0, |start| artifact.base() + start);
    if entry.is_some_and(|entry| entry.digest != *digest) {
        return Err(digest_mismatch(&format!("module {index}"), start()));
    }
    let extent = artifact.extent_in(index, span)?;
    let found = Identity::new(extent.machine, 64, extent.big_endian);
    if let Some(stated) = artifact.trailer().and_then(|trailer| trailer.root.identity.get()).filter(|all| *all != found)
    {
        let message =
            format!("module {index}: expected {stated}, as the root record says of all modules, found {found}");
        return Err(Error::corrupt(message).at(artifact.base() + artifact.module_range(index)?.offset));
    }
    let bytes = artifact.image_in(index, span)?;
    let module = Module::parse(bytes).map_err(|error| artifact.in_module(index, error))?;
    let align = artifact.align_of(index, &module)?;
    if entry.is_some_and(|entry| entry.align.get() != align) {
        let message = format!("module {index}: expected an alignment as in the module table, found another one");
        return Err(Error::corrupt(message).at(start()));
    }
    Ok(Seen { bytes, extent, module, align })
}

fn oddity(kind: Kind, setting: impl Into<String>, sentence: String) -> Finding {
    Finding { kind, setting: setting.into(), artifact: String::new(), engine: String::new(), sentence }
}

fn check_link(report: &mut Report, artifact: &Artifact, index: usize, span: &[u8], align: u64) -> Result<()> {
    let Some(previous) = index.checked_sub(1) else { return Ok(()) };
    let (previous, range) = (artifact.module_range(previous)?, artifact.module_range(index)?);
    let name = format!("module {index}");
    let expected = body::link_target(previous.end(), align);
    if expected != Some(range.offset) {
        let expected = expected.map_or("no such offset".to_owned(), |offset| offset.to_string());
        let sentence = format!("module {index}: expected at offset {expected}, linked at {}", range.offset);
        report.add(oddity(Kind::Link, name.clone(), sentence))?;
    }
    let start = previous.end().saturating_add(LINK_SIZE);
    let gap = range.offset - previous.end();
    let padding = span.get(LINK_SIZE as usize..gap as usize).unwrap_or(&[]);
    if let Some(nonzero) = first_nonzero(padding) {
        let sentence = format!(
            "padding before module {index}: expected zeros, found a nonzero byte at {}",
            start + nonzero as u64
        );
        report.add(oddity(Kind::Padding, name, sentence))?;
    }
    Ok(())
}

fn check_machine(
    report: &mut Report,
    metadata: &Metadata<'_>,
    expected: Identity,
    index: usize,
    extent: &Extent,
) -> Result<()> {
    let found = Identity::new(extent.machine, 64, extent.big_endian);
    if found == expected {
        return Ok(());
    }
    let target = quote(metadata.target.as_bytes());
    let sentence = format!("module {index}: expected {expected}, as target '{target}' has; found {found}");
    report.add(oddity(Kind::Machine, format!("module {index}"), sentence))
}

fn check_sections(
    report: &mut Report,
    bytes: &[u8],
    index: usize,
    module: &Module<'_>,
    names: &mut NameBudget,
) -> Result<()> {
    let mut found = alloc::with_capacity(module.section_count(), "the list of sections")?;
    for number in 0..module.section_count() {
        let section = module.section(number)?;
        names.take(section.name.len())?;
        section.check_inside(bytes)?;
        let loaded = section.has_bytes() && section.size > 0;
        if loaded && section.align > 1 && section.offset % section.align != 0 {
            let name = quote(section.name);
            let sentence = format!(
                "module {index}, section '{name}': expected an offset that is a multiple of {}, found {}",
                section.align, section.offset
            );
            report.add(oddity(Kind::Section, name, sentence))?;
        }
        found.push(section);
    }
    check_overlaps(report, index, &found)?;
    check_text_name(report, index, &found)?;
    let symbols = module.symbols()?;
    for number in 0..symbols.count() {
        names.take(symbols.get(number)?.name.len())?;
    }
    check_relocations(report, index, module, &found, bytes.len() as u64)
}

/// Reports code outside a section `.text`, which is where compilers put it and Wasmtime looks for it.
fn check_text_name(report: &mut Report, index: usize, sections: &[Section<'_>]) -> Result<()> {
    let is_code = |section: &&Section<'_>| section.flags & elf::SHF_EXECINSTR.0 != 0;
    if let Some(code) = sections.iter().find(is_code)
        && !sections.iter().any(|section| section.name == b".text")
    {
        let name = quote(code.name);
        let sentence = format!("module {index}: expected code in a section '.text', found it in '{name}'");
        report.add(oddity(Kind::Section, name, sentence))?;
    }
    Ok(())
}

/// Reports sections that overlap in the file, for instance after `.text` was enlarged over its neighbours.
fn check_overlaps(report: &mut Report, index: usize, sections: &[Section<'_>]) -> Result<()> {
    let spans = sections
        .iter()
        .filter(|section| section.has_bytes() && section.size > 0)
        .map(|section| (section.offset, section.offset.saturating_add(section.size), section.name));
    let mut spans = alloc::collect(spans, "the list of sections")?;
    alloc::sort(&mut spans, "the list of sections", |span| *span)?;
    for pair in spans.windows(2) {
        if let [(_, end, name), (start, _, next)] = pair
            && start < end
        {
            let (name, next) = (quote(name), quote(next));
            let sentence = format!(
                "module {index}: section '{name}' ends at {end} and overlaps '{next}', which begins at {start}"
            );
            report.add(oddity(Kind::Section, name, sentence))?;
        }
    }
    Ok(())
}

fn check_relocations(
    report: &mut Report,
    index: usize,
    module: &Module<'_>,
    sections: &[Section<'_>],
    len: u64,
) -> Result<()> {
    let mut total = 0;
    for table in module.relocations() {
        let table = table?;
        total += table.size();
        if total > len {
            let message =
                format!("relocations: expected at most the module's {len} bytes of them, found tables that overlap");
            return Err(Error::corrupt(message));
        }
        let Some(target) = sections.get(table.target) else {
            let name = quote(table.name);
            let found = table.target;
            let sentence =
                format!("module {index}, relocations '{name}': expected to apply to a section, found index {found}");
            report.add(oddity(Kind::Section, name, sentence))?;
            continue;
        };
        // In an executable image offsets are addresses, which are not checked here. Symbol 0 means no symbol.
        let (size, symbols) = (target.size, table.symbols.max(1));
        let is_bad = |(offset, symbol): &(u64, u64)| (table.relocatable && *offset >= size) || *symbol >= symbols;
        if let Some((offset, symbol)) = table.entries().find(is_bad) {
            let name = quote(table.name);
            let sentence = format!(
                "module {index}, relocations '{name}': expected offsets below {size} and symbols below {symbols}, \
                 found offset {offset} and symbol {symbol}"
            );
            report.add(oddity(Kind::Section, name, sentence))?;
        }
    }
    Ok(())
}

/// Reports signatures that do not match their own key. Whether a key is trusted only an engine knows.
fn check_signatures(report: &mut Report, artifact: &Artifact) -> Result<()> {
    let Some(root) = artifact.root() else { return Ok(()) };
    for (index, signature) in artifact.signatures().enumerate() {
        if !PublicKey::from_bytes(&signature.key).is_ok_and(|key| key.verifies(root, signature)) {
            report.add(wrong_signature(&format!("signature {index}")))?;
        }
    }
    Ok(())
}

/// Creates the finding for a signature that is not one of the key that it names.
pub(crate) fn wrong_signature(name: &str) -> Finding {
    let sentence = format!("{name}: expected one of the key that it names, found one that does not match");
    oddity(Kind::Signature, name.to_owned(), sentence)
}

fn check_maps(report: &mut Report, metadata: &Metadata<'_>) -> Result<()> {
    for (name, flags) in [("shared_flags", &metadata.shared_flags), ("isa_flags", &metadata.isa_flags)] {
        if !flags.is_sorted() {
            let sentence = format!("Metadata, {name}: expected sorted names without duplicates, found others");
            report.add(oddity(Kind::Metadata, name, sentence))?;
        }
    }
    let types = &metadata.types;
    let imports = types.module_signatures.iter().enumerate().map(|(at, module)| ("module", at, &module.imports));
    let exports =
        types.instance_signatures.iter().enumerate().map(|(at, instance)| ("instance", at, &instance.exports));
    for (what, at, map) in imports.chain(exports) {
        if let Some(name) = find_duplicate(map)? {
            let name = quote(name.as_bytes());
            let sentence = format!("Metadata, {what} type {at}: expected each name once, found '{name}' twice");
            report.add(oddity(Kind::Metadata, name, sentence))?;
        }
    }
    Ok(())
}

fn find_duplicate<'a>(map: &Map<&'a str, EntityType>) -> Result<Option<&'a str>> {
    let mut names = alloc::collect(map.0.iter().map(|(name, _)| *name), "the list of names")?;
    alloc::sort(&mut names, "the list of names", |name| *name)?;
    Ok(names.windows(2).find_map(|pair| match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    }))
}
