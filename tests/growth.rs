//! Work grows linearly with the length of every list that a file, an object or loaded code can have: four times the length may take
//! at most eight times as long. Quadratic work would take sixteen times as long.
#![allow(missing_docs)]

mod hostile;
#[path = "common/lists.rs"]
mod lists;

use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Duration;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Status;
use artifact::native::link::{Object, Options, link};
use artifact::native::load::{LoadOptions, load};

use hostile::capi;
use lists::{ABS64, ALLOC, CODE, Elf, GLOBAL, GROUP, PC32, PROGBITS};

/// The time that this thread has spent on a processor, which other processes do not add to.
fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Times `work` on the longer of two inputs and on the shorter one, and compares. A cold cache only ever makes a run slower, so the
/// fastest of several counts, and a bad ratio is measured again.
fn check<T>(name: &str, count: usize, input: impl Fn(usize) -> T, work: impl Fn(&T)) {
    let (short, long) = (input(count), input(4 * count));
    let fastest = |input: &T, runs: usize| {
        let run = |_| {
            let start = thread_time();
            work(black_box(input));
            thread_time() - start
        };
        (0..runs).map(run).min().unwrap()
    };
    let mut worst = 0.0;
    for runs in [1, 3, 10, 30] {
        let (one, four) = (fastest(&short, runs), fastest(&long, runs));
        // Less than this says nothing.
        worst = four.as_secs_f64() / one.max(Duration::from_micros(500)).as_secs_f64();
        if worst <= 8.0 {
            return;
        }
    }
    panic!("{name}: four times {count} took {worst:.1} times as long");
}

const MERGE: u64 = 0x10;
const STRINGS: u64 = 0x20;

/// Links an object in the simplest way, and with all that options add. What it can't link, it refuses as fast.
fn link_one(object: &Vec<u8>) {
    for all in [false, true] {
        let mut options = Options::default();
        (options.gc_sections, options.pack_relative_relocs) = (all, all);
        if let Err(error) = link(&[Object { name: "a.o", bytes: object }], &options) {
            assert!([Status::Limit, Status::Unsupported].contains(&error.status()), "{error}");
        }
    }
}

fn with_text(fill: impl FnOnce(&mut Elf)) -> Vec<u8> {
    let mut elf = Elf::new();
    elf.section(".text", PROGBITS, CODE, vec![0xc3; 16]);
    fill(&mut elf);
    elf.build()
}

#[test]
fn linking_archives() {
    // Each member needs the next one, of which the last comes first.
    let library = |n: usize| {
        let mut archive = b"!<arch>\n".to_vec();
        for number in (0..n).rev() {
            let object = with_text(|elf| {
                elf.symbol(&format!("f{number}"), GLOBAL, 1);
                let next = elf.symbol(&format!("f{}", number + 1), 0x10, 0);
                let data = elf.section(".data", PROGBITS, 3, vec![0; 8]);
                elf.relocations(data, [(0, next, ABS64, 0)].into_iter());
            });
            let size = object.len();
            archive.extend(format!("{:<48}{size:<10}`\n", format!("{number}.o/")).into_bytes());
            archive.extend(object);
            archive.resize(archive.len().next_multiple_of(2), b'\n');
        }
        archive
    };
    check("members of archives", 1000, library, |archive| {
        let mut options = Options::default();
        options.entries = &["f0"];
        let linked = link(&[Object { name: "lib.a", bytes: archive }], &options);
        linked.unwrap();
    });
}

