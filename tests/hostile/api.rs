//! A sequence of C calls, decoded from the input: handles in any order, NULL and numbers out of range among the
//! arguments.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use super::capi::artifact::*;
use super::capi::buffer::*;
use super::capi::builder::*;
use super::capi::engine::*;
use super::capi::library::*;
use super::capi::saving::*;
use super::capi::signing::*;
use super::capi::trailer::artifact_integrity;
use super::capi::types::artifact_entity_t;
use super::check_outcome;
use super::elf::Shape;

/// Images that outlive every builder.
fn images() -> &'static [Vec<u8>] {
    static IMAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let shapes = [
            Shape::default(),
            Shape { big_endian: true, align: 256, extended: true, ..Shape::default() },
            Shape { headers_first: true, trailing: 3, ..Shape::default() },
            Shape { segment: Some(4096), ..Shape::default() },
        ];
        let mut images: Vec<_> = shapes.iter().map(Shape::image).collect();
        images.push(images[0][..100].to_vec());
        images
    })
}

struct Input<'d>(&'d [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number that is mostly small.
    fn index(&mut self) -> usize {
        match self.byte() {
            255 => usize::MAX,
            254 => u32::MAX as usize,
            small => usize::from(small),
        }
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte()) % 48;
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes.to_vec()
    }

    /// Text, or none.
    fn text(&mut self) -> Option<CString> {
        const KNOWN: [&str; 8] =
            ["x86_64-unknown-linux-gnu", "artifact", "wasmtime", "avx2", "a", "{}", "s390x-unknown-linux-gnu", "1"];
        match self.byte() {
            255 => None,
            known @ 200.. => CString::new(KNOWN[usize::from(known) % KNOWN.len()]).ok(),
            _ => {
                let bytes = self.bytes();
                CString::new(bytes.split(|byte| *byte == 0).next().unwrap_or(&[])).ok()
            }
        }
    }

    fn entity(&mut self) -> artifact_entity_t {
        artifact_entity_t {
            kind: u32::from(self.byte()) % 9,
            index: u32::from(self.byte()) % 4,
            wasm_type: u32::from(self.byte()) % 9,
            init: u32::from(self.byte()) % 10,
            init_low: self.word(),
            init_high: self.word(),
            minimum: self.word(),
            maximum: self.word(),
            has_maximum: self.byte() & 1 != 0,
            is_mutable: self.byte() & 1 != 0,
            is_shared: self.byte() & 1 != 0,
            is_memory64: self.byte() & 1 != 0,
        }
    }
}

fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(null(), |text| text.as_ptr())
}

/// Handles of one kind. NULL where a slot is empty.
struct Slots<T>([*mut T; 4]);

impl<T> Slots<T> {
    fn new() -> Slots<T> {
        Slots([null_mut(); 4])
    }

    fn pick(&mut self, input: &mut Input<'_>) -> &mut *mut T {
        &mut self.0[usize::from(input.byte()) % 4]
    }
}

unsafe extern "C" fn take(context: *mut c_void, _: *const u8, len: usize) -> c_int {
    // SAFETY: the context is the number of bytes that there is room for.
    let room = unsafe { &mut *context.cast::<usize>() };
    match room.checked_sub(len) {
        Some(left) => *room = left,
        None => return 28, // ENOSPC
    }
    0
}

/// Keys that outlive every builder, as addresses.
fn keys() -> &'static [usize; 3] {
    static KEYS: OnceLock<[usize; 3]> = OnceLock::new();
    KEYS.get_or_init(|| {
        [(); 3].map(|()| {
            let mut key = null_mut();
            // SAFETY: the key can be written.
            assert!(unsafe { call!(artifact_key_generate(&mut key)) });
            key as usize
        })
    })
}

struct World {
    detached: *mut artifact_buffer_t,
    engines: Slots<artifact_engine_t>,
    builders: Slots<artifact_builder_t>,
    artifacts: Slots<artifact_t>,
    buffers: Slots<artifact_buffer_t>,
}

