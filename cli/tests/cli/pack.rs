//! `artifact pack`, and the round trip with `artifact extract`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::{Builder, Settings};
use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::format::Map;
use artifact::format::flags::Flag;
use artifact::format::types::{EntityType, FuncType, Global, GlobalInit, InstanceType, Types, V128, WasmType};

use crate::json::Json;
use crate::support::{Folder, Ran, facts, fixture, fixtures, genuine, module, other_module, run, run_with};

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn extract(file: &str, directory: &Path) -> Ran {
    run(&["extract", file, "-d", text(directory)])
}

/// Packs what was extracted, with more arguments.
pub fn pack(directory: &Path, out: &Path, more: &[&str]) -> Ran {
    let metadata = directory.join("metadata.json");
    let mut modules: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    modules.retain(|path| path.extension().is_some_and(|extension| extension == "elf"));
    modules.sort(); // as the shell expands module-*.elf
    let mut args = vec!["pack", "-o", text(out), "--metadata", text(&metadata)];
    args.extend(more);
    args.extend(modules.iter().map(|path| text(path)));
    run(&args)
}

/// Extracts and packs an artifact without a trailer, and expects the same file.
#[track_caller]
fn round_trip(folder: &Folder, name: &str, bytes: &[u8]) -> PathBuf {
    let file = folder.file(name, bytes);
    let (parts, out) = (folder.path(&format!("{name}.parts")), folder.path(&format!("{name}.out")));
    let ran = extract(&file, &parts).expect(0);
    assert_eq!((ran.out(), ran.err.as_str()), ("", ""), "{name}");
    let ran = pack(&parts, &out, &["--no-trailer"]).expect(0);
    assert_eq!((ran.out(), ran.err.as_str()), ("", ""), "{name}");
    assert!(fs::read(out).unwrap() == bytes, "{name}");
    parts
}

pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn round_trip_of_genuine_files() {
    let folder = Folder::new();
    for name in fixtures() {
        let parts = round_trip(&folder, &name, &genuine(&name));
        // The files hold what an independent parser found.
        let found = facts(&name);
        let elves = found.get("elves").list();
        assert_eq!(names(&parts).len(), elves.len() + 1, "{name}");
        for (index, elf) in elves.iter().enumerate() {
            let number = |key: &str| elf.get(key).text()[1..].parse::<usize>().unwrap();
            let (start, end) = (number("offset"), number("offset") + number("len"));
            let written = fs::read(parts.join(format!("module-{index}.elf"))).unwrap();
            assert!(written == genuine(&name)[start..end], "{name}, module {index}");
        }
        let metadata = Json::parse(&fs::read(parts.join("metadata.json")).unwrap());
        let inspected = run(&["inspect", "--json", &fixture(&format!("{name}.cwasm"))]).expect(0).json();
        let keys = "producer version target shared_flags isa_flags tunables features module_upvars types";
        assert_eq!(metadata.keys().join(" "), keys);
        for key in metadata.keys() {
            assert_eq!(metadata.get(key), inspected.get(key), "{name}: {key}");
        }
    }
}

/// Settings that no engine can have.
fn untidy() -> Settings {
    let flags = |names: &[&str]| {
        Map(names.iter().zip(0..).map(|(name, number)| ((*name).to_owned(), Flag::Num(number))).collect())
    };
    Settings {
        producer: "some-one.else_1".into(),
        version: "größer \"2\"\n\0".into(),
        target: "no triple at all".into(),
        shared_flags: flags(&["z", "a", "", "a", "\u{1f980}\u{7f}\\"]),
        isa_flags: Map(vec![("one".into(), Flag::Enum(String::new())), ("one".into(), Flag::Bool(true))]),
        ..Settings::from(&Engine::new())
    }
}

fn v128(bits: u128) -> EntityType {
    let initializer = GlobalInit::V128Const(V128::from(bits));
    EntityType::Global(Global { wasm_ty: WasmType::V128, mutability: true, initializer })
}

