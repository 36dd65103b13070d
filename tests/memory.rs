//! The memory that each function takes is limited by the size of the file: the factors of docs/format.md, whatever the file has.
#![allow(missing_docs)]

#[path = "common/counting.rs"]
mod counting;
mod hostile;
#[path = "common/lists.rs"]
mod lists;

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::{Builder, FatBuilder};
use artifact::cache::pack::{Pack, Row};
use artifact::engine::{Engine, FlagMap};
use artifact::error::Status;
use artifact::format::flags::Flag;
use artifact::format::metadata::Metadata;
use artifact::format::module::Module;
use artifact::format::pack::{Block, PACK_MAGIC, PackRoot, SIGNED};
use artifact::format::trailer::Footer;
use artifact::native::link::{Object, Options, link};
use artifact::native::load::{LoadOptions, load};
use artifact::storage::{Part, Region, sealed};
use artifact::trust::digest;
use artifact::trust::keys::PrivateKey;
use zerocopy::IntoBytes;

use counting::{FAILS, peak};
use hostile::capi::artifact::{artifact_free, artifact_open_bytes, artifact_t};
use hostile::capi::code::{artifact_code_free, artifact_import_t, artifact_load, artifact_load_options_t};
use hostile::capi::engine::{artifact_engine_free, artifact_engine_new_host};
use hostile::capi::library::artifact_slice_t;
use hostile::capi::module::{artifact_section_at, artifact_symbol_at};
use hostile::capi::settings::{
    artifact_flag_at, artifact_func_type, artifact_instance_export, artifact_module_import, artifact_upvar_at,
};
use hostile::capi::trailer::artifact_attribute_at;
use lists::{ABS64, ALLOC, CODE, Elf, GLOBAL, PROGBITS};

const COUNT: u64 = 200_000;

/// Encodes Metadata with `COUNT` items in one of its lists: 1 and 2 are the flag maps, 3 upvars, 4 to 6 the type tables.
fn metadata(list: usize, item: impl Fn(u64) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = vec![0; 8]; // target
    for at in 1..=6 {
        if at == 3 {
            bytes.extend([0; 39 + 11]); // tunables and features
        }
        if at == list {
            bytes.extend(COUNT.to_le_bytes());
            (0..COUNT).for_each(|number| bytes.extend(item(number)));
        } else {
            bytes.extend([0; 8]);
        }
    }
    bytes
}

fn flag(name: &[u8]) -> Vec<u8> {
    [&(name.len() as u64).to_le_bytes(), name, &[2, 0, 0, 0, 1]].concat()
}

#[test]
fn decoded_metadata_takes_at_most_eight_times_its_size() {
    let one = 1u64.to_le_bytes();
    let cases: [(&str, Vec<u8>); 9] = [
        ("flags without a name", metadata(1, |_| flag(b""))),
        ("flags in the wrong order", metadata(2, |number| flag(&u32::to_be_bytes(0x7f7f_7f7f & !(number as u32))))),
        ("flags in order", metadata(1, |number| flag(format!("{number:06}").as_bytes()))),
        ("upvars", metadata(3, |_| vec![0; 24])),
        ("upvars that pass on one", metadata(3, |_| [&[0; 8][..], &one, &[0; 16]].concat())),
        ("empty function types", metadata(4, |_| vec![0; 32])),
        ("function types", metadata(4, |_| [&one[..], &[0; 12], &one, &[0; 12]].concat())),
        ("instance types", metadata(6, |_| vec![0; 8])),
        ("imports", {
            let import = [&[0; 8][..], &[5, 0, 0, 0], &[0; 4]].concat();
            let mut bytes = metadata(0, |_| Vec::new());
            // One module type with all the imports, and the instance type that it refers to.
            bytes.truncate(bytes.len() - 16);
            bytes.extend(one);
            bytes.extend(COUNT.to_le_bytes());
            (0..COUNT).for_each(|_| bytes.extend(&import));
            bytes.extend([0; 4]);
            bytes.extend(one);
            bytes.extend([0; 8]);
            bytes
        }),
    ];
    for (name, bytes) in cases {
        let taken = peak(|| {
            let (decoded, len) = Metadata::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(len, bytes.len(), "{name}");
            decoded
        });
        let times = taken as f64 / bytes.len() as f64;
        assert!(times > 1.0 && times <= 8.0, "{name}: {times:.2} times");
    }
}

