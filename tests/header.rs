//! Checks that the committed include/artifact.h equals what build.rs generates from src/. `make header` updates it.
#![cfg(feature = "header")]
#![allow(missing_docs)]

use std::{env, fs};

#[test]
fn the_committed_header_is_the_generated_one() {
    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include/artifact.h");
    let generated = include_str!(concat!(env!("OUT_DIR"), "/artifact.h"));
    if env::var_os("ARTIFACT_UPDATE_HEADER").is_some() {
        fs::write(COMMITTED, generated).unwrap();
    }
    let committed = fs::read_to_string(COMMITTED).unwrap();
    assert!(committed == generated, "include/artifact.h is stale: run `make header` and commit it");
}

/// The comment of a declaration, and the declaration.
fn declarations(header: &str) -> impl Iterator<Item = (&str, String)> {
    header.split("\n/**").skip(1).filter_map(|item| {
        let (comment, rest) = item.split_once("*/\n")?;
        let declaration = rest.split_once(";\n").map_or(rest, |(declaration, _)| declaration);
        let words: Vec<&str> = declaration.split_whitespace().collect();
        Some((comment, words.join(" ")))
    })
}

/// The header describes `error` once, at its top. A function's only other parameter is described by its first sentence.
#[test]
fn every_parameter_and_result_is_described() {
    let header = include_str!(concat!(env!("OUT_DIR"), "/artifact.h"));
    let mut functions = 0;
    for (comment, declaration) in declarations(header) {
        let Some((start, parameters)) = declaration.strip_suffix(')').and_then(|text| text.split_once('(')) else {
            continue;
        };
        if start.starts_with("typedef") || start.starts_with('#') {
            continue;
        }
        functions += 1;
        let names = parameters.split(", ").filter_map(|parameter| parameter.rsplit([' ', '*']).next());
        let names: Vec<&str> = names.filter(|name| *name != "void").collect();
        let described = names.iter().copied().filter(|name| *name != "error" || start.contains("artifact_error_"));
        let described: Vec<&str> = described.collect();
        let found = comment.split("@param ").skip(1).filter_map(|text| text.split_whitespace().next());
        let found: Vec<&str> = found.collect();
        if names.len() > 1 {
            assert_eq!(found, described, "parameters of {start}");
            assert!(start.starts_with("void ") && !start.contains('*') || comment.contains("@return "), "{start}");
        }
    }
    assert!(functions > 100, "found only {functions} functions");
}