#[test]
fn round_trip_of_unusual_files() {
    let folder = Folder::new();
    let elf = module();
    let mut builder = Builder::from_settings(untidy()).unwrap();
    (0..12).for_each(|_| assert!(builder.add_module(&elf).is_ok()));
    let mut types = Types::default();
    types.instance_signatures.push(InstanceType {
        exports: Map(vec![("b".into(), v128(u128::MAX)), ("a".into(), v128(1 << 64)), ("b".into(), v128(0))]),
    });
    let mut ty = FuncType::new(vec![WasmType::ExternRef], vec![]);
    ty.externref_returns_count = u64::MAX; // not the true count
    types.wasm_signatures.push(ty);
    builder.set_types(types).unwrap();
    let mut parent = None;
    for depth in 0..100 {
        parent = Some(builder.add_upvar(parent, depth % 12, &[11, 0, 11]).unwrap());
    }
    builder.add_upvar(Some(40), 3, &[]).unwrap();
    builder.set_trailer(false).unwrap();
    let parts = round_trip(&folder, "odd", &builder.serialize().unwrap());
    // The names sort in the order of the modules.
    assert_eq!(names(&parts)[1..], (0..12).map(|index| format!("module-{index:02}.elf")).collect::<Vec<_>>());

    for (name, version) in [("none", VersionRule::None), ("custom", VersionRule::Custom("v 1".into()))] {
        let mut engine = Engine::host();
        engine.set_version_rule(version).unwrap();
        let mut builder = Builder::new(&engine);
        builder.add_module(&elf).unwrap();
        builder.set_trailer(false).unwrap();
        round_trip(&folder, name, &builder.serialize().unwrap());
    }
}

#[test]
fn round_trip_of_attributes() {
    let folder = Folder::new();
    let elf = module();
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&elf).unwrap();
    builder.set_attribute("bytes", &[0, 255, 254]).unwrap();
    builder.set_attribute("", b"").unwrap();
    let bytes = builder.serialize().unwrap();
    let (parts, out) = (folder.path("parts"), folder.path("out"));
    extract(&folder.file("a", &bytes), &parts).expect(0);
    pack(&parts, &out, &[]).expect(0);
    assert!(fs::read(&out).unwrap() == bytes);
    pack(&parts, &out, &["--attribute", "bytes=new"]).expect(0);
    let artifact = Artifact::open(&out, None, &OpenOptions::default()).unwrap();
    assert_eq!(artifact.attribute("bytes").unwrap(), b"new");
    assert_eq!(artifact.attribute("").unwrap(), b"");
    pack(&parts, &out, &["--no-trailer"]).expect(0);
    assert!(bytes.starts_with(&fs::read(&out).unwrap()));
}

#[test]
fn warns_if_pack_cannot_reproduce_the_body() {
    let folder = Folder::new();
    let warns = |name: &str, bytes: Vec<u8>, what: &str| {
        let file = folder.file(name, bytes);
        let ran = extract(&file, &folder.path(&format!("{name}.parts"))).expect(0);
        let expected = format!("warning: '{file}': `artifact pack` cannot reproduce the body: {what}");
        assert!(ran.err.starts_with(&expected) && ran.err.lines().count() == 1, "{}", ran.err);
        assert_eq!(ran.out(), "");
    };
    let found = facts("ml_types");
    let end = found.get("elves").list()[0].get("len").text()[1..].parse::<usize>().unwrap();
    let mut bytes = genuine("ml_types");
    bytes[end + 8] = 1;
    warns("padding", bytes, "link word or padding before module 1: ");

    // The second module is farther away than necessary: everything after the first module moves.
    let bytes = genuine("ml_types");
    let start = found.get("elves").list()[1].get("offset").text()[1..].parse::<usize>().unwrap();
    let link = u64::to_le_bytes(start as u64 + 4096);
    warns(
        "link",
        [&bytes[..end], &link, &bytes[end + 8..start], &[0; 4096], &bytes[start..]].concat(),
        "link word or padding before module 1: ",
    );
}

/// Packs a module with these arguments, and returns what `inspect` shows.
#[track_caller]
fn packed(folder: &Folder, args: &[&str]) -> Json {
    let (elf, out) = (folder.file("m.elf", module()), folder.path("out"));
    let all: Vec<&str> = [&["pack", "-o", text(&out)], args, &[elf.as_str()]].concat();
    let ran = run(&all).expect(0);
    assert_eq!((ran.out(), ran.err.as_str()), ("", ""));
    run(&["verify", text(&out)]).expect(0);
    run(&["inspect", "--json", text(&out)]).expect(0).json()
}

