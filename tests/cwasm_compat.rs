//! Files of Wasmtime 3 to 50 compared with CPUs and with engines, in the words of the releases.
#![allow(missing_docs)]

mod common;

use artifact::cwasm::Settings;
use artifact::engine::Engine;
use artifact::error::Status;
use common::cwasm::{file, files, parse};
use serde_json::{Value, json};

fn sentences(report: &artifact::report::Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.sentence.as_str()).collect()
}

#[test]
fn code_is_compared_with_a_cpu() {
    let engine = |target: &str, cpu: &str| {
        let mut engine = Engine::new();
        engine.set_target(target).unwrap();
        engine.set_cpu(cpu).unwrap();
        engine
    };
    let report = |name: &str, engine: &Engine| parse(&file(name)).report(engine).unwrap();
    let best = engine("x86_64-unknown-linux-gnu", "x86-64-v4,avx512vbmi,avx512bitalg,avx512vnni,avxvnni");
    for (name, (bytes, expected)) in files() {
        let found = parse(&bytes).report(&best).unwrap();
        if expected["target"].as_str().unwrap().starts_with("x86_64") {
            assert_eq!(found.findings, [], "{name}");
        } else {
            assert_eq!(found.status(), Status::Incompatible, "{name}");
            let architecture = expected["target"].as_str().unwrap().split('-').next().unwrap();
            assert_eq!(
                sentences(&found)[0],
                format!("Module was compiled for architecture '{architecture}'"),
                "{name}"
            );
            assert!(found.findings.len() <= 2, "{name}: flags of another architecture are not compared");
        }
    }
    let baseline = engine("x86_64-unknown-linux-gnu", "x86-64");
    let missing = report("v48_default_empty", &baseline);
    let words = "compilation settings of module incompatible with native host: compilation setting \"has_avx2\" is enabled, but \
                 not available on the host";
    assert!(sentences(&missing).contains(&words), "{:?}", sentences(&missing));
    let on = parse(&file("v48_default_empty")).settings.isa_flags.0.len();
    assert_eq!(missing.findings.len(), on, "one for each instruction set, all of which are on in this file");
    let windows = engine("x86_64-pc-windows-msvc", "x86-64-v4,avx512vbmi,avx512bitalg,avx512vnni,avxvnni");
    assert_eq!(sentences(&report("v48_default_empty", &windows)), ["Module was compiled for operating system 'linux'"]);
    let mut unknown = parse(&file("v48_default_empty"));
    unknown.settings.isa_flags.0 = vec![("has_teleport".to_owned(), artifact::format::flags::Flag::Bool(true))];
    let found = unknown.report(&best).unwrap();
    assert!(
        sentences(&found)[0].ends_with("don't know how to test for target-specific flag \"has_teleport\" at runtime")
    );
}

/// A change to the JSON of an engine.
type Change<'c> = &'c dyn Fn(&mut Value);

/// Compares a file with the engine that compiled it after `change` to the engine's JSON.
fn against(name: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let found = parse(&file(name));
    let mut engine: Value = serde_json::from_str(&found.to_json().unwrap()).unwrap();
    change(&mut engine);
    let engine = Settings::from_json(&engine.to_string()).unwrap();
    sentences(&found.report_against(&engine).unwrap()).into_iter().map(str::to_owned).collect()
}

#[test]
fn files_fit_the_engine_that_compiled_them() {
    for (name, (bytes, _)) in files() {
        let found = parse(&bytes);
        assert!(Settings::is_json(&found.to_json().unwrap()));
        assert_eq!(Settings::from_json(&found.to_json().unwrap()).unwrap(), found.settings, "{name}");
        assert_eq!(against(&name, |_| {}), [""; 0], "{name}");
    }
    assert!(!Settings::is_json(&Engine::host().to_json().unwrap()));
}

