//! The command line as programs meet it: the built binary on genuine artifacts, its output and its exit status.
#![cfg(feature = "cli")]

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use artifact::builder::Builder;
use artifact::engine::{Engine, FlagMap};
use artifact::format::flags::Flag;
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use tempfile::TempDir;

/// JSON with maps in their order and numbers as they are written: V128 values don't fit what serde_json reads by itself.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    /// Numbers too, behind a `#`.
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    fn parse(text: &[u8]) -> Json {
        let mut quoted = String::new();
        let (mut inside, mut escaped) = (false, false);
        let mut chars = std::str::from_utf8(text).unwrap().chars().peekable();
        while let Some(c) = chars.next() {
            if !inside && matches!(c, '-' | '0'..='9') {
                quoted.extend(['"', '#', c]);
                while let Some(next) = chars.next_if(|next| matches!(next, '0'..='9' | '.' | 'e' | 'E' | '+' | '-')) {
                    quoted.push(next);
                }
                quoted.push('"');
                continue;
            }
            inside ^= c == '"' && !escaped;
            escaped = inside && c == '\\' && !escaped;
            quoted.push(c);
        }
        serde_json::from_str(&quoted).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
    }

    fn number(number: impl fmt::Display) -> Json {
        Json::Text(format!("#{number}"))
    }

    fn get(&self, key: &str) -> &Json {
        let Json::Map(entries) = self else { panic!("no map: {self:?}") };
        entries.iter().find(|(name, _)| name == key).map_or_else(|| panic!("no key {key:?}"), |(_, value)| value)
    }

    fn list(&self) -> &[Json] {
        let Json::List(items) = self else { panic!("no list: {self:?}") };
        items
    }

    fn text(&self) -> &str {
        let Json::Text(text) = self else { panic!("no text: {self:?}") };
        text
    }

    fn keys(&self) -> Vec<&str> {
        let Json::Map(entries) = self else { panic!("no map: {self:?}") };
        entries.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without numbers")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Json::Map(entries))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// What a run came to.
struct Ran {
    status: i32,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn out(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    fn json(&self) -> Json {
        Json::parse(&self.out)
    }

    #[track_caller]
    fn expect(self, status: i32) -> Ran {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", String::from_utf8_lossy(&self.out), self.err);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let Output { status, stdout, stderr } = output;
        let status = status.code().expect("not killed by a signal");
        Ran { status, out: stdout, err: String::from_utf8(stderr).unwrap() }
    }
}

fn command(args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_artifact"));
    command.args(args);
    command
}

fn run(args: &[impl AsRef<OsStr>]) -> Ran {
    command(args).stdin(Stdio::null()).output().unwrap().into()
}

fn run_with(args: &[impl AsRef<OsStr>], input: &[u8]) -> Ran {
    let mut command = command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

fn fixture(file: &str) -> String {
    format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// The names of all genuine artifacts.
fn fixtures() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(fixture(""))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".cwasm").map(str::to_owned))
        .collect();
    names.sort();
    assert_eq!(names.len(), 24);
    names
}

fn facts(name: &str) -> Json {
    Json::parse(&fs::read(fixture(&format!("{name}.json"))).unwrap())
}

fn genuine(name: &str) -> Vec<u8> {
    fs::read(fixture(&format!("{name}.cwasm"))).unwrap()
}

/// A folder of files that a test makes.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// An artifact with a genuine module, compiled for this engine.
    fn artifact(&self, name: &str, engine: &Engine) -> String {
        let (bytes, facts) = (genuine("addfib"), facts("addfib"));
        let len: usize = facts.get("elves").list()[0].get("len").text()[1..].parse().unwrap();
        let mut builder = Builder::new(engine);
        builder.add_module(&bytes[..len]).unwrap();
        self.file(name, builder.serialize().unwrap())
    }
}

/// The bytes with every `from` replaced by as many bytes; there must be one.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    bytes
}