fn artifact_of(image: &[u8], fill: impl FnOnce(&mut Builder<'_>)) -> Vec<u8> {
    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    builder.add_module(image).unwrap();
    fill(&mut builder);
    builder.serialize().unwrap()
}

fn open(bytes: &[u8]) -> Artifact {
    Artifact::open_bytes(bytes, None, &OpenOptions::default()).unwrap()
}

/// Calls a C function for each index, until it fails with LIMIT, and returns the peak. Opening isn't counted.
fn walk(bytes: &[u8], mut call: impl FnMut(*const artifact_t, usize) -> u32) -> usize {
    let mut artifact = null_mut();
    // SAFETY: all pointers point at local variables of the right types, or are NULL where that is allowed.
    let status = unsafe { artifact_open_bytes(bytes.as_ptr(), bytes.len(), null(), null(), &mut artifact, null_mut()) };
    assert_eq!(status as u32, 0);
    let taken = peak(|| {
        let ended = (0..).find_map(|index| Some(call(artifact, index)).filter(|status| *status != 0)).unwrap();
        assert!([Status::Limit as u32, Status::NotFound as u32].contains(&ended), "{ended}");
    });
    // SAFETY: opened above, freed once.
    unsafe { artifact_free(artifact) };
    taken
}

/// An image with `count` undefined symbols.
fn undefined(count: usize) -> Vec<u8> {
    let mut elf = Elf::new();
    let data = elf.section(".data", PROGBITS, ALLOC | 1, vec![0; 8 * count]);
    let symbols: Vec<u32> = (0..count).map(|number| elf.symbol(&format!("u{number:06}"), 0x10, 0)).collect();
    elf.relocations(data, symbols.iter().enumerate().map(|(at, symbol)| (8 * at as u64, *symbol, ABS64, 0)));
    link(&[Object { name: "a.o", bytes: &elf.build() }], &Options::default()).unwrap()
}

/// The same image, whose names are all suffixes of one string.
fn overlapping(mut image: Vec<u8>) -> Vec<u8> {
    let strings = Module::parse(&image).unwrap().section_named(b".dynstr").unwrap();
    let (start, end) = (strings.offset as usize, (strings.offset + strings.size) as usize);
    let names = &mut image[start + 1..end - 1];
    names.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'.');
    image
}

