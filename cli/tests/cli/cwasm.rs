//! Files of Wasmtime 3 and newer: `inspect`, `check`, `verify`, `sign`, and what every other command says.

use std::fs;

use artifact::engine::{Engine, VersionRule};

use crate::json::Json;
use crate::support::{Folder, fixture, run, run_with};

fn wasmtime(name: &str) -> String {
    fixture(&format!("wasmtime/{name}.cwasm"))
}

fn expected(name: &str) -> Json {
    Json::parse(&fs::read(fixture(&format!("wasmtime/{name}.json"))).unwrap())
}

/// Writes the engine that compiled a file, after changes to its JSON.
fn engine_of(folder: &Folder, name: &str, changes: &[(&str, &str)]) -> String {
    let mut json = run(&["inspect", "--json", &wasmtime(name)]).expect(0).out().to_owned();
    for (from, to) in changes {
        assert_eq!(json.matches(from).count(), 1, "{from}");
        json = json.replace(from, to);
    }
    folder.file("engine.json", json)
}

#[test]
fn inspect_shows_what_is_in_them() {
    for name in [
        "v03_settings",
        "v14_rv64_add",
        "v31_empty",
        "v48_default_comp",
        "v48_pulley_add",
        "v48_vercustom_add",
        "v50_settings",
    ] {
        let ran = run(&["inspect", "--json", "--symbols", &wasmtime(name)]).expect(0);
        let (found, expected) = (ran.json(), expected(name));
        for key in ["kind", "version", "target", "shared_flags", "isa_flags", "tunables", "features"] {
            assert_eq!(found.get(key), expected.get(key), "{name}: {key}");
        }
        let names: Vec<_> = found.get("sections").list().iter().map(|section| section.get("name").text()).collect();
        let known: Vec<_> = expected.get("sections").list().iter().map(Json::text).collect();
        assert_eq!(names, known, "{name}");
        assert_eq!(found.get("file_len"), &Json::number(fs::metadata(wasmtime(name)).unwrap().len()));
        assert_eq!(ran.err.contains("tunables and features are unknown"), name == "v48_vercustom_add", "{}", ran.err);
    }
    let symbols = run(&["inspect", "--json", "--symbols", &wasmtime("v14_x64_fib")]).expect(0).json();
    let names: Vec<_> = symbols.get("symbols").list().iter().map(|symbol| symbol.get("name").text()).collect();
    assert!(names.contains(&"wasm[0]::function[1]"), "{names:?}");
    let text = run(&["inspect", &wasmtime("v48_default_comp")]).expect(0);
    for line in [
        "WebAssembly component compiled by Wasmtime, 13864 bytes (13.5 KiB)",
        "version\t48",
        "target\tx86_64-unknown-linux-gnu",
        "opt_level\tspeed",
        "has_avx2\ton",
        "memory_reservation\t4294967296",
        "collector\tnone",
        "bulk_memory_opt\ton",
    ] {
        assert!(text.out().lines().any(|found| found.ends_with(line)), "{line}: {}", text.out());
    }
    let bytes = fs::read(wasmtime("v48_default_comp")).unwrap();
    assert!(run_with(&["inspect", "-"], &bytes).expect(0).out().contains("version\t48"));
    let unknown = run(&["inspect", &wasmtime("v48_vercustom_add")]).expect(0);
    assert!(unknown.out().contains("tunables and features: unknown"), "{}", unknown.out());
}

#[test]
fn check_compares_them_with_a_cpu_or_an_engine() {
    let folder = Folder::new();
    let s390x = run(&["check", "--all", &wasmtime("v48_s390x_add")]);
    if cfg!(not(target_arch = "s390x")) {
        let words = format!(
            "{}: Module was compiled for architecture 's390x' (made by wasmtime 48)\n",
            wasmtime("v48_s390x_add")
        );
        assert_eq!(s390x.expect(1).out(), words);
    }
    // Code that was compiled for another CPU: what the two differ in decides, not who compiled it.
    let mut none = Engine::new();
    none.set_target("x86_64-unknown-linux-gnu").unwrap();
    none.set_producer("wasmtime").unwrap();
    none.set_version_rule(VersionRule::Custom("48".into())).unwrap();
    let none = folder.file("none.json", none.to_json().unwrap());
    let file = wasmtime("v48_default_empty");
    let ran = run(&["check", "--json", "--engine", &none, &file]).expect(1);
    assert_eq!(ran.json().get("findings").list().len(), 19);
    assert_eq!(ran.json().get("findings").list()[0].get("setting").text(), "has_sse3");

    let engine = engine_of(&folder, "v48_default_empty", &[]);
    assert_eq!(run(&["check", "--engine", &engine, &file]).expect(0).out(), format!("{file}: compatible\n"));
    let changes = [
        ("\"consume_fuel\": false", "\"consume_fuel\": true"),
        ("\"memory_reservation\": 4294967296", "\"memory_reservation\": 0"),
    ];
    let engine = engine_of(&folder, "v48_default_empty", &changes);
    let ran = run(&["check", "--all", "--engine", &engine, &file]).expect(1);
    let sentences = [
        "Module was compiled with a memory reservation of '4294967296' but '0' is expected for the host",
        "Module was compiled without fuel support but it is enabled for the host",
    ];
    assert_eq!(ran.out(), sentences.map(|sentence| format!("{file}: {sentence}\n")).concat());
    let other = wasmtime("v45_empty");
    let ran = run(&["check", "--engine", &engine, &other]).expect(1);
    assert_eq!(ran.out(), format!("{other}: Module was compiled with incompatible version '45'\n"));
    let ran = run(&["check", "--wasmtime", &other]).expect(1);
    assert_eq!(ran.out(), format!("{other}: Module was compiled with incompatible Wasmtime version '45'\n"));
    // An artifact is compared with the same engine as far as it says anything about artifacts.
    let artifact = folder.artifact("artifact", &Engine::host());
    let ran = run(&["check", "--engine", &engine, &artifact]).expect(1);
    assert!(ran.out().ends_with("Module was compiled by 'artifact' but 'wasmtime' is expected for the host\n"));
    let wrong = engine_of(&folder, "v48_default_empty", &[("\"consume_fuel\"", "\"fuel\"")]);
    assert!(run(&["check", "--engine", &wrong, &file]).expect(5).err.contains("none named 'fuel'"));
}