fn offset(name: &str, key: &str) -> usize {
    facts(name).get(key).text()[1..].parse().unwrap()
}

/// Metadata that no longer decodes, behind another version if there is one.
fn garbled(version: &[u8; 6]) -> Vec<u8> {
    let mut bytes = patched(genuine("addfib"), b"\x060.33.0", &[&[6], &version[..]].concat());
    let target = offset("addfib", "metadata_offset");
    bytes[target..target + 8].fill(0xff);
    bytes
}

/// What `inspect --json` has to print, from what the second parser found.
fn expected(name: &str) -> Json {
    let facts = facts(name);
    let pick = |from: &Json, keys: &[(&str, &str)]| {
        Json::Map(keys.iter().map(|(ours, theirs)| ((*ours).to_owned(), from.get(theirs).clone())).collect())
    };
    let module = |elf: &Json| {
        let keys = [("offset", "offset"), ("len", "len"), ("align", "max_section_align"), ("machine", "e_machine")];
        let Json::Map(mut module) = pick(elf, &keys) else { unreachable!() };
        module.push(("endian".into(), elf.get("endian").clone()));
        module.push(("type".into(), elf.get("e_type").clone()));
        let keys = ["name", "offset", "size", "align", "type", "flags"].map(|key| (key, key));
        let sections = elf.get("sections").list().iter().map(|section| pick(section, &keys)).collect();
        module.push(("sections".into(), Json::List(sections)));
        Json::Map(module)
    };
    let modules: Vec<Json> = facts.get("elves").list().iter().map(module).collect();
    let tables = ["wasm_signatures", "module_signatures", "instance_signatures"];
    let types = tables.map(|table| (table.to_owned(), facts.get("types").get(table).get("elems").clone()));
    let same = |key: &str| (key.to_owned(), facts.get(key).clone());
    Json::Map(vec![
        same("file_len"),
        ("producer".into(), Json::Text("wasmtime".into())),
        same("version"),
        same("target"),
        ("main".into(), Json::number(modules.len() - 1)),
        ("modules".into(), Json::List(modules)),
        same("header_offset"),
        same("metadata_offset"),
        same("shared_flags"),
        same("isa_flags"),
        same("tunables"),
        same("features"),
        same("module_upvars"),
        ("types".into(), Json::Map(types.into())),
        ("trailer".into(), Json::Null),
    ])
}

#[test]
fn inspect_prints_what_a_second_parser_found() {
    for name in fixtures() {
        let ran = run(&["inspect", "--json", &fixture(&format!("{name}.cwasm"))]).expect(0);
        assert_eq!(ran.err, "", "{name}");
        let (found, expected) = (ran.json(), expected(&name));
        for key in expected.keys() {
            assert_eq!(found.get(key), expected.get(key), "{name}: {key}");
        }
        let order = "file_len producer version target modules main header_offset metadata_offset shared_flags isa_flags \
                     tunables features module_upvars types trailer";
        assert_eq!(found.keys().join(" "), order);
    }
}

#[test]
fn inspect_prints_v128_exactly() {
    let ran = run(&["inspect", "--json", &fixture("ml_types.cwasm")]).expect(0);
    assert!(ran.out().contains("\"V128Const\": 171653549535673402679019659085567242768\n"));
}

#[test]
fn inspect_reads_standard_input() {
    let named = run(&["inspect", "--json", &fixture("types.cwasm")]).expect(0);
    let piped = run_with(&["inspect", "--json", "-"], &genuine("types")).expect(0);
    assert_eq!(named.out(), piped.out());
}