#[test]
fn every_function_takes_memory_in_proportion_to_the_file() {
    let mut found: Vec<(&str, f64, f64)> = Vec::new();
    let mut add = |what: &'static str, most: f64, bytes: &[u8], taken: usize| {
        found.push((what, taken as f64 / bytes.len() as f64, most));
    };

    let symbols = artifact_of(&lists::overlapping_symbols(30_000), |_| ());
    let sections = {
        let mut elf = Elf::new();
        (0..60_000).for_each(|at| _ = elf.section(&format!("{at}"), PROGBITS, 0, Vec::new()));
        artifact_of(&elf.build(), |_| ())
    };
    let short = artifact_of(
        &{
            let mut elf = Elf::new();
            elf.section(".text", PROGBITS, CODE, vec![0xc3]);
            let start = elf.name(&"ab".repeat(30_000));
            (0..60_000).for_each(|at| _ = elf.symbol_at(start + 60_000 - (at % 200), GLOBAL, 1, 0, 1));
            (0..60_000).for_each(|at| _ = elf.symbol(&format!("{at:x}"), GLOBAL, 1));
            elf.build()
        },
        |_| (),
    );
    let attributes = artifact_of(&lists::overlapping_symbols(1), |builder| {
        (0..50_000).for_each(|at| builder.set_attribute(&format!("{at:x}"), b"").unwrap());
    });
    let image = hostile::elf::Shape::default().image();
    let modules = {
        let engine = Engine::new();
        let mut builder = Builder::new(&engine);
        (0..20_000).for_each(|_| _ = builder.add_module(&image).unwrap());
        builder.serialize().unwrap()
    };

    for (what, bytes) in [("names that overlap", &symbols), ("sections", &sections), ("modules", &modules)] {
        add("open", 9.0, bytes, peak(|| open(bytes)));
        let artifact = open(bytes);
        println!("{what}");
        add("verify", 4.0, bytes, peak(|| artifact.verify()));
        add("symbols", 1.0, bytes, peak(|| artifact.symbol_named(0, b"none").map(|_| ())));
        add("root_record", 4.0, bytes, peak(|| artifact.root_record()));
    }
    for bytes in [&symbols, &short] {
        // SAFETY: zeros are a value of this struct.
        let mut symbol = unsafe { std::mem::zeroed() };
        // SAFETY: the artifact is open; the other pointers are a local variable and NULL.
        let taken =
            walk(bytes, |artifact, at| unsafe { artifact_symbol_at(artifact, 0, at, &mut symbol, null_mut()) } as u32);
        add("artifact_symbol_at", 12.0, bytes, taken);
    }
    // SAFETY: as above.
    let mut section = unsafe { std::mem::zeroed() };
    let taken = walk(&sections, |artifact, at| {
        // SAFETY: as above.
        unsafe { artifact_section_at(artifact, 0, at, &mut section, null_mut()) as u32 }
    });
    add("artifact_section_at", 12.0, &sections, taken);
    let (mut name, mut value) = (null(), artifact_slice_t { data: null(), len: 0 });
    let taken = walk(&attributes, |artifact, at| {
        // SAFETY: as above.
        unsafe { artifact_attribute_at(artifact, at, &mut name, &mut value, null_mut()) as u32 }
    });
    add("artifact_attribute_at", 12.0, &attributes, taken);

    let settings = lists::settings(20_000);
    add("open with settings", 9.0, &settings, peak(|| open(&settings)));
    // SAFETY: zeros are a value of each of these structs.
    let (mut ty, mut upvar, mut entity) = unsafe { (std::mem::zeroed(), std::mem::zeroed(), std::mem::zeroed()) };
    // SAFETY: zeros are a value of this struct.
    let mut flag = unsafe { std::mem::zeroed() };
    let taken = walk(&settings, |artifact, at| {
        // SAFETY: the artifact is open, and all outputs are local variables.
        unsafe {
            artifact_upvar_at(artifact, at, &mut upvar, null_mut());
            artifact_flag_at(artifact, 0, at, &mut flag, null_mut());
            artifact_module_import(artifact, 0, at, &mut name, &mut entity, null_mut());
            artifact_instance_export(artifact, 0, at, &mut name, &mut entity, null_mut());
            artifact_func_type(artifact, at, &mut ty, null_mut()) as u32
        }
    });
    add("all settings", 12.0, &settings, taken);

    let functions = {
        let mut elf = Elf::new();
        let text = elf.section(".text", PROGBITS, CODE, vec![0xc3; 16 * 3000]);
        for at in 0..3000 {
            let name = elf.name(&format!("f{at}"));
            elf.symbol_at(name, GLOBAL, text as u16, 0, 16 * 3000);
        }
        artifact_of(&link(&[Object { name: "a.o", bytes: &elf.build() }], &Options::default()).unwrap(), |_| ())
    };
    for number in 0..3 {
        let artifact = Arc::new(open(&functions));
        let mut options = LoadOptions::default();
        (options.perf_map, options.jitdump, options.gdb) = (number == 0, number == 1, number == 2);
        // SAFETY: none of the code runs.
        add("names for tools", 8.0, &functions, peak(|| unsafe { load(artifact, &Engine::new(), options) }.unwrap()));
    }
    for path in [format!("/tmp/perf-{}.map", std::process::id()), format!("/tmp/jit-{}.dump", std::process::id())] {
        std::fs::remove_file(path).unwrap();
    }

    for count in [100, 8000] {
        let bytes = artifact_of(&overlapping(undefined(count)), |_| ());
        let file = sealed(&[&bytes]).unwrap();
        let engine = Engine::new();
        for gdb in [false, true] {
            let artifact = Arc::new(Artifact::open_fd(file.as_fd(), Some(&engine), &OpenOptions::default()).unwrap());
            let taken = peak(|| {
                let mut options = LoadOptions::default();
                options.gdb = gdb;
                // SAFETY: none of the code runs: its symbols are undefined, so it isn't even loaded.
                let Err(error) = (unsafe { load(artifact, &engine, options) }) else { panic!("loaded") };
                match error.status() {
                    Status::Unresolved => assert_eq!((error.missing().len(), count), (100, 100)),
                    status => assert_eq!((status, count), (Status::Limit, 8000), "{error}"),
                }
            });
            add("load", 8.0, &bytes, taken);
        }
    }

    for number in 0..4 {
        let mut elf = Elf::new();
        let text = elf.section(".text", PROGBITS, CODE, vec![0xc3; 16]);
        match number {
            0 => (0..50_000).for_each(|at| _ = elf.symbol(&format!("{at:x}"), GLOBAL, text)),
            1 => (0..50_000).for_each(|at| _ = elf.section(&format!("{at:x}"), PROGBITS, ALLOC, vec![1])),
            2 => (0..50_000).for_each(|_| _ = elf.symbol("", 2, text)),
            _ => {
                let data = elf.section(".data", PROGBITS, ALLOC | 1, vec![0; 400_000]);
                let symbol = elf.symbol("f", GLOBAL, text);
                elf.relocations(data, (0..50_000).map(|at| (8 * at, symbol, ABS64, 0)));
            }
        }
        let object = elf.build();
        let taken = peak(|| link(&[Object { name: "a.o", bytes: &object }], &Options::default()).map(|_| ()));
        add("link", 16.0, &object, taken);
    }
    let report: Vec<String> = found.iter().map(|(what, times, most)| format!("{what}: {times:.2} of {most}")).collect();
    let report = report.join("\n");
    println!("{report}");
    assert!(found.iter().all(|(_, times, most)| times <= most), "{report}");
}

