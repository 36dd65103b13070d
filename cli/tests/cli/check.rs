//! `artifact check` and `artifact engine`.

use std::fs;

use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::format::flags::Flag;

use crate::json::Json;
use crate::support::{Folder, default_config, fixture, fixtures, genuine, run, run_with};

#[test]
fn says_what_the_genuine_loader_said() {
    let folder = Folder::new();
    let engine = folder.file("engine.json", default_config());
    let verdicts = Json::parse(&fs::read(fixture("VERDICTS.json")).unwrap());
    let mut counts = [0, 0];
    // Not a requirement: the genuine loader reads big-endian images on big-endian hosts only.
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
fn names_every_mismatch() {
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
fn checks_against_this_host_and_against_wasmtime() {
    let folder = Folder::new();
    let host = folder.artifact("host", &Engine::host());
    let wasmtime = folder.artifact("wasmtime", &Engine::wasmtime());
    let ran = run(&["check", &host, &wasmtime]).expect(0);
    assert_eq!(ran.out(), format!("{host}: compatible\n{wasmtime}: compatible (made by wasmtime 0.33.0)\n"));
    assert_eq!(ran.err, "");
    let ran = run(&["check", "--wasmtime", &wasmtime, &host]).expect(1);
    let mismatch = format!("{host}: Module was compiled by 'artifact' but 'wasmtime' is expected for the host\n");
    assert_eq!(ran.out(), format!("{wasmtime}: compatible\n{mismatch}"));
    assert_eq!(run(&["check", &host]).expect(0).out(), format!("{host}: compatible\n"));
    assert_eq!(run_with(&["check", "-"], &fs::read(&host).unwrap()).expect(0).out(), "-: compatible\n");
}

/// Without an engine, only what the code needs counts, under whatever producer, version and settings it was made.
#[test]
fn judges_whether_this_cpu_can_run_the_code_whoever_made_it() {
    let folder = Folder::new();
    let mut engine = Engine::host();
    engine.set_producer("mine").unwrap();
    engine.set_version_rule(VersionRule::Custom("8.\u{1b}1".into())).unwrap();
    engine.set_flag(FlagMap::Shared, "opt_level", Flag::Enum("speed".into())).unwrap();
    engine.set_flag(FlagMap::Isa, "my-abi", Flag::Enum("x".into())).unwrap();
    engine.tunables.static_memory_bound = 7;
    engine.features.simd = true;
    let mine = folder.artifact("mine", &engine);
    let ran = run(&["check", &mine]).expect(0);
    assert_eq!(ran.out(), format!("{mine}: compatible (made by mine 8.\\u{{1b}}1)\n"));
    let line = run(&["check", "--json", &mine]).expect(0).json();
    assert_eq!(["producer", "version"].map(|key| line.get(key).text()), ["mine", "8.\\u{1b}1"]);
    // The comparison with an engine is another question.
    let host = folder.file("host.json", Engine::host().to_json().unwrap());
    let ran = run(&["check", "--engine", &host, &mine]).expect(1);
    assert_eq!(ran.out(), format!("{mine}: Module was compiled by 'mine' but 'artifact' is expected for the host\n"));
    // Without a version.
    engine.set_version_rule(VersionRule::None).unwrap();
    let none = folder.artifact("none", &engine);
    assert_eq!(run(&["check", &none]).expect(0).out(), format!("{none}: compatible (made by mine)\n"));

    if !cfg!(target_arch = "x86_64") {
        return;
    }
    // No CPU has both: one is Intel's, the other AMD's.
    for name in ["avx512er", "lwp", "avx2048"] {
        engine.set_flag(FlagMap::Isa, name, Flag::Bool(true)).unwrap();
    }
    let needy = folder.artifact("needy", &engine);
    let ran = run(&["check", "--all", &needy]).expect(1);
    assert!(ran.out().contains("' enabled but the host does not support it (made by mine)\n"), "{}", ran.out());
    let unknown =
        "'avx2048' enabled, which is unknown: it is neither a feature of a CPU nor a setting of the host (made";
    assert!(ran.out().contains(unknown), "{}", ran.out());
    // Code for another machine: what it needs of that one is known, and missing here.
    let mut arm = engine.clone();
    arm.set_target("aarch64-unknown-linux-gnu").unwrap();
    arm.remove_cpu();
    arm.set_cpu("lse,sve,sve-vector-bits=512").unwrap();
    let file = folder.artifact("arm", &arm);
    let ran = run(&["check", "--all", &file]).expect(1);
    let sentences: Vec<_> = ran.out().lines().collect();
    assert!(sentences[0].contains("Module was compiled for architecture 'aarch64'"), "{}", ran.out());
    assert!(sentences.iter().any(|sentence| sentence.contains("'lse' enabled but the host does not")), "{}", ran.out());
    let length = "'sve-vector-bits' but it is not present for the host";
    assert!(sentences.iter().any(|sentence| sentence.contains(length)), "{}", ran.out());
}

#[test]
fn engine_prints_the_engine_of_any_cpu() {
    let engine = |args: &[&str]| Engine::from_json(run(&[&["engine"], args].concat()).expect(0).out()).unwrap();
    let (x86, arm) = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu");
    let isa = |engine: &Engine| engine.flags(FlagMap::Isa).keys().cloned().collect::<Vec<_>>();
    let mut expected = Engine::new();
    expected.set_target(x86).unwrap();
    assert_eq!(engine(&["--target", x86]), expected);
    expected.set_cpu("znver4,-sgx,-shstk").unwrap();
    assert_eq!(engine(&["--target", x86, "--cpu", "znver4,-sgx,-shstk"]), expected);
    assert!(isa(&expected).contains(&"avx512bf16".to_owned()) && !isa(&expected).contains(&"shstk".to_owned()));
    let neoverse = engine(&["--cpu", "neoverse-n1", "--target", arm]);
    assert!(isa(&neoverse).contains(&"dotprod".to_owned()) && neoverse.target() == arm);
    assert_eq!(isa(&engine(&["--wasmtime", "--target", arm, "--cpu", "neoverse-n1"])), ["has_lse"]);
    assert_eq!(engine(&["--cpu", "native"]), Engine::host());
    let ran = run(&["engine", "--target", x86, "--cpu", "haswel"]).expect(2);
    assert!(ran.err.contains("found 'haswel'; similar names are haswell"), "{}", ran.err);
    run(&["engine", "--target", "nonsense"]).expect(2);
}

#[test]
fn reads_the_engine_that_engine_prints() {
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
    assert!(ran.err.starts_with(&format!("error: '{unknown}': engine in JSON: unknown field `x`")), "{}", ran.err);
    assert_eq!(ran.out(), "");
}

#[test]
fn json_reports_damage() {
    let folder = Folder::new();
    let bytes = genuine("addfib");
    let truncated = folder.file("truncated", &bytes[..bytes.len() - 9]);
    let ran = run(&["check", "--wasmtime", "--json", &truncated, &fixture("ver_custom.cwasm")]).expect(3);
    let lines: Vec<Json> = ran.out().lines().map(|line| Json::parse(line.as_bytes())).collect();
    assert_eq!(lines.iter().map(|line| line.get("status").text()).collect::<Vec<_>>(), ["#11", "#21"]);
    assert!(lines[0].get("offset").text().starts_with('#'));
    assert_eq!(lines[0].get("findings"), &Json::List(Vec::new()));
    assert_eq!(lines[1].get("findings").list()[0].get("artifact").text(), "my-embedder-1");
    assert!(ran.err.starts_with(&format!("error: '{truncated}': ")), "{}", ran.err);
}