#[test]
fn inspect_has_words_for_people() {
    let file = fixture("ml_types.cwasm");
    let ran = run(&["inspect", &file]).expect(0);
    for line in [
        &format!("{file}: artifact of 16208 bytes (15.8 KiB)"),
        "  producer   wasmtime",
        "  version    0.33.0",
        "  target     x86_64-unknown-linux-gnu",
        "module 1, the main one",
        "  ELF        relocatable, x86-64, little-endian",
        "  place      at 12288, 1808 bytes (1.8 KiB), aligned to 4096 bytes (4 KiB)",
        "  .text                          4096       4096   4096  PROGBITS   AX",
        "  opt_level                              speed",
        "  static_memory_bound                    65536 pages, 4294967296 bytes (4 GiB)",
        "  function 0: (i32) -> (i64)",
        "    export \"vc\": global v128, starts as 0x8123456789abcdeffedcba9876543210",
        "  integrity  none",
    ] {
        assert!(ran.out().lines().any(|found| found == line), "{line:?} is not in\n{}", ran.out());
    }
    let upvars = run(&["inspect", &fixture("ml_upvars1.cwasm")]).expect(0);
    assert!(upvars.out().contains("\n  upvar 0: module 1, passes on modules 0\n"));
}

#[test]
fn inspect_keeps_order_and_duplicates_of_the_file() {
    let folder = Folder::new();
    // Unsorted names, one of them twice.
    let bytes = patched(patched(genuine("addfib"), b"has_bmi2", b"has_bmi1"), b"has_avx2", b"has_zzz2");
    let ran = run(&["inspect", "--json", &folder.file("a", bytes)]).expect(0);
    let flags = ran.json().get("isa_flags").clone();
    let names = flags.keys();
    assert_eq!(names[..2], ["has_avx", "has_zzz2"]);
    assert_eq!(names.iter().filter(|name| **name == "has_bmi1").count(), 2);
    assert_eq!(names.len(), 15);
}

#[test]
fn inspect_goes_as_far_as_a_foreign_file_decodes() {
    let folder = Folder::new();
    let other = folder.file("other", patched(genuine("addfib"), b"\x060.33.0", b"\x069.99.9"));
    let found = run(&["inspect", "--json", &other]).expect(0).json();
    assert_eq!(found.get("version").text(), "9.99.9");
    assert_eq!(found.get("target").text(), "x86_64-unknown-linux-gnu");

    let unknown = folder.file("unknown", garbled(b"9.99.9"));
    let ran = run(&["inspect", "--json", &unknown]).expect(0);
    assert_eq!(ran.json().get("version").text(), "9.99.9");
    assert_eq!(ran.json().get("modules"), expected("addfib").get("modules"));
    for key in ["target", "shared_flags", "isa_flags", "tunables", "features", "module_upvars", "types"] {
        assert_eq!(ran.json().get(key), &Json::Null, "{key}");
    }
    assert!(
        ran.err.starts_with(&format!("artifact: {unknown}: Metadata of version '9.99.9' has a layout")),
        "{}",
        ran.err
    );
    assert!(run(&["inspect", &unknown]).expect(0).out().contains("\n  version    9.99.9\n"));
    // Of the version that we know, it is damage.
    run(&["inspect", &folder.file("damaged", garbled(b"0.33.0"))]).expect(3);

    let engine = folder.file("engine.json", Engine::wasmtime().to_json().unwrap());
    run(&["inspect", "--engine", &engine, &fixture("addfib.cwasm")]).expect(0);
    run(&["inspect", "--engine", &engine, &other]).expect(1);
}

#[test]
fn inspect_shows_what_is_whole_of_a_damaged_module() {
    let folder = Folder::new();
    let mut bytes = genuine("addfib");
    let headers: usize = facts("addfib").get("elves").list()[0].get("e_shoff").text()[1..].parse().unwrap();
    bytes[headers + 64..headers + 68].fill(0xff); // the name of section 1
    let file = folder.file("a", bytes);
    let ran = run(&["inspect", "--json", &file]).expect(3);
    assert_eq!(ran.json().get("modules").list()[0].get("sections"), &Json::Null);
    assert_eq!(ran.json().get("types"), expected("addfib").get("types"));
    assert!(ran.err.starts_with(&format!("artifact: {file}: module 0: name of section 1: ")), "{}", ran.err);
}