/// What takes memory before a detached signature is trusted does not grow with the modules.
/// A large index, opened from a file that is not itself in memory.
#[test]
fn an_index_of_variants_takes_its_size_and_little_for_each_variant() {
    let image = hostile::elf::Shape::default().image();
    let mut fat = FatBuilder::new();
    for variant in 0..60 {
        let mut engine = Engine::new();
        for need in 0..1000 {
            engine.set_flag(FlagMap::Isa, &format!("need-{variant}-{need}"), Flag::Bool(true)).unwrap();
        }
        let mut builder = Builder::new(&engine);
        builder.add_module(&image).unwrap();
        fat.add_builder(&builder, 0).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fat");
    fat.serialize_to_file(&path, artifact::builder::Sync::No).unwrap();
    let opened = Artifact::open(&path, None, &OpenOptions::default()).unwrap();
    let first = opened.variant(0).unwrap();
    let index = std::fs::metadata(&path).unwrap().len() - first.offset - first.len;
    assert!(index > 700_000, "{index}");
    let variant = opened.len() as usize;
    drop(opened);
    for engine in [None, Some(Engine::new())] {
        let taken = peak(|| Artifact::open(&path, engine.as_ref(), &OpenOptions::default()));
        // With an engine, the reasons why each variant does not fit are collected.
        let most = index as usize + 128 * 60 + 8 * variant + if engine.is_some() { 60 * 512 } else { 0 };
        assert!(taken <= most, "{taken} bytes of {most}");
    }
}

#[test]
fn a_detached_signature_is_checked_in_constant_memory() {
    let mut elf = Elf::new();
    elf.section(".text", PROGBITS, CODE, vec![0xc3; 3 << 20]);
    let image = elf.build();
    let key = PrivateKey::generate().unwrap();
    let mut builder = Builder::new(&Engine::new());
    (0..4).for_each(|_| _ = builder.add_module(&image).unwrap());
    builder.set_trailer(false).unwrap();
    let mut bytes = builder.serialize().unwrap();
    let signature = key.sign(&open(&bytes).root_record().unwrap());
    let signature = [&signature.key[..], &signature.bytes].concat();
    let keys = [key.public().clone()];
    let mut options = OpenOptions::default();
    (options.signature, options.trusted) = (&signature, &keys);
    for changed in [false, true] {
        bytes[1 << 20] ^= u8::from(changed);
        let file = sealed(&[&bytes]).unwrap();
        let taken = peak(|| {
            let opened = Artifact::open_fd(file.as_fd(), None, &options);
            assert_eq!(opened.err().map(|error| error.status()), changed.then_some(Status::Untrusted));
        });
        assert!(taken < 256 << 10, "{taken} bytes");
    }
}

unsafe extern "C" fn define_all(_: *mut c_void, missing: *mut artifact_import_t, count: usize) {
    // SAFETY: artifact_load() passes an array of this length.
    let missing = unsafe { std::slice::from_raw_parts_mut(missing, count) };
    missing.iter_mut().for_each(|import| import.address = (&raw mut *import).cast());
}

/// Every large allocation of a load fails in turn, also those between the loader and the host's callback.
/// A pack of any size takes memory for its directory, 1.125 bytes for each artifact, and searching it takes none.
#[test]
fn a_pack_takes_memory_for_its_directory_only() {
    let rows: Vec<Row> = (0..100_000u64)
        .map(|number| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            Row { key, target: [0; 8], offset: (8 + number * 8).into(), len: 8.into(), root_digest: [0; 32] }
        })
        .collect();
    let block = |rows: &[Row]| Block { key: rows[0].key, target: [0; 8], digest: digest::rows(rows.as_bytes()) };
    let blocks: Vec<Block> = rows.chunks(64).map(block).collect();
    let table = 8 + rows.len() * 8;
    let root = PackRoot {
        format: 1.into(),
        reserved: [0; 4],
        align: 8.into(),
        rows: (rows.len() as u64).into(),
        table: (table as u64).into(),
        directory_digest: digest::directory(blocks.as_bytes()),
        reserved_end: [0; 64],
    };
    let mut bytes = PACK_MAGIC.to_vec();
    bytes.resize(table, 0);
    bytes.extend([rows.as_bytes(), blocks.as_bytes()].concat());
    let mut footer = Footer::new(bytes.len() as u64, 0, &SIGNED).unwrap();
    footer.checksum = digest::pack_footer(&root, &[], &footer);
    bytes.extend([root.as_bytes(), footer.as_bytes()].concat());
    let bytes: &'static [u8] = bytes.leak();
    let open = || Pack::from_region(Region::borrowed(bytes, Part::default()).unwrap(), &[]).unwrap();
    let taken = peak(open);
    assert!(taken <= blocks.len() * 72 + 1024, "{taken}");
    assert!(taken <= rows.len() * 9 / 8 + 1024, "{taken}");
    let pack = open();
    let searched = peak(|| {
        for row in rows.iter().step_by(999) {
            assert_eq!(pack.find(&row.key, &row.target).unwrap().as_ref(), Some(row));
        }
        pack.verify().unwrap();
    });
    assert!(searched <= 1024, "{searched}");
}