#[test]
fn pack_records_the_settings() {
    let folder = Folder::new();
    let bare = packed(&folder, &[]);
    assert_eq!(bare.get("producer").text(), "artifact");
    assert_eq!(bare.get("target").text(), Engine::new().target());
    assert_eq!(bare.get("isa_flags").keys(), Vec::<&str>::new());
    assert_eq!(packed(&folder, &["--wasmtime"]).get("producer").text(), "wasmtime");

    let host = Engine::host();
    let native: Vec<&str> = host.flags(FlagMap::Isa).keys().map(String::as_str).collect();
    assert_eq!(packed(&folder, &["--cpu", "native"]).get("isa_flags").keys(), native);
    let out = folder.path("out");
    assert_eq!(run(&["check", text(&out)]).expect(0).out(), format!("{}: compatible\n", text(&out)));
    if cfg!(target_arch = "x86_64") {
        let level = packed(&folder, &["--cpu", "x86-64-v2"]);
        let expected = ["crc32", "cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"];
        assert_eq!(level.get("isa_flags").keys(), expected);
        assert_eq!(packed(&folder, &["--cpu", "sha,avx2,sha"]).get("isa_flags").keys(), ["avx2", "sha"]);
        let ran = run(&["pack", "-o", text(&out), "--cpu", "avx2,avx-2", "m.elf"]).expect(2);
        assert!(ran.err.contains("found 'avx-2'"), "{}", ran.err);
    }

    let mut engine = Engine::host();
    engine.set_producer("mine").unwrap();
    engine.set_flag(FlagMap::Shared, "opt_level", Flag::Enum("speed".into())).unwrap();
    let engine = folder.file("engine.json", engine.to_json().unwrap());
    let told = packed(&folder, &["--engine", &engine, "--attribute", "a=b=c"]);
    assert_eq!(told.get("producer").text(), "mine");
    assert_eq!(told.get("shared_flags").keys(), ["opt_level"]);
    assert_eq!(told.get("trailer").get("attributes").get("a").text(), "Yj1j");
    assert_eq!(packed(&folder, &["--no-trailer"]).get("trailer"), &Json::Null);
}

/// An object for a machine, made by the assembler for it if that is installed.
pub fn object(folder: &Folder, assembler: &str, text_of: &str) -> Option<String> {
    let (source, object) = (folder.file("source.s", text_of), folder.path("object.o"));
    let assembled = Command::new(assembler).arg("-g").arg(source).arg("-o").arg(&object).status().ok()?;
    assert!(assembled.success());
    Some(text(&object).to_owned())
}

#[test]
fn pack_builds_for_another_target() {
    let folder = Folder::new();
    let (out, triple) = (folder.path("out"), "aarch64-unknown-linux-gnu");
    let pack = |args: &[&str]| run(&[&["pack", "-o", text(&out), "--target", triple], args].concat());
    if let Some(object) = object(&folder, "aarch64-linux-gnu-as", ".globl f\nf: ret\n") {
        pack(&["--cpu", "lse,sve-vector-bits=256", "--object", &object]).expect(0);
        let packed = run(&["inspect", "--json", text(&out)]).expect(0).json();
        assert_eq!(packed.get("target").text(), triple);
        assert_eq!(packed.get("isa_flags").keys(), ["lse", "sve-vector-bits"]);
    }
    // The host's names and the host's code are another machine's.
    for cpu in if cfg!(target_arch = "x86_64") { ["avx2", "x86-64-v2", "native"] } else { ["avx2", "x86-64-v2", ""] } {
        let ran = pack(&["--cpu", cpu, "m.elf"]).expect(2);
        assert!(ran.err.contains(&format!("aarch64, found '{cpu}'")), "{}", ran.err);
    }
    let wrong =
        run(&["pack", "-o", text(&out), "--target", "riscv64gc-unknown-linux-gnu", &folder.file("m.elf", module())]);
    assert!(wrong.expect(5).err.contains("riscv64"));
    run(&["pack", "-o", text(&out), "--target", "x86", "m.elf"]).expect(2);
    run(&["pack", "-o", text(&out), "--target", triple, "--wasmtime", "m.elf"]).expect(2);
}

#[test]
fn pack_leaves_out_debug_information() {
    let folder = Folder::new();
    let Some(object) = object(&folder, "as", ".globl f\nf: ret\n") else { return };
    let out = folder.path("out");
    let has_debug = |args: &[&str]| {
        run(&[&["pack", "-o", text(&out), "--object", &object], args].concat()).expect(0);
        run(&["inspect", text(&out)]).expect(0).out().contains(".debug_line")
    };
    assert!(has_debug(&[]));
    assert!(!has_debug(&["--no-debug"]));
}