#[test]
fn linking() {
    type Fill = fn(usize, &mut Elf);
    let cases: [(&str, usize, Fill); 15] = [
        ("sections", 4000, |n, elf| {
            for i in 0..n {
                elf.section(&format!(".text.f{i}"), PROGBITS, CODE, vec![0xc3]);
            }
        }),
        ("output sections", 4000, |n, elf| {
            for i in 0..n {
                elf.section(&format!("s{i}"), PROGBITS, ALLOC, vec![1]);
            }
        }),
        ("global symbols", 8000, |n, elf| {
            for i in 0..n {
                elf.symbol(&format!("f{i}"), GLOBAL, 1);
            }
        }),
        ("local symbols", 8000, |n, elf| {
            for i in 0..n {
                elf.symbol(&format!("f{i}"), 2, 1);
            }
        }),
        ("weak symbols of one name", 8000, |n, elf| {
            for _ in 0..n {
                elf.symbol("same", 0x22, 1);
            }
        }),
        ("common symbols", 8000, |n, elf| {
            for i in 0..n {
                elf.symbol(&format!("c{i}"), 0x11, 0xfff2);
            }
        }),
        ("undefined symbols", 4000, |n, elf| {
            let data = elf.section(".data", PROGBITS, 3, vec![0; 8 * n]);
            let undefined: Vec<u32> = (0..n).map(|i| elf.symbol(&format!("u{i}"), 0x10, 0)).collect();
            elf.relocations(data, undefined.iter().enumerate().map(|(at, symbol)| (8 * at as u64, *symbol, ABS64, 0)));
        }),
        ("relocations", 8000, |n, elf| {
            let data = elf.section(".data", PROGBITS, 3, vec![0; 8 * n]);
            let symbol = elf.symbol("f", GLOBAL, 1);
            elf.relocations(data, (0..n).map(|at| (8 * at as u64, symbol, ABS64, 0)));
        }),
        ("relocation sections", 2000, |n, elf| {
            let symbol = elf.symbol("f", GLOBAL, 1);
            for number in 0..n {
                let data = elf.section(&format!(".data.d{number}"), PROGBITS, 3, vec![0; 8]);
                elf.relocations(data, [(0, symbol, ABS64, 0)].into_iter());
            }
        }),
        ("groups", 4000, |n, elf| {
            for number in 0..n {
                let member = elf.section(".text.g", PROGBITS, CODE | 0x200, vec![0xc3]);
                let signature = elf.symbol(&format!("g{number}"), 0x22, member.min(0xfe00));
                let data = [1, member].into_iter().flat_map(u32::to_le_bytes).collect();
                let group = elf.section(".group", GROUP, 0, data) as usize;
                let group = &mut elf.sections[group - 1];
                (group.link, group.info, group.align, group.entry) = (u32::MAX, signature, 4, 4);
            }
        }),
        ("symbols of the linker, and output sections", 4000, |n, elf| {
            for _ in 0..n {
                elf.symbol("__bss_start", 0, 0);
            }
            for i in 0..n {
                elf.section(&format!("s{i}"), PROGBITS, ALLOC, vec![1]);
            }
            for i in 0..n {
                elf.symbol(&format!("__start_s{i}"), 0x10, 0);
            }
        }),
        ("merged strings", 8000, |n, elf| {
            let text: String = (0..n).map(|i| format!("string {}\0", i % 5000)).collect();
            let section = elf.section(".rodata.str1.1", PROGBITS, MERGE | STRINGS | ALLOC, text.into_bytes());
            elf.sections[section as usize - 1].entry = 1;
            let symbol = elf.symbol("", 3, section);
            let data = elf.section(".data", PROGBITS, 3, vec![0; 8 * n]);
            elf.relocations(data, (0..n).map(|i| (8 * i as u64, symbol, ABS64, 8 * i as i64)));
        }),
        ("merged constants", 8000, |n, elf| {
            let section = elf.section(".rodata.cst4", PROGBITS, MERGE | ALLOC, vec![1; 4 * n]);
            elf.sections[section as usize - 1].entry = 4;
        }),
        ("merged sections", 2000, |n, elf| {
            for i in 0..n {
                let section = elf.section(".rodata.cst4", PROGBITS, MERGE | ALLOC, (i as u32).to_le_bytes().to_vec());
                elf.sections[section as usize - 1].entry = 4;
            }
        }),
        ("FDEs", 4000, |n, elf| {
            let symbol = elf.symbol("f", GLOBAL, 1);
            let mut frames = vec![20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0, 0, 0, 0, 0, 0, 0];
            let mut entries = Vec::new();
            for _ in 0..n {
                let at = frames.len() as u32;
                for word in [16, at + 4, 0, 1, 0] {
                    frames.extend(u32::to_le_bytes(word));
                }
                entries.push((u64::from(at) + 8, symbol, PC32, 0));
            }
            let section = elf.section(".eh_frame", PROGBITS, ALLOC, frames);
            elf.sections[section as usize - 1].align = 8;
            elf.relocations(section, entries.into_iter());
        }),
    ];
    for (name, count, fill) in cases {
        check(name, count, |n| with_text(|elf| fill(n, elf)), link_one);
    }
}

fn open(bytes: &[u8]) -> Artifact {
    Artifact::open_bytes(bytes, None, &OpenOptions::default()).unwrap()
}

/// An artifact that was opened through the C interface.
struct Opened(*mut capi::artifact::artifact_t);

