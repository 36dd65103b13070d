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