#[test]
fn pack_keeps_the_order_of_modules_and_reads_streams() {
    let folder = Folder::new();
    let (first, second) = (folder.file("1", module()), folder.file("2", other_module()));
    let out = folder.path("out");
    run(&["pack", "-o", text(&out), "--no-trailer", &first, &second]).expect(0);
    let artifact = Artifact::open(&out, None, &OpenOptions::default()).unwrap();
    assert_eq!(artifact.module_bytes(0).unwrap(), module());
    assert_eq!(artifact.module_bytes(artifact.main_module()).unwrap(), other_module());
    let piped = run_with(&["pack", "--no-trailer", "-o", "-", "-", &second], &module()).expect(0);
    assert!(piped.out == fs::read(&out).unwrap());
}

#[test]
fn a_failed_pack_keeps_the_output_file() {
    let folder = Folder::new();
    let (elf, noise) = (folder.file("m.elf", module()), folder.file("noise", "no ELF"));
    let out = folder.file("out", "precious");
    for (args, message, status) in [
        (&[elf.as_str(), &noise][..], format!("'{noise}': "), 5),
        (&[&elf, "/missing"], "cannot open '/missing': No such file or directory\n".to_owned(), 5),
        (&["--engine", &noise, &elf], format!("'{noise}': "), 5),
        (&["--engine", "/missing", &elf], "cannot open '/missing': No such file or directory\n".to_owned(), 5),
        (&["--metadata", &noise, &elf], format!("'{noise}': "), 5),
    ] {
        let ran = run(&[&["pack", "-o", &out], args].concat()).expect(status);
        assert!(ran.err.starts_with(&format!("error: {message}")), "{}", ran.err);
        assert_eq!((ran.out(), ran.err.lines().count()), ("", 1));
        assert_eq!(fs::read(&out).unwrap(), b"precious");
    }
    for args in [
        &["--wasmtime", "--cpu", "native", &elf][..],
        &["--metadata", "m.json", "--wasmtime", &elf],
        &["--no-trailer", "--attribute", "a=b", &elf],
        &["--engine", "-", "-"],
        &[],
    ] {
        run(&[&["pack", "-o", &out], args].concat()).expect(2);
    }
}

#[test]
fn metadata_is_read_strictly() {
    let folder = Folder::new();
    let (elf, out) = (folder.file("m.elf", module()), folder.path("out"));
    let parts = folder.path("parts");
    extract(&fixture("ml_types.cwasm"), &parts).expect(0);
    let json = fs::read_to_string(parts.join("metadata.json")).unwrap();
    let refused = |json: &str, why: &str| {
        let metadata = folder.file("metadata.json", json);
        let ran = run(&["pack", "-o", text(&out), "--metadata", &metadata, &elf, &elf, &elf]).expect(5);
        assert!(ran.err.starts_with(&format!("error: '{metadata}': ")) && ran.err.contains(why), "{}", ran.err);
        assert!(!out.exists());
    };
    let line = |needle: &str| json.lines().position(|line| line.contains(needle)).unwrap() + 1;
    for (from, to, why) in [
        ("\"producer\"", "\"producers\"", "unknown field `producers`"),
        ("\"wasm_ty\"", "\"x\": 1, \"wasm_ty\"", "unknown field `x`"),
        ("\"minimum\"", "\"minimal\"", "unknown field `minimal`"),
        ("\"exports\"", "\"exporte\"", "unknown field `exporte`"),
        ("\"simd\"", "\"smd\"", "unknown field `smd`"),
        ("\"V128Const\": 1", "\"V128Const\": -1", "at line"),
        ("171653549535673402679019659085567242768", "340282366920938463463374607431768211456", "out of range"),
    ] {
        assert!(json.contains(from), "{from}");
        refused(&json.replacen(from, to, 1), why);
        refused(&json.replacen(from, to, 1), &format!("at line {} column ", line(from)));
    }
    refused(&format!("{json}{{}}"), "trailing characters");
    refused(&json.replacen("\"wasmtime\"", "\"Wasm time\"", 1), "producer: expected 1 to 32");
    refused(&json.replacen("\"Function\": 0", "\"Function\": 4000000000", 1), "function type: expected an index below");
    let upvar = "\"module_upvars\": [{\"index\": 3, \"artifact_upvars\": [], \"module_upvars\": []}]";
    refused(&json.replacen("\"module_upvars\": []", upvar, 1), "upvar: expected a module index below 3, found 3");
    let twice = json.trim_end().trim_end_matches('}').trim_end().to_owned() + r#", "attributes": {"a": "", "a": ""}}"#;
    refused(&twice, "attributes: expected each name once, found 'a' twice");
    refused(&twice.replacen("\"a\": \"\"", "\"a\": \"?\"", 1), "expected base64");
}

