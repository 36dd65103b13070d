//! Files of Wasmtime 3 and newer, and the settings in them alone. What is read is the same whichever way it is read; settings survive
//! JSON; nothing is written.

use std::ptr::null_mut;

use super::capi::buffer::*;
use super::capi::cwasm::*;
use super::capi::report::*;
use super::check_outcome;
use artifact::cwasm::{self, Cwasm, Settings};
use artifact::engine::Engine;
use artifact::storage::{Part, Region};

const NAMES: &[u8] = b"\0.wasmtime.engine\0";

/// Returns the smallest file with these settings.
fn file(settings: &[u8]) -> Vec<u8> {
    let section = |name: u32, kind: u32, offset: usize, size: usize| {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        header
    };
    let mut header = [0; 64];
    header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\xc8");
    (header[16], header[18], header[20], header[48]) = (1, 62, 1, 1);
    header[40..48].copy_from_slice(&((64 + settings.len() + NAMES.len()) as u64).to_le_bytes());
    (header[52], header[58], header[60], header[62]) = (64, 64, 3, 2);
    let names = 64 + settings.len();
    let sections = [[0; 64], section(1, 1, 64, settings.len()), section(0, 3, names, NAMES.len())].concat();
    [&header[..], settings, NAMES, &sections].concat()
}

/// Runs the target on one input: a file, or the settings in one.
pub fn run(data: &[u8]) {
    run_file(data);
    let file = file(data);
    assert_eq!(Settings::decode(data).ok(), Cwasm::parse(&file).ok().flatten().map(|found| found.settings));
    run_file(&file);
}

fn run_file(data: &[u8]) {
    let parsed = Cwasm::parse(data);
    let region = Region::copied(data, Part::default()).expect("memory for a copy");
    let read = Cwasm::read(&region);
    match (&parsed, &read) {
        (Ok(parsed), Ok(read)) => assert_eq!(parsed, read),
        (Err(_), Err(_)) => {}
        _ => panic!("{parsed:?}, but {read:?}"),
    }
    let _ = cwasm::verify(data);
    if let Ok(Some(found)) = parsed {
        let json = found.to_json().expect("settings in JSON");
        assert!(Settings::is_json(&json));
        assert_eq!(Settings::from_json(&json).expect("the same settings"), found.settings);
        let _ = found.settings.unknown();
        let _ = found.settings.rest.as_ref().map(|rest| rest.features_on());
        let _ = found.report(&Engine::host());
        let _ = found.report_against(&found.settings);
    }
    // SAFETY: every handle comes from a call that succeeded and is freed once.
    unsafe { in_c(data) }
}

unsafe fn in_c(data: &[u8]) {
    // SAFETY: as the caller says; the bytes outlive the calls.
    unsafe {
        let mut file = null_mut();
        if !call!(artifact_cwasm_open_bytes(data.as_ptr(), data.len(), &mut file)) {
            assert!(file.is_null());
            return;
        }
        let mut json = null_mut();
        assert!(call!(artifact_cwasm_to_json(file, &mut json)));
        assert!(artifact_cwasm_kind(file) >= 2);
        let mut report = null_mut();
        if call!(artifact_cwasm_report_against(file, artifact_buffer_data(json).cast(), &mut report)) {
            artifact_report_free(report);
        }
        artifact_buffer_free(json);
        artifact_cwasm_free(file);
    }
}