#[test]
fn text_from_a_file_plays_no_tricks_on_terminals() {
    let folder = Folder::new();
    let bytes = patched(genuine("addfib"), b"opt_level", b"opt\x1b[31m\n");
    let ran = run(&["inspect", &folder.file("a", bytes)]).expect(0);
    assert!(!ran.out().contains('\x1b'));
    assert!(ran.out().contains("opt\\u{1b}[31m\\n"), "{}", ran.out());
}

/// The genuine engine's default configuration as `--engine` reads it.
fn default_config() -> String {
    let text = fs::read(fixture("CONFIGS.json")).unwrap();
    let configs: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let mut engine = configs["default"].clone();
    let keys = engine.as_object_mut().unwrap();
    keys.remove("accepts_any_version");
    keys.insert("version".into(), serde_json::json!({"library": true}));
    keys.insert("producer".into(), "wasmtime".into());
    engine.to_string()
}

#[test]
fn check_says_what_the_genuine_loader_said() {
    let folder = Folder::new();
    let engine = folder.file("engine.json", default_config());
    let verdicts = Json::parse(&fs::read(fixture("VERDICTS.json")).unwrap());
    let mut counts = [0, 0];
    // Not a contract: the genuine loader reads big-endian images on big-endian hosts only.
    for name in fixtures().iter().filter(|name| *name != "target_s390x") {
        let file = fixture(&format!("{name}.cwasm"));
        let ran = run(&["check", "--engine", &engine, &file]);
        let (status, sentence) = match verdicts.get(name).get("default") {
            Json::Null => (0, "compatible"),
            other => (1, other.text()),
        };
        assert_eq!(ran.out(), format!("{file}: {sentence}\n"));
        counts[usize::from(ran.expect(status).status == 1)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 5), "{counts:?}");
}

#[test]
fn check_names_every_mismatch() {
    let folder = Folder::new();
    let engine = folder.file("engine.json", default_config());
    let file = fixture("target_win64.cwasm");
    let sentences = [
        "Module was compiled for operating system 'windows'",
        "Module was compiled with a different 'enable_simd' setting: expected 'false' but host has 'true'",
        "Module was compiled without WebAssembly SIMD support but it is enabled for the host",
    ];
    let first = run(&["check", "--engine", &engine, &file]).expect(1);
    assert_eq!(first.out(), format!("{file}: {}\n", sentences[0]));
    let all = run(&["check", "--all", "--engine", &engine, &file]).expect(1);
    assert_eq!(all.out(), sentences.map(|sentence| format!("{file}: {sentence}\n")).concat());

    let json = run(&["check", "--json", "--engine", &engine, &file]).expect(1);
    assert_eq!(json.out().lines().count(), 1);
    let line = json.json();
    assert_eq!(line.get("file").text(), file);
    assert_eq!(line.get("status"), &Json::number(20));
    assert_eq!(line.get("sentence").text(), sentences[0]);
    let findings = line.get("findings").list();
    assert_eq!(findings.iter().map(|finding| finding.get("sentence").text()).collect::<Vec<_>>(), sentences);
    assert_eq!(
        ["kind", "setting", "artifact", "engine"].map(|key| findings[1].get(key).text()),
        ["shared_flag", "enable_simd", "false", "true"]
    );
}

#[test]
fn check_against_this_host_and_wasmtime_here() {
    let folder = Folder::new();
    let host = folder.artifact("host", &Engine::host());
    let wasmtime = folder.artifact("wasmtime", &Engine::wasmtime());
    let ran = run(&["check", &host, &wasmtime]).expect(1);
    let refused = format!("{wasmtime}: Module was compiled by 'wasmtime' but 'artifact' is expected for the host\n");
    assert_eq!(ran.out(), format!("{host}: compatible\n{refused}"));
    assert_eq!(ran.err, "");
    let ran = run(&["check", "--wasmtime", &wasmtime, &host]).expect(1);
    let refused = format!("{host}: Module was compiled by 'artifact' but 'wasmtime' is expected for the host\n");
    assert_eq!(ran.out(), format!("{wasmtime}: compatible\n{refused}"));
    assert_eq!(run(&["check", &host]).expect(0).out(), format!("{host}: compatible\n"));
    assert_eq!(run_with(&["check", "-"], &fs::read(&host).unwrap()).expect(0).out(), "-: compatible\n");
}