#[test]
fn offsets_of_a_body_are_those_of_the_format() {
    // Modules of different alignments.
    let folder = Folder::new();
    let mut builder = Builder::new(&Engine::new());
    let (elf, other) = (module(), other_module());
    builder.add_module(&elf).unwrap();
    builder.add_module(&other).unwrap();
    builder.add_module(&elf).unwrap();
    builder.set_trailer(false).unwrap();
    round_trip(&folder, "aligned", &builder.serialize().unwrap());
}

#[test]
#[cfg(target_os = "linux")]
fn round_trip_of_more_modules_than_the_limit_of_open_files() {
    let folder = Folder::new();
    let elf = other_module();
    let mut builder = Builder::new(&Engine::new());
    (0..300).for_each(|_| assert!(builder.add_module(&elf).is_ok()));
    let bytes = builder.serialize().unwrap();
    let (parts, out) = (folder.path("parts"), folder.path("out"));
    extract(&folder.file("many", &bytes), &parts).expect(0);
    let script = "ulimit -n 64 && cd \"$1\" && exec \"$0\" pack -o \"$2\" --metadata metadata.json module-*.elf";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_artifact"), text(&parts), text(&out)]);
    Ran::from(shell.output().unwrap()).expect(0);
    assert!(fs::read(out).unwrap() == bytes);
}

#[test]
#[cfg(target_os = "linux")]
fn endless_metadata_is_an_error() {
    let folder = Folder::new();
    let (elf, out) = (folder.file("m.elf", module()), folder.path("out"));
    let ran = run(&["pack", "-o", text(&out), "--metadata", "/dev/zero", &elf]).expect(5);
    assert!(ran.err.contains("metadata in JSON: expected at most 268435456 bytes"), "{}", ran.err);
}

#[test]
fn objects_are_linked_into_the_main_module() {
    let folder = Folder::new();
    let compile = |name: &str, source: &str| {
        let (file, object) = (folder.file(&format!("{name}.c"), source.as_bytes()), folder.path(&format!("{name}.o")));
        let flags = ["-O2", "-fPIC", "-c", "-o", text(&object), &file];
        assert!(std::process::Command::new("cc").args(flags).status().unwrap().success());
        object
    };
    let one = compile("one", "int two(void); int one(void) { return two() - 1; }");
    let two = compile("two", "int two(void) { return 2; }");
    let out = folder.path("out.artifact");
    let ran = run(&["pack", "-o", text(&out), "--object", text(&one), text(&two)]).expect(0);
    assert_eq!((ran.out(), ran.err.as_str()), ("", ""));
    let artifact = Artifact::open_bytes(&fs::read(&out).unwrap(), None, &OpenOptions::default()).unwrap();
    assert_eq!(artifact.module_count(), 1);

    // GCC's intermediate code is neither an object nor a module.
    let (source, slim) = (folder.file("slim.c", "int slim(void) { return 1; }"), folder.path("slim.o"));
    let gcc = std::process::Command::new("gcc").args(["-flto", "-c", "-o", text(&slim), &source]).status();
    if gcc.is_ok_and(|status| status.success()) {
        for way in [&[text(&slim)][..], &["--object", text(&slim)]] {
            let ran = run(&[&["pack", "-o", text(&folder.path("slim"))], way].concat()).expect(1);
            assert!(ran.err.contains("no machine code; compile without -flto"), "{}", ran.err);
        }
    }

    // Also with the settings of another file.
    let parts = folder.path("parts");
    extract(text(&out), &parts).expect(0);
    let (metadata, again) = (parts.join("metadata.json"), folder.path("again"));
    run(&["pack", "-o", text(&again), "--metadata", text(&metadata), "--object", text(&one), text(&two)]).expect(0);
    assert!(fs::read(&again).unwrap() == fs::read(&out).unwrap());

    let both = run(&["pack", "-o", text(&out), text(&folder.path("image.elf")), "--object", text(&one)]);
    assert_eq!(both.expect(5).out(), "", "no such module");
    let bad = compile(
        "bad",
        "extern __thread int theirs __attribute__((tls_model(\"local-exec\"))); int get(void) { return theirs; }",
    );
    let ran = run(&["pack", "-o", text(&folder.path("no")), "--object", text(&one), text(&bad)]).expect(1);
    assert!(ran.err.contains("bad.o:(.text+") && ran.err.contains("against symbol 'theirs'"), "{}", ran.err);
    assert!(!folder.path("no").exists());
    run(&["pack", "-o", text(&out)]).expect(2);
}

