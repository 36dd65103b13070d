//! `artifact check` and `artifact engine`.

use std::fs;

use artifact::engine::{Engine, FlagMap};
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
    let ran = run(&["check", &host, &wasmtime]).expect(1);
    let mismatch = format!("{wasmtime}: Module was compiled by 'wasmtime' but 'artifact' is expected for the host\n");
    assert_eq!(ran.out(), format!("{host}: compatible\n{mismatch}"));
    assert_eq!(ran.err, "");
    let ran = run(&["check", "--wasmtime", &wasmtime, &host]).expect(1);
    let mismatch = format!("{host}: Module was compiled by 'artifact' but 'wasmtime' is expected for the host\n");
    assert_eq!(ran.out(), format!("{wasmtime}: compatible\n{mismatch}"));
    assert_eq!(run(&["check", &host]).expect(0).out(), format!("{host}: compatible\n"));
    assert_eq!(run_with(&["check", "-"], &fs::read(&host).unwrap()).expect(0).out(), "-: compatible\n");
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