#[test]
fn a_detached_signature_covers_every_byte() {
    let folder = Folder::new();
    let [key, public, signature] =
        ["a.key", "a.pub", "a.sig"].map(|name| folder.path(name).to_str().unwrap().to_owned());
    run(&["keygen", "-o", &key, "--public", &public]).expect(0);
    let file = wasmtime("v03_settings");
    run(&["sign", &file, "--key", &key, "-o", &signature]).expect(0);
    let signed = ["--trust", &public, "--signature", &signature];
    let with = |command: &str, file: &str| run(&[&[command, file][..], &signed].concat());
    assert_eq!(with("verify", &file).expect(0).out(), format!("{file}: OK\n"));
    let shown = with("inspect", &file).expect(0);
    assert!(shown.out().contains(", trusted\n"), "{}", shown.out());
    let json = run(&[&["inspect", "--json", &file][..], &signed].concat()).expect(0).json();
    assert_eq!(json.get("signed_by").text().len(), 64);
    let bytes = fs::read(&file).unwrap();
    for at in (0..bytes.len()).step_by(709).chain([0, 7, 48, 70, bytes.len() - 1]) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        let flipped = folder.file("flipped.cwasm", flipped);
        for command in ["verify", "check", "inspect"] {
            let refused = with(command, &flipped).expect(4);
            assert_eq!(refused.out(), "", "byte {at}");
        }
    }
    run(&["verify", &file, "--trust", &public]).expect(4);
    run(&["verify", &file, "--signature", &signature]).expect(5);
    assert_eq!(run(&["verify", &file]).expect(0).out(), format!("{file}: OK\n"));
    let damaged = folder.file("damaged", &bytes[..bytes.len() - 64]);
    run(&["verify", &damaged]).expect(3);
    let mut other = fs::read(wasmtime("v48_default_comp")).unwrap();
    other[65] = 200; // the length of the version
    let other = folder.file("other", other);
    run(&["verify", &other]).expect(3);
    run(&["sign", &other, "--key", &key, "-o", &signature]).expect(3);
}

#[test]
fn an_engine_of_another_version_is_refused() {
    let folder = Folder::new();
    let engine = engine_of(&folder, "v50_settings", &[]);
    for command in ["inspect", "verify"] {
        run(&[command, "--engine", &engine, &wasmtime("v50_settings")]).expect(0);
        let refused = run(&[command, "--engine", &engine, &wasmtime("v49_empty")]).expect(1);
        assert!(refused.err.contains("incompatible version '49'"), "{}", refused.err);
    }
}

#[test]
fn other_commands_say_what_it_is() {
    let folder = Folder::new();
    let out = folder.path("out").to_str().unwrap().to_owned();
    let file = wasmtime("v48_default_comp");
    for args in [&["run", &file, "add"][..], &["extract", &file, "-d", &out], &["rewrite", &file, "-o", &out]] {
        let refused = run(args).expect(3);
        assert!(
            refused.err.contains("a WebAssembly component that Wasmtime 48 compiled, which any Wasmtime 48.x runs"),
            "{}",
            refused.err
        );
    }
    // It can be kept in an artifact, byte for byte.
    run(&["pack", "-o", &out, &file]).expect(0);
    let modules = folder.path("modules").to_str().unwrap().to_owned();
    run(&["extract", &out, "-d", &modules]).expect(0);
    let kept = fs::read_dir(&modules).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept.filter(|path| fs::read(path).unwrap() == fs::read(&file).unwrap()).collect();
    assert_eq!(kept.len(), 1);
}
