//! Genuine Wasmtime 0.33.0 files: this library reads and rewrites them exactly, and gives the same verdicts as Wasmtime's loader.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::error::Status;
use serde_json::Value;

fn open(bytes: &[u8], engine: Option<&Engine>) -> artifact::error::Result<Artifact> {
    Artifact::open_bytes(bytes, engine, &OpenOptions::default())
}

#[test]
fn a_rewrite_keeps_the_body_byte_for_byte() {
    for (name, bytes) in common::artifacts() {
        let artifact = open(&bytes, None).unwrap();
        assert_eq!(artifact.body_end(), bytes.len() as u64, "{name}: nothing follows the body");
        let mut builder = Builder::from_artifact(Arc::new(artifact)).unwrap();
        builder.set_trailer(false).unwrap();
        let rewritten = builder.serialize().unwrap();
        assert!(rewritten == bytes, "{name}");
    }
}

#[test]
fn metadata_re_encodes_to_the_same_bytes() {
    for (name, bytes) in common::artifacts() {
        let artifact = open(&bytes, None).unwrap();
        let mut encoded = Vec::new();
        artifact.metadata().unwrap().fields().encode(&mut encoded).unwrap();
        assert!(encoded == bytes[artifact.metadata_offset() as usize..], "{name}");
    }
}

#[test]
fn a_rebuild_with_the_same_settings_gives_the_same_file() {
    let engines = common::engines();
    let mut compared = 0;
    for (name, bytes) in common::artifacts() {
        let content = common::json_file(&format!("{name}.json"));
        let artifact = open(&bytes, None).unwrap();
        let metadata = artifact.metadata().unwrap();
        // Wasmtime 0.33 stores wrong counts of externref results. Files with such counts can't be rebuilt identically.
        let types = &metadata.types;
        let has_wrong_count = types.wasm_signatures.iter().any(|ty| {
            let true_count =
                ty.returns.iter().filter(|ty| **ty == artifact::format::types::WasmType::ExternRef).count();
            ty.externref_returns_count != true_count as u64
        });
        let Some(engine) = content["config"].as_str().and_then(|config| engines.get(config)) else { continue };
        if has_wrong_count || artifact.check(engine).is_err() {
            continue;
        }
        let mut builder = Builder::new(engine);
        builder.set_trailer(false).unwrap();
        for index in 0..artifact.module_count() {
            builder.add_module(artifact.module_bytes(index).unwrap()).unwrap();
        }
        for ty in &types.wasm_signatures {
            builder.add_func_type(ty.params.clone(), ty.returns.clone()).unwrap();
        }
        // Module and instance types refer to one another: add all types first, then their imports and exports.
        for _ in &types.instance_signatures {
            builder.add_instance_type().unwrap();
        }
        for module in &types.module_signatures {
            builder.add_module_type(module.exports).unwrap();
        }
        for (at, module) in (0..).zip(&types.module_signatures) {
            for (import, entity) in &module.imports.0 {
                builder.add_module_import(at, import, *entity).unwrap();
            }
        }
        for (at, instance) in (0..).zip(&types.instance_signatures) {
            for (export, entity) in &instance.exports.0 {
                builder.add_instance_export(at, export, *entity).unwrap();
            }
        }
        for node in metadata.upvars.nodes() {
            builder.add_upvar(node.parent, node.module, metadata.upvars.artifact_upvars(node)).unwrap();
        }
        assert!(builder.serialize().unwrap() == bytes, "{name}");
        compared += 1;
    }
    assert!(compared >= 12, "only {compared} files could be compared");
}