#[test]
fn check_takes_the_engine_that_engine_printed() {
    let folder = Folder::new();
    for (args, engine) in [(&["engine"][..], Engine::host()), (&["engine", "--wasmtime"], Engine::wasmtime())] {
        let printed = run(args).expect(0);
        assert_eq!(Engine::from_json(printed.out()).unwrap(), engine);
        let json = folder.file("engine.json", &printed.out);
        let mut stricter = engine.clone();
        stricter.set_flag(FlagMap::Shared, "opt_level", Flag::Enum("slow".into())).unwrap();
        let (good, bad) = (folder.artifact("good", &engine), folder.artifact("bad", &stricter));
        let ran = run(&["check", "--engine", &json, &good, &bad]).expect(1);
        let (first, second) = ran.out().split_once('\n').unwrap();
        assert_eq!(first, format!("{good}: compatible"));
        assert!(second.starts_with(&format!("{bad}: Module was compiled with ")), "{second}");
        assert!(second.contains("'opt_level'"), "{second}");
        // The engine may come through a pipe as well.
        assert_eq!(run_with(&["check", "--engine", "-", &good, &bad], &printed.out).expect(1).out(), ran.out());
    }
    let unknown = default_config().replacen("\"producer\"", "\"x\":1,\"producer\"", 1);
    let unknown = folder.file("unknown.json", unknown);
    let ran = run(&["check", "--engine", &unknown, &fixture("addfib.cwasm")]).expect(5);
    assert!(ran.err.starts_with(&format!("artifact: {unknown}: engine in JSON: unknown field `x`")), "{}", ran.err);
    assert_eq!(ran.out(), "");
}

#[test]
fn exit_statuses() {
    let folder = Folder::new();
    let good = folder.artifact("good", &Engine::host());
    let foreign = fixture("addfib.cwasm");
    let bytes = genuine("addfib");
    let truncated = folder.file("truncated", &bytes[..bytes.len() / 2]);
    let corrupt = folder.file("corrupt", garbled(b"0.33.0"));
    let text = folder.file("text", "no artifact");
    let empty = folder.file("empty", "");
    let missing = folder.path("missing").to_str().unwrap().to_owned();
    let directory = folder.0.path().to_str().unwrap().to_owned();
    for command in ["check", "inspect", "verify"] {
        for (file, status) in [(&truncated, 3), (&text, 3), (&empty, 3), (&missing, 5), (&directory, 5)] {
            let ran = run(&[command, file]).expect(status);
            assert!(ran.err.starts_with(&format!("artifact: {file}: ")), "{}", ran.err);
            assert_eq!(ran.err.lines().count(), 1);
            assert_eq!(ran.out(), "");
        }
        run(&[command, &good]).expect(0);
    }
    // Several files: the worst counts, and none keeps the others from being told.
    let wasmtime = folder.file("wasmtime.json", default_config());
    for (files, status) in [
        (&[&good, &good][..], 0),
        (&[&good, &foreign, &good], 1),
        (&[&foreign, &missing, &good], 5),
        (&[&missing, &truncated, &foreign], 3),
        (&[&corrupt, &text, &missing], 3),
    ] {
        let mut args = vec!["check"];
        args.extend(files.iter().map(|file| file.as_str()));
        let ran = run(&args).expect(status);
        assert_eq!(ran.out().lines().count() + ran.err.lines().count(), files.len(), "{files:?}");
    }
    // A stranger's file is no damaged one, even where nothing behind its version makes sense.
    let stale = folder.file("stale", garbled(b"9.99.9"));
    let ran = run(&["check", "--engine", &wasmtime, &stale]).expect(1);
    assert_eq!(ran.out(), format!("{stale}: Module was compiled with incompatible Wasmtime version '9.99.9'\n"));
    let stranger = folder.file("stranger", patched(garbled(b"0.33.0"), b"\0wasmtime-aot", b"\0someone_-aot"));
    run(&["check", "--engine", &wasmtime, &stranger]).expect(1);
    for file in [&corrupt, &folder.file("cut", &bytes[..bytes.len() - 9])] {
        run(&["check", "--engine", &wasmtime, file]).expect(3);
        run(&["check", file]).expect(1);
    }
}