#[test]
fn relative_relocations_are_packed_if_asked() {
    let folder = Folder::new();
    let source =
        "int one(void) { return 1; }\nint (*table[])(void) = {one, one, one};\nint run(void) { return table[2](); }";
    let (file, object, out) = (folder.file("a.c", source.as_bytes()), folder.path("a.o"), folder.path("out"));
    let flags = ["-O1", "-fPIC", "-c", "-o", text(&object), &file];
    assert!(std::process::Command::new("cc").args(flags).status().unwrap().success());
    for (flag, packed) in [(None, false), (Some("--pack-relative-relocs"), true)] {
        let given = ["pack", "-o", text(&out), "--object", text(&object)];
        run(&given.into_iter().chain(flag).collect::<Vec<_>>()).expect(0);
        let has = fs::read(&out).unwrap().windows(9).any(|window| window == b".relr.dyn");
        assert_eq!(has, packed);
        assert_eq!(run(&["run", text(&out), "run"]).expect(0).out(), "1\n");
    }
}

#[test]
fn archives_supply_what_is_needed() {
    let folder = Folder::new();
    let lines =
        "int first(void) { return 1; }\nint second(void) { return 2; }\nint third(void) { return first() + 2; }\n";
    for (name, line) in ["a", "b", "c"].into_iter().zip(lines.lines()) {
        let source = format!("int first(void);\n{line}");
        let (file, object) = (folder.file(&format!("{name}.c"), source.as_bytes()), folder.path(&format!("{name}.o")));
        let flags = ["-O2", "-fPIC", "-c", "-o", text(&object), &file];
        assert!(std::process::Command::new("cc").args(flags).status().unwrap().success());
    }
    for (name, flags) in [("whole.a", "rcs"), ("thin.a", "rcsT")] {
        let mut ar = std::process::Command::new("ar");
        ar.current_dir(folder.path("")).args([flags, name, "a.o", "b.o", "c.o"]);
        assert!(ar.status().unwrap().success());
    }
    let pack = |out: &str, args: &[&str]| {
        let out = folder.path(out);
        run(&[&["pack", "-o", text(&out)], args].concat()).expect(0);
        fs::read(out).unwrap()
    };
    let (whole, thin) = (folder.path("whole.a"), folder.path("thin.a"));
    let entry = pack("entry", &["--entry", "third", "--object", text(&whole)]);
    assert!(entry == pack("thin", &["--entry", "third", "--object", text(&thin)]));
    assert_eq!(run(&["run", text(&folder.path("entry")), "third"]).expect(0).out(), "3\n");
    run(&["run", text(&folder.path("entry")), "second"]).expect(5);
    pack("all", &["--whole-archive", "--object", text(&thin)]);
    assert_eq!(run(&["run", text(&folder.path("all")), "second"]).expect(0).out(), "2\n");

    let none = folder.path("none");
    let ran = run(&["pack", "-o", text(&none), "--entry", "fourth", "--object", text(&whole)]).expect(5);
    assert!(ran.err.contains("entry 'fourth': expected an object that defines"), "{}", ran.err);
    fs::remove_file(folder.path("c.o")).unwrap();
    let ran = run(&["pack", "-o", text(&none), "--entry", "third", "--object", text(&thin)]).expect(5);
    assert!(ran.err.contains("thin.a': cannot read '") && ran.err.contains("c.o'"), "{}", ran.err);
    run(&["pack", "-o", text(&none), "--whole-archive", text(&whole)]).expect(2);
}