impl Opened {
    fn new(bytes: &[u8]) -> Opened {
        let (mut artifact, mut error) = (null_mut(), null_mut());
        // SAFETY: all pointers point at local variables of the right types, or are NULL where that is allowed.
        unsafe {
            let status = capi::artifact::artifact_open_bytes(
                bytes.as_ptr(),
                bytes.len(),
                null(),
                null(),
                &mut artifact,
                &mut error,
            );
            assert_eq!(status as u32, 0);
        }
        Opened(artifact)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the artifact was opened above, and is freed once.
        unsafe { capi::artifact::artifact_free(self.0) }
    }
}

fn artifact_of(image: &[u8], fill: impl FnOnce(&mut Builder<'_>)) -> Vec<u8> {
    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    builder.add_module(image).unwrap();
    fill(&mut builder);
    builder.serialize().unwrap()
}

/// Calls a function for each index of a list, in a new artifact.
macro_rules! walk {
    ($bytes:expr, |$artifact:ident, $index:ident| $call:expr, $count:expr) => {{
        let opened = Opened::new($bytes);
        let $artifact = opened.0;
        for $index in 0..$count {
            // SAFETY: the artifact is open, and the other pointers are local variables of the right types.
            let status = unsafe { $call } as u32;
            assert_eq!(status, 0, "index {}", $index);
        }
    }};
}

#[test]
fn reading_a_list_by_index() {
    use capi::module::{artifact_section_at, artifact_symbol_at};
    use capi::trailer::{artifact_attribute, artifact_attribute_at};

    let symbols = |n: usize| {
        let fill = |elf: &mut Elf| {
            for number in 0..n / 2 {
                let section = elf.section(&format!(".text.f{number}"), PROGBITS, CODE, vec![0xc3]);
                elf.symbol(&format!("f{number}"), GLOBAL, section);
            }
        };
        (n / 2, artifact_of(&with_text(fill), |_| ()))
    };
    check("sections", 4000, symbols, |(n, bytes)| {
        // SAFETY: zeros are a value of each of these structs.
        let mut section = unsafe { std::mem::zeroed() };
        walk!(bytes, |artifact, index| artifact_section_at(artifact, 0, index, &mut section, null_mut()), *n);
    });
    check("symbols", 4000, symbols, |(n, bytes)| {
        // SAFETY: as above.
        let mut symbol = unsafe { std::mem::zeroed() };
        walk!(bytes, |artifact, index| artifact_symbol_at(artifact, 0, index, &mut symbol, null_mut()), *n);
    });
    let attributes = |n: usize| {
        let fill = |builder: &mut Builder<'_>| {
            (0..n).for_each(|i| builder.set_attribute(&format!("{i:08}"), b"value").unwrap());
        };
        (n, artifact_of(&with_text(|_| ()), fill))
    };
    check("attributes", 4000, attributes, |(n, bytes)| {
        let (mut name, mut value) = (null(), capi::library::artifact_slice_t { data: null(), len: 0 });
        walk!(
            bytes,
            |artifact, index| {
                artifact_attribute_at(artifact, index, &mut name, &mut value, null_mut());
                artifact_attribute(artifact, name, &mut value, null_mut())
            },
            *n
        );
    });
    let image = with_text(|_| ());
    let modules = |n: usize| {
        let engine = Engine::new();
        let mut builder = Builder::new(&engine);
        for _ in 0..n {
            builder.add_module(&image).unwrap();
        }
        (n, builder.serialize().unwrap())
    };
    check("modules", 1000, modules, |(n, bytes)| {
        // SAFETY: as above.
        let mut module = unsafe { std::mem::zeroed() };
        walk!(bytes, |artifact, index| capi::module::artifact_module(artifact, index, &mut module, null_mut()), *n);
    });
}

