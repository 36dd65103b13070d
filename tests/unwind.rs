//! Unwind tables: those of every linker are registered, and exceptions pass through; those that could mislead an unwinder are refused.
mod native;

use std::ffi::{c_char, c_int, c_void};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::{Result, Status};
use artifact::native::load::{LoadOptions, load};
use artifact::storage::Sync;

use native::{compile_text, folder, have, link_to, run, try_link, try_run};

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
}

/// Throws and catches. `nothing` has no instruction: its FDE covers no code, and starts at the next function's address.
const CATCH: &str = r#"
    extern "C" __attribute__((section("code"))) long catches(long x) {
        try { if (x) throw 40; return 0; } catch (int v) { return v + x; }
    }
    void nothing() { __builtin_unreachable(); }
    int (*volatile hook)(int);
    extern "C" long passes(long x) { return hook ? hook((int)x) : x; }"#;

/// Loads an image, from memory and from a file, and calls its function `catches`.
fn catches(name: &str, images: &[&[u8]], folder: &Path) -> Result<()> {
    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    for image in images {
        builder.add_module(image)?;
    }
    let path = folder.join(format!("{name}.artifact"));
    builder.serialize_to_file(&path, Sync::No)?;
    let options = OpenOptions::default();
    let opened =
        [Artifact::open(&path, None, &options)?, Artifact::open_bytes(&fs::read(&path).unwrap(), None, &options)?];
    for artifact in opened {
        artifact.verify()?;
        let mut options = LoadOptions::default();
        options.process_symbols = true;
        // SAFETY: the code is the text above, and the file isn't changed.
        let code = unsafe { load(Arc::new(artifact), &engine, options) }?;
        for module in 0..images.len() {
            // SAFETY: `catches` takes a long and returns one.
            assert_eq!(unsafe { code.call(module, b"catches", &[2]) }?, 42, "{name}");
        }
    }
    Ok(())
}