#[test]
fn loading_without_memory_is_never_another_error() {
    let engine = artifact_engine_new_host();
    let bytes = artifact_of(&undefined(3000), |_| ());
    // SAFETY: zeros are a value of this struct: NULL, 0 or no function.
    let mut options: artifact_load_options_t = unsafe { std::mem::zeroed() };
    options.size = size_of::<artifact_load_options_t>();
    options.resolve = Some(define_all);
    let mut failures = 0;
    for number in 1.. {
        let (mut artifact, mut code) = (null_mut(), null_mut());
        // SAFETY: all pointers point at local variables of the right types, or are NULL where that is allowed. No code runs.
        let status = unsafe {
            let opened = artifact_open_bytes(bytes.as_ptr(), bytes.len(), null(), null(), &mut artifact, null_mut());
            assert_eq!(opened as u32, 0);
            FAILS.set(number);
            let status = artifact_load(artifact, engine, &options, &mut code, null_mut()) as u32;
            let left = FAILS.replace(0);
            artifact_code_free(code);
            artifact_free(artifact);
            if left > 0 {
                assert_eq!(status, Status::Ok as u32);
                break;
            }
            status
        };
        assert_eq!(status, Status::NoMemory as u32, "large allocation {number}");
        failures += 1;
    }
    // SAFETY: created above, freed once.
    unsafe { artifact_engine_free(engine) };
    assert!(failures >= 4, "{failures}");
}