#[test]
fn settings_by_index_and_by_name() {
    use capi::settings::*;

    const COUNT: usize = 2000;
    let input = |n: usize| (n, lists::settings(n));
    check("opening and all settings", COUNT, input, |(_, bytes)| drop(open(bytes).verify().unwrap()));
    check("flags", COUNT, input, |(n, bytes)| {
        // SAFETY: zeros are a value of each of the structs in this test.
        let mut flag: capi::flags::artifact_flag_t = unsafe { std::mem::zeroed() };
        for map in [0, 1] {
            walk!(
                bytes,
                |artifact, index| {
                    artifact_flag_at(artifact, map, index, &mut flag, null_mut());
                    artifact_flag(artifact, map, flag.name, &mut flag, null_mut())
                },
                *n
            );
        }
    });
    check("upvars", COUNT, input, |(n, bytes)| {
        // SAFETY: as above.
        let mut upvar: artifact_upvar_t = unsafe { std::mem::zeroed() };
        walk!(bytes, |artifact, index| artifact_upvar_at(artifact, index, &mut upvar, null_mut()), *n);
    });
    check("function types", COUNT, input, |(n, bytes)| {
        // SAFETY: as above.
        let mut ty: artifact_func_type_t = unsafe { std::mem::zeroed() };
        walk!(bytes, |artifact, index| artifact_func_type(artifact, index, &mut ty, null_mut()), *n);
    });
    check("exports and imports", COUNT, input, |(n, bytes)| {
        // SAFETY: as above.
        let (mut name, mut entity) = (null(), unsafe { std::mem::zeroed() });
        walk!(
            bytes,
            |artifact, index| {
                artifact_instance_export(artifact, 0, index, &mut name, &mut entity, null_mut());
                artifact_module_import(artifact, 0, index, &mut name, &mut entity, null_mut())
            },
            *n
        );
    });
    // A report of as many findings as there may be at most.
    check("reports", 500, input, |(n, bytes)| {
        let (opened, engine) = (Opened::new(bytes), capi::engine::artifact_engine_new());
        // SAFETY: as above; report and engine are freed once.
        unsafe {
            let (mut report, mut entry) = (null_mut(), std::mem::zeroed());
            let status = capi::artifact::artifact_compat_report(opened.0, engine, &mut report, null_mut());
            assert_eq!((status as u32, capi::report::artifact_report_count(report)), (0, 2 * n));
            for index in 0..2 * n {
                let status = capi::report::artifact_report_at(report, index, &mut entry, null_mut());
                assert_eq!(status as u32, 0);
            }
            capi::report::artifact_report_free(report);
            capi::engine::artifact_engine_free(engine);
        }
    });
}

/// Naming addresses, and the files for profilers. The symbols are many, and each says that it is as long as all code.
#[test]
fn names_of_loaded_code() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let engine = Engine::new();
    let loaded = |n: usize, set: fn(&mut LoadOptions<'_>)| {
        let object = with_text(|elf| {
            let text = elf.section(".text.f", PROGBITS, CODE, vec![0xc3; 16 * n]);
            for at in 0..n {
                let name = elf.name(&format!("f{at}"));
                elf.symbol_at(name, GLOBAL, text as u16, 0, 16 * n as u64);
            }
        });
        let image = link(&[Object { name: "a.o", bytes: &object }], &Options::default()).unwrap();
        let artifact = open(&artifact_of(&image, |_| ()));
        let mut options = LoadOptions::default();
        set(&mut options);
        // SAFETY: none of the code runs.
        unsafe { load(Arc::new(artifact), &engine, options) }.unwrap()
    };
    check(
        "symbolize",
        20_000,
        |n| loaded(n, |_| ()),
        |code| {
            let address = code.symbol(0, b"f7").unwrap().address;
            assert!((0..10).all(|at| code.symbolize(address + at).is_some()));
        },
    );
    for (name, set) in [
        ("perf map", (|options| options.perf_map = true) as fn(&mut LoadOptions<'_>)),
        ("jitdump", |options| options.jitdump = true),
        ("GDB", |options| options.gdb = true),
    ] {
        check(name, 1000, |n| n, |n| drop(loaded(*n, set)));
    }
    for path in [format!("/tmp/perf-{}.map", std::process::id()), format!("/tmp/jit-{}.dump", std::process::id())] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn names_that_overlap() {
    for (name, make) in
        [("symbols", lists::overlapping_symbols as fn(usize) -> Vec<u8>), ("sections", lists::overlapping_sections)]
    {
        // Few sections, so that they can be stored: all names of a file together are limited.
        let count = if name == "sections" { 4 } else { 20_000 };
        let input = |n: usize| artifact_of(&make(n), |_| ());
        check(name, count, input, |bytes| drop(open(bytes).verify()));
        check(name, count, input, |bytes| {
            let artifact = open(bytes);
            assert_eq!(artifact.symbol_named(0, b"none").unwrap_err().status(), Status::NotFound);
            assert_eq!(artifact.section_named(0, b"none").unwrap_err().status(), Status::NotFound);
        });
    }
}