/// Linkers end `.eh_frame` with a terminator only if `crtend.o` brings one. After that come other data, which don't look like it.
#[test]
fn exceptions_pass_whatever_linked_the_image() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) || !have("c++") {
        return;
    }
    // SAFETY: the C++ library, whose constructors may run.
    assert!(!unsafe { dlopen(c"libstdc++.so.6".as_ptr(), 0x102) }.is_null());
    let folder = folder("unwind-linkers");
    let object = compile_text("c++", &["-O1", "-fPIC"], "c++", CATCH, &folder.join("catch.o"));
    let ours = link_to(&[&object], &folder.join("ours.so"));
    catches("ours", &[&ours], &folder).unwrap();
    for (linker, program) in
        [("bfd", "ld.bfd"), ("gold", "ld.gold"), ("lld", "ld.lld"), ("lld-14", "ld.lld-14"), ("mold", "mold")]
    {
        if !have(program) {
            continue;
        }
        for (way, options) in
            [("plain", &[][..]), ("hdr", &["--eh-frame-hdr"]), ("stripped", &["--eh-frame-hdr", "-s"])]
        {
            let (name, image) = (format!("{linker}-{way}"), folder.join(format!("{linker}-{way}.so")));
            run(Command::new(program).args(["-shared"]).args(options).arg(&object).arg("-o").arg(&image));
            let image = fs::read(&image).unwrap();
            if way == "plain" {
                // Then nothing says where the unwind table is, as for the dynamic linker.
                continue;
            }
            catches(&name, &[&image], &folder).unwrap_or_else(|error| panic!("{name}: {error}"));
            catches(&format!("{name}-two"), &[&image, &ours], &folder)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            // Without a section header that says where the table ends, its header does.
            let mut headless = image.clone();
            hide_section(&mut headless, b".eh_frame");
            catches(&format!("{name}-headless"), &[&headless], &folder)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

/// Sets a section's address to 0, if it is still there.
fn hide_section(image: &mut [u8], name: &[u8]) {
    let module = artifact::format::module::Module::parse(image).unwrap();
    let index = (1..module.section_count()).find(|index| module.section(*index).unwrap().name == name);
    let headers = u64::from_le_bytes(*image[40..].first_chunk().unwrap()) as usize;
    if let Some(index) = index {
        image[headers + 64 * index + 16..headers + 64 * index + 24].fill(0);
    }
}

/// A function, code that nobody calls, and an unwind table with a CIE of this augmentation.
fn hostile(augmentation: &str, cie: &str, fde: &str) -> String {
    format!(
        r#" .text
            .globl answer
            .type answer, @function
        answer: mov $42, %eax
            ret
            .size answer, . - answer
        uncalled: ud2
            .section .eh_frame, "a", @progbits
        1:  .long 3f - 2f
        2:  .long 0
            .byte 1
            .asciz "{augmentation}"
            .uleb128 1
            .sleb128 -8
            .byte 16
            {cie}
            .balign 8, 0
        3:  .long 5f - 4f
        4:  .long 4b - 1b
            .long answer - .
            {fde}
            .balign 8, 0
        5:  .long 0
            .section .note.GNU-stack, "", @progbits"#
    )
}

/// The length of the function. A reader that takes addresses for absolute ones, of 8 bytes, reads it as a part of an address below
/// all code, and then a length of nearly 2^63 bytes: any exception in the process would be handed to `uncalled`.
const COVERS_ALL: &str = ".long 6
            .byte 0, 0, 0, 0, 0, 0, 0, 0x7f
            .quad 0";
const USUAL: &str = ".long 6
            .byte 0";
const PERSONALITY: &str = ".byte 0x1b
            .long uncalled - .";

#[test]
fn tables_that_unwinders_read_differently_are_refused() {
    if !cfg!(target_arch = "x86_64") || !have("cc") {
        return;
    }
    let folder = folder("unwind-hostile");
    let with = |len: u8, fields: &[&str]| format!(".uleb128 {len}\n{}", fields.join("\n"));
    let encoded = |encoding: &str| format!(".byte {encoding}");
    let usual = encoded("0x1b");
    let cases = [
        ("usual", "zR", with(1, &[&usual]), USUAL, true),
        ("usual-personality", "zPR", with(6, &[PERSONALITY, &usual]), USUAL, true),
        ("signal", "zRS", with(1, &[&usual]), USUAL, true),
        ("signal-first", "zSR", with(1, &[&usual]), COVERS_ALL, false),
        ("signal-before-personality", "zSPR", with(6, &[PERSONALITY, &usual]), COVERS_ALL, false),
        ("two-encodings", "zPRR", with(7, &[PERSONALITY, &encoded("0x1c"), &usual]), COVERS_ALL, false),
        ("key-b", "zRB", with(1, &[&usual]), USUAL, false),
        ("key-b-first", "zBR", with(1, &[&usual]), COVERS_ALL, false),
        ("tagged-memory-first", "zGR", with(1, &[&usual]), COVERS_ALL, false),
        ("unknown", "zRx", with(1, &[&usual]), USUAL, false),
        ("language-data-last", "zRL", with(2, &[&usual, &usual]), USUAL, false),
        ("no-personality", "zPR", with(2, &[&encoded("0xff"), &usual]), USUAL, false),
        ("absolute", "zR", with(1, &[&encoded("0x00")]), ".long 0\n.quad 6\n.byte 0", false),
        ("indirect", "zR", with(1, &[&encoded("0x9b")]), USUAL, false),
        ("longer-data", "zR", with(2, &[&usual, ".byte 0"]), USUAL, false),
        ("beyond-the-code", "zR", with(1, &[&usual]), ".long 0x1000\n.byte 0", false),
        ("negative-length", "zR", with(1, &[&usual]), ".long -1\n.byte 0", false),
        ("data-of-an-fde", "zR", with(1, &[&usual]), ".long 6\n.byte 4\n.long 0", false),
    ];
    for (name, augmentation, cie, fde, is_sound) in cases {
        let text = hostile(augmentation, &cie, fde);
        let object = compile_text("cc", &[], "s", &text, &folder.join(format!("{name}.o")));
        let image = folder.join(format!("{name}.so"));
        let linked = try_link(&[&object]);
        assert_eq!(linked.is_ok(), is_sound, "{name}: {:?}", linked.err());
        let mut ld = Command::new("ld");
        ld.args(["-shared", "-Bsymbolic", "--eh-frame-hdr"]).arg(&object).arg("-o").arg(&image);
        if !try_run(&mut ld).status.success() {
            assert!(!is_sound, "{name}: ld refuses it");
            continue;
        }
        let image = fs::read(&image).unwrap();
        let mut builder = Builder::new(&Engine::new());
        builder.add_module(&image).unwrap();
        let bytes = builder.serialize().unwrap();
        let artifact = Artifact::open_bytes(&bytes, None, &OpenOptions::default()).unwrap();
        let verified = artifact.verify();
        // SAFETY: none of the code runs. An exception would read the unwind table, if it is registered.
        let loaded = unsafe { load(Arc::new(artifact), &Engine::new(), LoadOptions::default()) };
        let status = loaded.as_ref().map_or_else(|error| error.status(), |_| Status::Ok);
        let expected = if is_sound { &[Status::Ok][..] } else { &[Status::Unsupported, Status::Corrupt] };
        assert!(expected.contains(&status), "{name}: {status:?}");
        assert_eq!(verified.is_err(), status == Status::Corrupt, "{name}: {status:?}");
        // An exception of the host.
        assert!(std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(42))).is_err());
    }
}