/// One call.
///
/// # Safety
///
/// Handles in the slots are alive.
unsafe fn step(world: &mut World, input: &mut Input<'_>) {
    let World { detached, engines, builders, artifacts, buffers } = world;
    let operation = input.byte();
    let engine = engines.pick(input);
    let builder = builders.pick(input);
    let artifact = artifacts.pick(input);
    let buffer = buffers.pick(input);
    // SAFETY: pointers are NULL or what the calls take.
    unsafe {
        match operation % 44 {
            0 => {
                artifact_engine_free(*engine);
                *engine = match input.byte() % 4 {
                    0 => artifact_engine_new(),
                    1 => artifact_engine_new_host(),
                    2 => artifact_engine_new_wasmtime(),
                    _ => null_mut(),
                };
            }
            1 => {
                let copy = artifact_engine_clone(*engine);
                let other = engines.pick(input);
                artifact_engine_free(*other);
                *other = copy;
            }
            2 => {
                call!(artifact_engine_set_target(*engine, pointer(&input.text())));
            }
            3 => {
                call!(artifact_engine_set_producer(*engine, pointer(&input.text())));
            }
            4 => {
                let (rule, text) = (u32::from(input.byte()) % 4, input.text());
                call!(artifact_engine_set_version_rule(*engine, rule, pointer(&text)));
            }
            5..=8 => {
                let (map, name, text) = (u32::from(input.byte()) % 3, input.text(), input.text());
                let name = pointer(&name);
                match operation % 44 {
                    5 => call!(artifact_engine_set_flag_bool(*engine, map, name, text.is_some())),
                    6 => call!(artifact_engine_set_flag_num(*engine, map, name, input.byte())),
                    7 => call!(artifact_engine_set_flag_enum(*engine, map, name, pointer(&text))),
                    _ => call!(artifact_engine_unset_flag(*engine, map, name)),
                };
            }
            9 => {
                call!(artifact_engine_set_tunable(*engine, u32::from(input.byte()) % 12, input.word()));
            }
            10 => {
                let (feature, on) = (u32::from(input.byte()) % 12, input.byte() & 1 != 0);
                call!(artifact_engine_set_feature(*engine, feature, on));
            }
            11 => {
                let (mut json, mut other) = (null_mut(), null_mut());
                if call!(artifact_engine_to_json(*engine, &mut json)) {
                    assert!(call!(artifact_engine_from_json(artifact_buffer_data(json).cast(), &mut other)));
                    let mut prints = [[0u8; 32]; 2];
                    call!(artifact_engine_fingerprint(*engine, prints[0].as_mut_ptr()));
                    call!(artifact_engine_fingerprint(other, prints[1].as_mut_ptr()));
                    assert_eq!(prints[0], prints[1]);
                }
                artifact_buffer_free(json);
                artifact_engine_free(other);
            }
            12 => {
                let mut other = null_mut();
                call!(artifact_engine_from_json(pointer(&input.text()), &mut other));
                artifact_engine_free(other);
            }
            13 => {
                for text in [
                    artifact_engine_target(*engine),
                    artifact_engine_producer(*engine),
                    artifact_engine_version(*engine),
                ] {
                    super::read_text(text);
                }
                artifact_engine_version_rule(*engine);
                for map in 0..3 {
                    for index in 0..=artifact_engine_flag_count(*engine, map) {
                        let mut flag = std::mem::zeroed();
                        if call!(artifact_engine_flag_at(*engine, map, index, &mut flag)) {
                            super::read_text(flag.name);
                            call!(artifact_engine_flag(*engine, map, flag.name, &mut flag));
                        }
                    }
                }
                let (mut value, mut on) = (0, false);
                call!(artifact_engine_tunable(*engine, u32::from(input.byte()), &mut value));
                call!(artifact_engine_feature(*engine, u32::from(input.byte()), &mut on));
            }
            14 => {
                artifact_builder_free(*builder);
                call!(artifact_builder_new(*engine, builder));
            }
            15 => {
                artifact_builder_free(*builder);
                call!(artifact_builder_new_from_artifact(*artifact, builder));
            }
            16..=18 => {
                let image =
                    images().get(usize::from(input.byte()) % (images().len() + 1)).map_or(&[][..], Vec::as_slice);
                let mut index = 0;
                if artifact_builder_module_count(*builder) < 16 {
                    call!(artifact_builder_add_module(*builder, image.as_ptr(), image.len(), &mut index));
                }
            }
            19 => {
                let (params, returns, mut index) = (input.bytes(), input.bytes(), 0);
                let of = |types: &[u8]| types.iter().map(|ty| ty % 9).collect::<Vec<_>>();
                let (params, returns) = (of(&params), of(&returns));
                call!(artifact_builder_add_func_type(
                    *builder,
                    params.as_ptr(),
                    params.len(),
                    returns.as_ptr(),
                    returns.len(),
                    &mut index
                ));
            }
            20 => {
                call!(artifact_builder_add_instance_type(*builder, null_mut()));
            }
            21 => {
                call!(artifact_builder_add_module_type(*builder, input.index() as u32, null_mut()));
            }
            22 => {
                let (index, name, entity) = (input.index() as u32, input.text(), input.entity());
                call!(artifact_builder_add_instance_export(*builder, index, pointer(&name), &entity));
            }
            23 => {
                let (index, name, entity) = (input.index() as u32, input.text(), input.entity());
                call!(artifact_builder_add_module_import(*builder, index, pointer(&name), &entity));
            }
            24 => {
                let (parent, module) = (input.index(), input.index());
                let passed: Vec<usize> = input.bytes().iter().map(|index| usize::from(index % 4)).collect();
                call!(artifact_builder_add_upvar(*builder, parent, module, passed.as_ptr(), passed.len(), null_mut()));
            }
            25 => {
                call!(artifact_builder_set_trailer(*builder, input.byte() & 1 != 0));
            }
            26 => {
                let (name, value) = (input.text(), input.bytes());
                call!(artifact_builder_set_attribute(*builder, pointer(&name), value.as_ptr(), value.len()));
            }
            27 => {
                call!(artifact_builder_unset_attribute(*builder, pointer(&input.text())));
            }
            28..=30 => {
                artifact_buffer_free(*buffer);
                call!(artifact_serialize(*builder, buffer));
            }
            31 => {
                let mut room = input.index();
                call!(artifact_serialize_to(*builder, Some(take), (&raw mut room).cast()));
            }
            32..=34 => {
                artifact_free(*artifact);
                let options = artifact_open_options_t {
                    size: size_of::<artifact_open_options_t>(),
                    flags: u64::from(input.byte()) % 4,
                    offset: if input.byte() < 16 { input.word() } else { 0 },
                    length: if input.byte() < 16 { input.word() } else { 0 },
                    memory_limit: u64::from(input.byte()) * 64,
                    signature: artifact_buffer_data(*detached),
                    signature_len: artifact_buffer_len(*detached),
                    copy_limit: 0,
                    variant: 0,
                };
                let mut bytes = match artifact_buffer_data(*buffer) {
                    data if data.is_null() => Vec::new(),
                    data => std::slice::from_raw_parts(data, artifact_buffer_len(*buffer)).to_vec(),
                };
                let engine = if operation & 64 != 0 { *engine } else { null_mut() };
                if operation & 128 != 0 && !bytes.is_empty() {
                    for _ in 0..4 {
                        let at = input.word() as usize % bytes.len();
                        bytes[at] ^= input.byte();
                    }
                    super::reseal(&mut bytes);
                }
                call!(artifact_open_bytes(bytes.as_ptr(), bytes.len(), engine, &options, artifact));
            }
            35 => super::read_all(*artifact),
            36 => {
                call!(artifact_check_compat(*artifact, *engine));
                let mut report = null_mut();
                call!(artifact_compat_report(*artifact, *engine, &mut report));
                super::read_report(report);
            }
            37 => {
                artifact_free(*artifact);
                *artifact = null_mut();
            }
            38 => {
                artifact_buffer_free(*buffer);
                *buffer = null_mut();
            }
            39 => {
                let key = *keys().get(usize::from(input.byte()) % 4).unwrap_or(&0) as *const artifact_key_t;
                match input.byte() % 4 {
                    0 => call!(artifact_builder_add_key(*builder, key)),
                    1 => call!(artifact_builder_clear_signatures(*builder)),
                    _ => {
                        artifact_buffer_free(*detached);
                        call!(artifact_sign(*artifact, key, detached))
                    }
                };
            }
            40 => {
                let key = *keys().get(usize::from(input.byte()) % 4).unwrap_or(&0) as *const artifact_key_t;
                let (mut public, mut pem) = (artifact_public_key_t { bytes: [0; 32] }, null_mut());
                call!(artifact_key_public(key, &mut public));
                call!(artifact_public_key_to_pem(&public, &mut pem));
                call!(artifact_engine_trust_key(*engine, artifact_buffer_data(pem).cast()));
                artifact_buffer_free(pem);
                let _ = call!(artifact_engine_trusted_key_at(*engine, input.index(), &mut public));
            }
            41 => {
                let mut record = null_mut();
                let signature = input.bytes();
                let public = artifact_public_key_t { bytes: [input.byte(); 32] };
                call!(artifact_root_record(*builder, &mut record));
                call!(artifact_builder_add_signature(*builder, &public, signature.as_ptr(), signature.len()));
                artifact_buffer_free(record);
            }
            42 => {
                let mut public = artifact_public_key_t { bytes: [0; 32] };
                let known = call!(artifact_signed_by(*artifact, &mut public));
                assert!(!known || artifact_integrity(*artifact) == 2);
                for index in 0..=artifact_signature_count(*artifact) {
                    call!(artifact_signature_at(*artifact, index, &mut public));
                }
            }
            _ => {
                super::read_text(artifact_status_name(u32::from(input.byte())));
                super::read_text(artifact_version_string());
                std::hint::black_box(artifact_version());
            }
        }
    }
}

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World {
        detached: null_mut(),
        engines: Slots::new(),
        builders: Slots::new(),
        artifacts: Slots::new(),
        buffers: Slots::new(),
    };
    world.engines.0[0] = artifact_engine_new();
    for _ in 0..60 {
        if input.0.is_empty() {
            break;
        }
        // SAFETY: what is freed is replaced.
        unsafe { step(&mut world, &mut input) };
    }
    // SAFETY: as above; in an order that the header allows.
    unsafe {
        artifact_buffer_free(world.detached);
        world.engines.0.into_iter().for_each(|engine| artifact_engine_free(engine));
        world.artifacts.0.into_iter().for_each(|artifact| artifact_free(artifact));
        world.builders.0.into_iter().for_each(|builder| artifact_builder_free(builder));
        world.buffers.0.into_iter().for_each(|buffer| artifact_buffer_free(buffer));
    }
}