#[test]
fn check_tells_programs_about_damage_too() {
    let folder = Folder::new();
    let bytes = genuine("addfib");
    let truncated = folder.file("truncated", &bytes[..bytes.len() - 9]);
    let ran = run(&["check", "--wasmtime", "--json", &truncated, &fixture("ver_custom.cwasm")]).expect(3);
    let lines: Vec<Json> = ran.out().lines().map(|line| Json::parse(line.as_bytes())).collect();
    assert_eq!(lines.iter().map(|line| line.get("status").text()).collect::<Vec<_>>(), ["#11", "#21"]);
    assert!(lines[0].get("offset").text().starts_with('#'));
    assert_eq!(lines[0].get("findings"), &Json::List(Vec::new()));
    assert_eq!(lines[1].get("findings").list()[0].get("artifact").text(), "my-embedder-1");
    assert!(ran.err.starts_with(&format!("artifact: {truncated}: ")), "{}", ran.err);
}

#[test]
fn wrong_usage_and_help() {
    let file = fixture("addfib.cwasm");
    for args in [
        &[][..],
        &["frobnicate"],
        &["check"],
        &["inspect"],
        &["inspect", &file, &file],
        &["rewrite", &file],
        &["check", "--wasmtime", "--engine", "e.json", &file],
        &["check", "-", "-"],
        &["verify", "--engine", "-", "-"],
        &["verify", "--frobnicate", &file],
    ] {
        let ran = run(args).expect(2);
        assert_eq!(ran.out(), "", "{args:?}");
        assert!(!ran.err.is_empty());
    }
    for command in [
        &["--help"][..],
        &["inspect", "--help"],
        &["check", "--help"],
        &["verify", "--help"],
        &["engine", "--help"],
        &["rewrite", "--help"],
    ] {
        let ran = run(command).expect(0);
        assert!(ran.out().contains("\nExamples:\n  artifact "), "{command:?}");
        assert!(!ran.out().contains('\x1b'));
    }
    let version = format!("artifact {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]).expect(0).out(), version);
}

#[test]
fn verify_names_oddities_and_strict_refuses_them() {
    let folder = Folder::new();
    let sound: Vec<String> = fixtures().iter().map(|name| fixture(&format!("{name}.cwasm"))).collect();
    let mut args = vec!["verify", "--strict"];
    args.extend(sound.iter().map(String::as_str));
    let ran = run(&args).expect(0);
    assert_eq!(ran.out(), sound.iter().map(|file| format!("{file}: sound\n")).collect::<String>());

    let unsorted = patched(genuine("addfib"), b"has_avx2", b"has_zzz2");
    let odd = folder.file("odd", [&unsorted[..], b"and more"].concat());
    let ran = run(&["verify", &odd]).expect(0);
    let lines: Vec<&str> = ran.out().lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&format!("{odd}: Metadata, isa_flags: ")), "{lines:?}");
    assert!(lines[1].starts_with(&format!("{odd}: 8 bytes follow Metadata ")), "{lines:?}");
    assert_eq!(run(&["verify", "--strict", &odd]).expect(3).out(), ran.out());
    let json = run(&["verify", "--json", &odd]).expect(0).json();
    assert_eq!(json.get("status"), &Json::number(0));
    let kinds: Vec<&str> = json.get("findings").list().iter().map(|finding| finding.get("kind").text()).collect();
    assert_eq!(kinds, ["metadata", "trailing_bytes"]);
}

