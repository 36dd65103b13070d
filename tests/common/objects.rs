//! Archives of real objects: their members, what the linker says of each, and the counts that are committed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use artifact::error::{Error, Status};
use artifact::format::archive::Members;
use artifact::format::elf::ImageFixup;
use artifact::native::image::parse;
use artifact::native::link::{Object, Options, link};

/// `e_machine` of the host: EM_AARCH64 or EM_X86_64.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

/// Returns the members of an archive, by their names.
pub fn members(archive: &[u8]) -> Vec<(String, &[u8])> {
    let members = Members::new(archive).map(Result::unwrap);
    members.map(|member| (String::from_utf8_lossy(member.name).into_owned(), member.bytes.unwrap())).collect()
}

/// Returns the first reason of a refusal: the message without the names of object, section and symbol.
fn reason(error: &Error) -> String {
    let message = error.message().split(" | ").next().unwrap();
    let named = [" against symbol '", ": symbol '", ": section '"].iter().find_map(|word| message.split_once(word));
    let Some((before, (_, reason))) = named.and_then(|(before, rest)| Some((before, rest.split_once("' ")?))) else {
        return message.split_once(": ").map_or(message, |(_, reason)| reason).to_owned();
    };
    match before.split_once("): ") {
        Some((_, relocation)) if reason == "is not supported" => format!("{relocation} {reason}"),
        _ => reason.to_owned(),
    }
}

/// How many objects of an archive link by themselves, and why the others don't.
pub struct Tally {
    name: String,
    all: usize,
    refused: BTreeMap<String, usize>,
}

impl Tally {
    /// Links each object by itself. Every one links, to an image that the loader takes, or is refused as UNSUPPORTED.
    pub fn new(name: &str, members: &[(String, &[u8])]) -> Tally {
        let (mut refused, mut examples) = (BTreeMap::new(), BTreeMap::new());
        for (member, bytes) in members {
            let object = Object { name: member, bytes };
            let result = catch_unwind(AssertUnwindSafe(|| link(&[object], &Options::default())));
            match result.unwrap_or_else(|_| panic!("{name}: {member} makes the linker panic")) {
                Ok(image) => {
                    ImageFixup::new(&image).unwrap_or_else(|error| panic!("{name}: {member}: {error}"));
                    parse(&image, MACHINE, 4096).unwrap_or_else(|error| panic!("{name}: {member}: {error}"));
                }
                Err(error) => {
                    assert_eq!(error.status(), Status::Unsupported, "{name}: {error}");
                    assert!(error.message().starts_with(&format!("{member}:")), "{error}");
                    *refused.entry(reason(&error)).or_insert(0) += 1;
                    examples.entry(reason(&error)).or_insert(error.to_string());
                }
            }
        }
        let tally = Tally { name: name.to_owned(), all: members.len(), refused };
        print!("{}", tally.text());
        examples.values().for_each(|example| println!("        {example}"));
        tally
    }

    fn linked(&self) -> usize {
        self.all - self.refused.values().sum::<usize>()
    }

    /// Whether some objects don't link.
    #[allow(dead_code)] // for projects that are linked whole
    pub fn refuses_some(&self) -> bool {
        !self.refused.is_empty()
    }

    fn text(&self) -> String {
        let mut text = format!("{} of {} objects link\n", self.linked(), self.all);
        for (reason, count) in &self.refused {
            writeln!(text, "{count} {reason}").unwrap();
        }
        text
    }

    /// Compares with the counts that are committed in `folder`: no reason may have more objects than before. Of another release of the
    /// archive, the share of objects that link may be a hundredth smaller. With ARTIFACT_UPDATE_COUNTS the counts are written instead.
    pub fn compare(&self, folder: &Path) {
        if !folder.exists() {
            return println!("{}: nobody has counted on this machine yet", folder.display());
        }
        let path = folder.join(format!("{}.txt", self.name));
        if std::env::var_os("ARTIFACT_UPDATE_COUNTS").is_some() {
            return std::fs::write(&path, self.text()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut lines = text.lines();
        let mut numbers = lines.next().unwrap().split(' ').filter_map(|word| word.parse::<usize>().ok());
        let (linked, all) = (numbers.next().unwrap(), numbers.next().unwrap());
        if all != self.all {
            let (before, now) = (linked * 100 / all, self.linked() * 100 / self.all);
            return assert!(now + 1 >= before, "{}: {before} % of the objects linked before, {now} % now", self.name);
        }
        let before: BTreeMap<&str, usize> =
            lines.map(|line| line.split_once(' ').unwrap()).map(|(count, why)| (why, count.parse().unwrap())).collect();
        for (reason, count) in &self.refused {
            let before = before.get(reason.as_str()).copied().unwrap_or(0);
            assert!(*count <= before, "{}: {count} objects, {before} before: {reason}", self.name);
        }
    }
}
