//! Compilers, linkers and programs that the linker's tests need. A test reports what is missing, and skips what needs it.
#![allow(missing_docs, dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Result;
use artifact::format::module::Module;
use artifact::native::link::{Object, Options, link};
use artifact::native::load::{LoadOptions, load};

/// A machine that tests compile and run code for.
#[derive(Clone, Copy)]
pub struct Machine {
    pub name: &'static str,
    pub cc: &'static str,
    pub cxx: &'static str,
    pub ld: &'static str,
    /// The command that runs its programs; empty on the host's machine.
    pub emulator: &'static [&'static str],
}

pub const X86_64: Machine = Machine { name: "x86_64", cc: "cc", cxx: "c++", ld: "ld", emulator: &[] };
pub const AARCH64: Machine = Machine {
    name: "aarch64",
    cc: "aarch64-linux-gnu-gcc",
    cxx: "aarch64-linux-gnu-g++",
    ld: "aarch64-linux-gnu-ld",
    emulator: &["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
};

/// Returns whether a program is installed, and reports it if not.
pub fn have(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("{program} not found: skipping the tests that need it");
    }
    found
}

/// Creates an empty folder for one test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native").join(name)
}

/// Runs a program, which has to succeed, and returns what it prints.
pub fn run(command: &mut Command) -> String {
    let output = try_run(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

pub fn try_run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Compiles a file of tests/native.
pub fn compile(compiler: &str, flags: &[&str], name: &str, object: &Path) -> PathBuf {
    run(Command::new(compiler).args(flags).arg("-c").arg(source(name)).arg("-o").arg(object));
    object.to_owned()
}

/// Compiles source text.
pub fn compile_text(compiler: &str, flags: &[&str], language: &str, text: &str, object: &Path) -> PathBuf {
    let file = object.with_extension(language);
    fs::write(&file, text).unwrap();
    run(Command::new(compiler).args(flags).arg("-c").arg(&file).arg("-o").arg(object));
    object.to_owned()
}

/// Changes the types of the relocations in a section, for those that no assembler here can write.
pub fn with_kinds(object: &Path, section: &str, kinds: &[u32]) -> PathBuf {
    let mut bytes = fs::read(object).unwrap();
    let table = Module::parse(&bytes).unwrap().section_named(section.as_bytes()).unwrap();
    let (start, size) = (table.offset as usize, table.size as usize);
    assert_eq!(size, 24 * kinds.len());
    for (index, kind) in kinds.iter().enumerate() {
        let at = start + 24 * index + 8;
        bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
    }
    fs::write(object, bytes).unwrap();
    object.to_owned()
}

pub fn try_link(objects: &[&Path]) -> Result<Vec<u8>> {
    try_link_with(objects, &Options::default())
}

pub fn try_link_with(objects: &[&Path], options: &Options<'_>) -> Result<Vec<u8>> {
    let names: Vec<String> = objects.iter().map(|path| path.file_name().unwrap().to_string_lossy().into()).collect();
    let bytes: Vec<Vec<u8>> = objects.iter().map(|path| fs::read(path).unwrap()).collect();
    let objects: Vec<Object<'_>> = names.iter().zip(&bytes).map(|(name, bytes)| Object { name, bytes }).collect();
    link(&objects, options)
}

/// Links with the library, twice, and writes the image to a file.
pub fn link_to(objects: &[&Path], image: &Path) -> Vec<u8> {
    link_to_with(objects, &Options::default(), image)
}

pub fn link_to_with(objects: &[&Path], options: &Options<'_>, image: &Path) -> Vec<u8> {
    let bytes = try_link_with(objects, options).unwrap_or_else(|error| panic!("{objects:?}: {error}"));
    assert_eq!(bytes, try_link_with(objects, options).unwrap(), "the same objects give the same bytes");
    fs::write(image, &bytes).unwrap();
    bytes
}

/// Complaints of eu-elflint that are expected, and why.
const COMPLAINTS: [(&str, &str); 4] = [
    (
        "symbol in dynamic symbol table with non-default visibility",
        "protected symbols are exported, as the gABI says; images of the system's linker get the same complaint",
    ),
    (
        "'.bss' not fully contained in segment of program header entry 2",
        "the segment is looked for by the offset of a section that has no bytes; in a packed image, the zeros at the end of the \
         RELRO segment would be there, if they had bytes",
    ),
    ("'.lbss' not fully contained in segment of program header entry 2", "the same"),
    ("'.relr.dyn' has wrong type: expected REL, is <unknown>: 19", "elfutils 0.188 does not know SHT_RELR"),
];

/// Checks what holds for every image, with readelf, nm and eu-elflint.
pub fn check_image(image: &Path, what: &str) {
    for (program, argument) in [("readelf", "--all"), ("nm", "--dynamic")] {
        let output = try_run(Command::new(program).arg(argument).arg(image));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{what}: {program}: {complaints}");
    }
    let text = run(Command::new("readelf").args(["--wide", "--dynamic", "--segments", "--relocs"]).arg(image));
    assert!(!text.contains("TEXTREL") && !text.contains("RWE"), "{what}: {text}");
    for line in text.lines().filter(|line| line.contains(" R_")) {
        let plain = ["_RELATIV", "_GLOB_DA", "R_X86_64_64 ", "R_AARCH64_ABS64 "];
        let thread_local =
            ["_DTPMOD64 ", "_DTPOFF64 ", "_TPOFF64 ", "_TLSDESC ", "_TLS_DTPM", "_TLS_DTPR", "_TLS_TPRE"];
        let known = plain.iter().chain(&thread_local);
        assert!(known.clone().any(|kind| line.contains(kind)), "{what}: {line}");
    }
    for segment in ["GNU_RELRO", "GNU_STACK", "DYNAMIC"] {
        assert!(text.contains(segment), "{what}: {text}");
    }
    if have("eu-elflint") {
        let output = try_run(Command::new("eu-elflint").args(["--quiet", "--gnu-ld"]).arg(image));
        for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()) {
            assert!(COMPLAINTS.iter().any(|(complaint, _)| line.ends_with(complaint)), "{what}: {line}");
        }
    }
}

/// Loads an image with the library, which finds in this process what the image imports, and returns what its function `run` returns.
pub fn load_and_run(image: &[u8]) -> i64 {
    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    builder.add_module(image).unwrap();
    let bytes = builder.serialize().unwrap();
    let artifact = Arc::new(Artifact::open_bytes(&bytes, None, &OpenOptions::default()).unwrap());
    let mut options = LoadOptions::default();
    (options.process_symbols, options.constructors) = (true, true);
    // SAFETY: the test's own code, in memory that nobody else has. Nothing of it is used after this function.
    let code = unsafe { load(artifact, &engine, options) }.unwrap();
    // SAFETY: every `run` that tests link takes no arguments and returns an int.
    let returned = unsafe { code.call(0, b"run", &[]) }.unwrap();
    i64::from(returned as i32)
}

impl Machine {
    /// Returns whether its compiler and its emulator are installed.
    pub fn is_here(&self) -> bool {
        have(self.cc) && self.emulator.first().is_none_or(|emulator| have(emulator))
    }

    /// Compiles the program that opens images.
    pub fn driver(&self, folder: &Path) -> PathBuf {
        self.driver_of("driver.c", folder)
    }

    /// Compiles a program that opens images. It links to the C++ library, for images that need it.
    pub fn driver_of(&self, source: &str, folder: &Path) -> PathBuf {
        let object = compile(self.cc, &["-O1"], source, &folder.join("driver.o"));
        let driver = folder.join("driver");
        let library = if have(self.cxx) { self.cxx } else { self.cc };
        let mut command = Command::new(library);
        command.args(["-rdynamic", "-Wl,--no-as-needed"]).arg(object).arg("-o").arg(&driver);
        run(command.args(["-ldl", "-lm"]));
        driver
    }

    /// Returns what the driver prints when it opens these images.
    pub fn open(&self, driver: &Path, images: &[&Path]) -> String {
        let mut words = self.emulator.iter().map(|word| word.as_ref()).chain([driver.as_os_str()]);
        let mut command = Command::new(words.next().unwrap());
        run(command.args(words).args(images))
    }

    /// Links with the system's linker and -Bsymbolic.
    pub fn system_link(&self, objects: &[&Path], image: &Path) {
        run(Command::new(self.ld).args(["-shared", "-Bsymbolic", "-o"]).arg(image).args(objects));
    }
}