#[test]
fn rewrite_keeps_the_body() {
    let folder = Folder::new();
    let out = folder.path("out");
    for name in fixtures() {
        let (file, bytes) = (fixture(&format!("{name}.cwasm")), genuine(&name));
        let args = ["rewrite".as_ref(), "--no-trailer".as_ref(), file.as_ref(), OsStr::new("-o"), out.as_ref()];
        let ran = run(&args).expect(0);
        assert_eq!((ran.out(), ran.err.as_str()), ("", ""));
        assert!(fs::read(&out).unwrap() == bytes, "{name}");
        let sealed = run(&["rewrite", &file, "-o", "-"]).expect(0).out;
        assert!(sealed.len() > bytes.len() && sealed.starts_with(&bytes), "{name}");
        assert!(run_with(&["rewrite", "-", "--no-trailer", "-o", "-"], &sealed).expect(0).out == bytes, "{name}");
    }
    // In place, and without what is no part of the body.
    let bytes = genuine("ml_two");
    let file = folder.file("a", [&bytes[..], b"and more"].concat());
    run(&["rewrite", "--no-trailer", &file, "--output", &file]).expect(0);
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn rewrite_adds_attributes_that_inspect_shows() {
    let folder = Folder::new();
    let (file, out) = (fixture("addfib.cwasm"), folder.path("out").to_str().unwrap().to_owned());
    run(&["rewrite", &file, "-o", &out, "--attribute", "built-by=ci", "--attribute", "empty="]).expect(0);
    run(&["rewrite", &out, "-o", &out, "--attribute", "built-by=me"]).expect(0);
    let trailer = run(&["inspect", "--json", &out]).expect(0).json().get("trailer").clone();
    assert_eq!(trailer.get("format"), &Json::number(1));
    assert_eq!(trailer.get("attributes").get("built-by").text(), "bWU=");
    assert_eq!(trailer.get("attributes").get("empty").text(), "");
    let text = run(&["inspect", &out]).expect(0);
    assert!(text.out().contains("integrity  digests") && text.out().contains("attribute  built-by"), "{}", text.out());
    run(&["verify", "--strict", &out]).expect(0);
    run(&["rewrite", &file, "-o", &out, "--attribute", "nothing"]).expect(2);
    run(&["rewrite", &file, "-o", &out, "--attribute", "a=b", "--no-trailer"]).expect(2);

    let mut bytes = fs::read(&out).unwrap();
    bytes[5000] ^= 1;
    let damaged = folder.file("damaged", bytes);
    assert!(run(&["verify", &damaged]).expect(3).err.contains("module 0: expected the bytes that were written"));
}

#[test]
fn rewrite_that_fails_leaves_what_was_there() {
    let folder = Folder::new();
    let out = folder.file("out", "precious");
    let text = folder.file("text", "no artifact");
    let ran = run(&["rewrite", &text, "-o", &out]).expect(3);
    assert!(ran.err.starts_with(&format!("artifact: {text}: ")), "{}", ran.err);
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    let nowhere = folder.path("no/where").to_str().unwrap().to_owned();
    let ran = run(&["rewrite", &fixture("addfib.cwasm"), "-o", &nowhere]).expect(5);
    assert!(ran.err.starts_with(&format!("artifact: {nowhere}: ")), "{}", ran.err);
    assert!(!Path::new(&nowhere).exists());
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let file = fixture("types.cwasm");
    for (args, status) in [(&["inspect", &file][..], 0), (&["engine"], 0), (&["check", &file, "/missing"], 5)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran: Ran = command(args).stdout(writer).output().unwrap().into();
        let ran = ran.expect(status);
        assert!(!ran.err.contains("standard output"), "{}", ran.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_is_lost_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let ran: Ran = command(&["inspect", &fixture("types.cwasm")]).stdout(full).output().unwrap().into();
    assert!(ran.expect(5).err.starts_with("artifact: standard output: "));
}