#[test]
fn mismatches_have_the_words_of_wasmtime() {
    let host = "compilation settings of module incompatible with native host: ";
    let cases: [(&str, Change<'_>, &[&str]); 14] = [
        (
            "v14_x64_fib",
            &|e| e["version"] = json!("14.0.3"),
            &["Module was compiled with incompatible Wasmtime version '14.0.4'"],
        ),
        ("v48_default_empty", &|e| e["version"] = json!("47"), &["Module was compiled with incompatible version '48'"]),
        (
            "v48_default_empty",
            &|e| e["target"] = json!("aarch64-apple-darwin"),
            &["Module was compiled for architecture 'x86_64'", "Module was compiled for operating system 'linux'"],
        ),
        (
            "v48_default_empty",
            &|e| e["isa_flags"]["has_avx"] = json!({"Bool": false}),
            &[&format!("{host}compilation setting \"has_avx\" is enabled, but not available on the host")],
        ),
        ("v48_default_empty", &|e| e["shared_flags"]["opt_level"] = json!({"Enum": "none"}), &[]),
        (
            "v48_pulley_add",
            &|e| e["target"] = json!("pulley32-unknown-unknown-elf"),
            &["Module was compiled for architecture 'pulley64'"],
        ),
        (
            "v48_default_empty",
            &|e| {
                e["tunables"]["memory_reservation"] = json!(1);
                e["tunables"]["consume_fuel"] = json!(true);
                e["tunables"]["generate_address_map"] = json!(false);
                e["tunables"]["memory_may_move"] = json!(false);
                e["tunables"]["inlining"] = json!(0);
                e["tunables"]["collector"] = json!(1);
            },
            &[
                "Module was compiled with a memory reservation of '4294967296' but '1' is expected for the host",
                "Module was compiled without fuel support but it is enabled for the host",
                "Module was compiled with memory may move but it is not enabled for the host",
                "module was compiled without intra-module inlining however the host is configured with intra-module inlining",
            ],
        ),
        ("v43_settings", &|e| e["tunables"]["operator_cost"] = json!(vec![2; 627]), &["Module costs are incompatible"]),
        ("v45_empty", &|e| e["tunables"]["operator_cost"] = json!(vec![2; 627]), &[]),
        (
            "v48_default_empty",
            &|e| e["features"] = json!("0xc000bdcf7"),
            &[
                "Module was compiled with support for WebAssembly feature `reference_types` but it is not enabled for the host",
            ],
        ),
        ("v48_default_empty", &|e| e["features"] = json!("0xffffdffffff"), &[]),
        ("v36_empty", &|e| e["features"] = json!("0x0"), &[]),
        (
            "v14_x64_fib",
            &|e| e["features"][4] = json!(false),
            &["Module was compiled with WebAssembly SIMD support but it is not enabled for the host"],
        ),
        (
            "v14_x64_fib",
            &|e| e["features"][5] = json!(true),
            &["Module was compiled without WebAssembly tail calls support but it is enabled for the host"],
        ),
    ];
    for (name, change, expected) in cases {
        if name == "v36_empty" {
            let found = against(name, |engine| engine["features"] = json!("0xffffffffffffffff"));
            assert!(found.iter().any(|sentence| {
                sentence.contains("without support for WebAssembly feature `memory_control` but it is enabled")
            }));
            continue;
        }
        assert_eq!(against(name, change), expected, "{name}");
    }
    let mut found = parse(&file("v14_x64_fib"));
    let engine = found.settings.clone();
    for (name, flag) in &mut found.settings.shared_flags.0 {
        if name == "preserve_frame_pointers" {
            *flag = artifact::format::flags::Flag::Bool(false);
        }
    }
    assert_eq!(
        sentences(&found.report_against(&engine).unwrap()),
        [format!("{host}setting \"preserve_frame_pointers\" is configured to Bool(false) which is not supported"),]
    );
}

/// What the loaders of the releases said about the files, each under engines that differ in a few settings.
#[test]
fn every_verdict_matches_the_genuine_loader() {
    let mut counts = [0, 0];
    for row in common::json_file("wasmtime/VERDICTS.json").as_array().unwrap() {
        let name = row["file"].as_str().unwrap();
        let found = against(name, |engine| {
            for (path, value) in row["engine"].as_object().unwrap() {
                *engine.pointer_mut(&format!("/{path}")).unwrap() = value.clone();
            }
        });
        assert_eq!(found.first().map(String::as_str), row["verdict"].as_str(), "{name}: {}", row["engine"]);
        counts[usize::from(found.is_empty())] += 1;
    }
    assert!(counts[0] > 100 && counts[1] > 10, "{counts:?}");
}

#[test]
fn an_engine_in_json_has_the_settings_of_its_version() {
    let engine: Value = serde_json::from_str(&parse(&file("v50_settings")).to_json().unwrap()).unwrap();
    let cases: [(Change<'_>, &str); 9] = [
        (&|e| e["tunables"] = Value::Null, "tunables: expected those of Wasmtime 50"),
        (&|e| e["features"] = Value::Null, "features: expected those of Wasmtime 50"),
        (&|e| e["features"] = json!([true]), "expected the bits in hexadecimal"),
        (&|e| e["features"] = json!("0x+1"), "expected the bits in hexadecimal"),
        (&|e| e["tunables"]["fuel"] = json!(1), "Wasmtime 50 has none named 'fuel'"),
        (&|e| e["tunables"]["inlining"] = json!(5), "inlining: expected a value of the type Choice(5)"),
        (&|e| e["tunables"]["consume_fuel"] = json!(1), "consume_fuel: expected a value of the type Switch"),
        (&|e| e["tunables"]["operator_cost"] = json!([1, 2]), "operator_cost: expected a value of the type Costs"),
        (
            &|e| {
                e["tunables"].as_object_mut().unwrap().remove("recording");
            },
            "recording: expected one value, found none",
        ),
    ];
    for (change, words) in cases {
        let mut changed = engine.clone();
        change(&mut changed);
        let error = Settings::from_json(&changed.to_string()).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument);
        assert!(error.message().contains(words), "{error}");
    }
    let old: Value = serde_json::from_str(&parse(&file("v31_empty")).to_json().unwrap()).unwrap();
    let mut changed = old;
    changed["features"].as_array_mut().unwrap().pop();
    let error = Settings::from_json(&changed.to_string()).unwrap_err();
    assert!(error.message().contains("expected a list of the 19 switches of Wasmtime 31"), "{error}");
    assert!(Settings::from_json("{\"kind\": 1,").unwrap_err().message().contains("line 1"));
}