#[test]
fn every_verdict_matches_the_genuine_loader() {
    let engines = common::engines();
    let artifacts = common::artifacts();
    let Value::Object(verdicts) = common::json_file("VERDICTS.json") else { panic!("expected an object") };
    let mut compared = 0;
    for (name, row) in &verdicts {
        for (config, verdict) in row.as_object().unwrap() {
            let (bytes, engine) = (&artifacts[name], &engines[config]);
            let opened = open(bytes, Some(engine));
            let ours = opened.and_then(|artifact| artifact.check(engine));
            let theirs = verdict.as_str();
            if theirs.is_some_and(|text| text.starts_with("failed to read section headers")) {
                // Wasmtime reads the native byte order only. This library reads both and reports the wrong architecture.
                let ours = ours.unwrap_err();
                assert!(ours.message().starts_with("Module was compiled "), "{name}, {config}: {ours}");
                continue;
            }
            assert_eq!(ours.as_ref().err().map(|error| error.message()), theirs, "{name} × {config}");
            let expected = match theirs {
                None => None,
                Some(text) if text.contains("incompatible") => Some(Status::WrongVersion),
                Some(_) => Some(Status::Incompatible),
            };
            assert_eq!(ours.err().map(|error| error.status()), expected, "{name} × {config}");
            compared += 1;
        }
    }
    assert!(compared > 360, "only {compared} verdicts could be compared");
}

/// Wasmtime 0.33 compares a custom version with the stored one even if it is empty; `ModuleVersionStrategy::None`, which writes
/// the same bytes, compares nothing. So every file with another version gets the verdict of `ver_custom`, and a file with an
/// empty version that of `ver_none`.
#[test]
fn an_empty_custom_version_accepts_only_an_empty_version() {
    let engines = common::engines();
    let mut empty = engines["ver_none"].clone();
    empty.set_version_rule(VersionRule::Custom(String::new())).unwrap();
    let verdict = |bytes: &[u8], engine| {
        let checked = open(bytes, Some(engine)).and_then(|artifact| artifact.check(engine));
        checked.map_err(|error| (error.status(), error.message().to_owned()))
    };
    for (name, bytes) in common::artifacts() {
        let version = open(&bytes, None).unwrap().version().to_owned();
        let like = if version.is_empty() { "ver_none" } else { "ver_custom" };
        let mut expected = verdict(&bytes, &engines[like]);
        if name == "ver_custom" {
            let message = "Module was compiled with incompatible version 'my-embedder-1'".to_owned();
            expected = Err((Status::WrongVersion, message));
        }
        assert_eq!(verdict(&bytes, &empty), expected, "{name}");
    }
}

#[test]
fn a_report_starts_with_the_verdict_and_lists_every_mismatch() {
    let engines = common::engines();
    let artifact = open(&common::artifacts()["addfib"], None).unwrap();
    for (name, engine) in &engines {
        let report = artifact.report(engine).unwrap();
        let first = artifact.check(engine).err().map(|error| error.message().to_owned());
        assert_eq!(report.findings.first().map(|finding| finding.sentence.clone()), first, "{name}");
    }
    let report = artifact.report(&engines["no_reftypes"]).unwrap();
    let settings: Vec<_> = report.findings.iter().map(|finding| finding.setting.as_str()).collect();
    assert_eq!(settings, ["enable_safepoints", "reference_types", "bulk_memory"]);
    let report = artifact.report(&engines["no_avx512"]).unwrap();
    assert_eq!(report.findings.len(), 5);
    let report = artifact.report(&engines["ver_custom"]).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.status(), Status::WrongVersion);
}

#[test]
fn genuine_files_have_no_warnings() {
    for (name, bytes) in common::artifacts() {
        let report = open(&bytes, None).unwrap().verify().unwrap();
        assert_eq!(report.findings, [], "{name}");
    }
}

#[test]
fn the_wasmtime_profile_matches_the_genuine_default() {
    let genuine = &common::engines()["default"];
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let ours = Engine::wasmtime();
    assert_eq!(ours.flags(FlagMap::Shared), genuine.flags(FlagMap::Shared));
    let names = |engine: &Engine| engine.flags(FlagMap::Isa).keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(genuine));
    assert_eq!((ours.tunables, ours.features), (genuine.tunables, genuine.features));
    assert_eq!((ours.producer(), ours.version()), ("wasmtime", "0.33.0"));
}
