//! Compares what our reader takes an unwind table for with what the unwinders do with it.

use std::process::Command;

use std::ops::Range;

use super::*;
use crate::native::eh_frame::{Format, Scope, TableEnd};

/// Set in the process that this test starts: tables that our reader refuses aren't registered in one where other tests panic.
const CHILD: &str = "LIBARTIFACT_TEST_UNWINDERS";

/// Where an unwinder finds the start of the function that contains an address.
type Find<'f> = &'f dyn Fn(usize) -> Option<usize>;

/// libgcc's `struct dwarf_eh_bases`.
#[repr(C)]
#[derive(Default)]
struct Bases {
    text: usize,
    data: usize,
    function: usize,
}

unsafe extern "C" {
    fn _Unwind_Find_FDE(pc: *const c_void, bases: *mut Bases) -> *const c_void;
}

fn find_with_libgcc(pc: usize) -> Option<usize> {
    let mut bases = Bases::default();
    // SAFETY: `bases` is valid for writing, and all registered tables are those of this test.
    let found = unsafe { _Unwind_Find_FDE(pc as *const c_void, &raw mut bases) };
    (!found.is_null()).then_some(bases.function)
}

/// LLVM's libunwind with the functions that register an FDE, if it is installed.
struct Library {
    llvm: Llvm,
    enclosing: unsafe extern "C" fn(usize) -> usize,
}

fn libunwind() -> Option<Library> {
    // SAFETY: loading the library runs its constructors, as linking with it would.
    let library = unsafe { libc::dlopen(c"libunwind.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    let find = |name: &CStr| -> Option<*mut c_void> {
        // SAFETY: the library's handle, and a NUL-terminated name.
        let found = unsafe { libc::dlsym(library, name.as_ptr()) };
        (!library.is_null() && !found.is_null()).then_some(found)
    };
    let change = |name: &CStr| -> Option<Change> {
        // SAFETY: libunwind_ext.h declares these functions as `void (unw_word_t)`.
        find(name).map(|found| unsafe { std::mem::transmute::<*mut c_void, Change>(found) })
    };
    let enclosing = find(c"_Unwind_FindEnclosingFunction")?;
    let add = change(c"__unw_add_dynamic_fde")?;
    let remove = change(c"__unw_remove_dynamic_fde")?;
    // SAFETY: unwind.h declares it as `void *(void *)`.
    let enclosing = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(usize) -> usize>(enclosing) };
    Some(Library { llvm: Llvm { add, remove }, enclosing })
}

/// The function of every table, in bytes from the start of the buffer: its start and its end.
const FUNCTION: Range<usize> = 0x140..0x180;
/// Where every table starts in the buffer.
const TABLE: usize = 0x1000;

/// A table of one CIE and one FDE. Its augmentation data is what a reader expects that knows every letter.
fn table(letters: &[u8]) -> Vec<u8> {
    let mut cie = vec![0, 0, 0, 0, 1];
    cie.extend(letters);
    cie.extend([0, 1, 0x78, 16]);
    let mut data = Vec::new();
    for letter in letters {
        match letter {
            b'P' => data.extend([0x1b, 0, 0, 0, 0]),
            b'L' | b'R' => data.push(0x1b),
            _ => {}
        }
    }
    if letters.first() == Some(&b'z') {
        cie.push(data.len() as u8);
    }
    // A personality routine in the code: the last field that depends on its own place.
    let start = 4 + cie.len();
    for (at, _) in letters
        .iter()
        .filter(|letter| b"PLR".contains(letter))
        .scan(start, |at, letter| {
            let field = *at;
            *at += if *letter == b'P' { 5 } else { 1 };
            Some((field, letter))
        })
        .filter(|(_, letter)| **letter == b'P')
    {
        let relative = FUNCTION.start.wrapping_sub(TABLE + at + 1) as u32;
        data[at - start + 1..at - start + 5].copy_from_slice(&relative.to_le_bytes());
    }
    cie.extend(data);
    cie.resize(cie.len().next_multiple_of(4), 0);
    let mut bytes = (cie.len() as u32).to_le_bytes().to_vec();
    bytes.extend(cie);
    let fde = bytes.len();
    let lsda = letters.first() == Some(&b'z') && letters.contains(&b'L');
    let fields = [
        24,
        fde as u32 + 4,
        FUNCTION.start.wrapping_sub(TABLE + fde + 8) as u32,
        FUNCTION.len() as u32,
        if lsda { 4 } else { 0 },
    ];
    bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    bytes.resize(fde + 28, 0);
    bytes.extend([0; 4]);
    bytes
}

/// Whether an unwinder finds the function that is mapped at `start`, from its first byte to its last one, and nothing else.
fn finds_exactly(find: Find<'_>, start: usize) -> bool {
    let Range { start: first, end } = FUNCTION;
    let inside = [first, first + 1, end - 1].into_iter().all(|at| find(start + at) == Some(start + first));
    inside && [first - 1, end, end + 1, 0, TABLE].into_iter().all(|at| find(start + at).is_none())
}

/// Whether libgcc finds exactly the function of the table, which is `TABLE` bytes after `start`.
fn libgcc_agrees(start: usize) -> bool {
    let mut object: Object = [0; 16];
    // SAFETY: the table ends with a terminator, and stays until it is deregistered. Meanwhile nothing throws in this process.
    unsafe {
        __register_frame_info((start + TABLE) as *const c_void, (&raw mut object).cast());
        let agrees = finds_exactly(&find_with_libgcc, start);
        __deregister_frame_info((start + TABLE) as *const c_void);
        agrees
    }
}

impl Library {
    /// Whether LLVM's libunwind finds exactly that.
    fn agrees(&self, start: usize) -> bool {
        let find = |pc: usize| {
            // SAFETY: looks a function up, in tables that this test has registered.
            let found = unsafe { (self.enclosing)(pc) };
            (found != 0).then_some(found)
        };
        // SAFETY: as for libgcc.
        unsafe {
            Llvm::each(start + TABLE, self.llvm.add);
            let agrees = finds_exactly(&find, start);
            Llvm::each(start + TABLE, self.llvm.remove);
            agrees
        }
    }
}

/// What a function returns in a process of its own, or `false` if that process is killed, as by an unwinder that aborts.
fn in_child(function: impl Fn() -> bool) -> bool {
    let mut status = 0;
    // SAFETY: the child does what doesn't need other threads, and exits.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(i32::from(!function()));
        }
        child > 0 && libc::waitpid(child, &raw mut status, 0) == child && status == 0
    }
}

/// All strings of 1 to 5 of these letters, and of 5 letters after "z".
fn augmentations() -> Vec<Vec<u8>> {
    const LETTERS: &[u8] = b"zPLRSBGex";
    let mut all: Vec<Vec<u8>> = vec![Vec::new()];
    let mut last = 0;
    for _ in 0..5 {
        let from = std::mem::replace(&mut last, all.len());
        for at in from..last {
            for letter in LETTERS {
                let longer = [all[at].as_slice(), &[*letter]].concat();
                all.push(longer);
            }
        }
    }
    let longest: Vec<Vec<u8>> = all[last..].iter().map(|text| [b"z", text.as_slice()].concat()).collect();
    all.extend(longest);
    all
}

#[test]
fn unwinders_read_every_augmentation_that_is_accepted_as_we_do() {
    if std::env::var_os(CHILD).is_none() {
        let this = "native::load::unwind::tests::unwinders_read_every_augmentation_that_is_accepted_as_we_do";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", this, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
        return;
    }
    let host = if cfg!(target_arch = "aarch64") { Format::Aarch64 } else { Format::X86_64 };
    let libunwind = libunwind();
    if libunwind.is_none() {
        eprintln!("libunwind.so.1 of LLVM not found: only libgcc is compared");
    }
    let mut buffer = vec![0u64; (TABLE + 256) / 8];
    let start = buffer.as_mut_ptr() as usize;
    let scope = Scope { code: FUNCTION.start as u64..FUNCTION.end as u64, image: 0..TABLE as u64 + 256, format: host };
    let (mut accepted, mut misread) = (Vec::new(), Vec::new());
    for letters in augmentations() {
        let bytes = table(&letters);
        let read =
            eh_frame::check(&Table { bytes: &bytes, address: TABLE as u64, end: TableEnd::Unknown }, &scope, |_| ());
        let is_accepted = read.is_ok_and(|read| read.functions == 1 && read.terminated && read.empty == 0);
        // SAFETY: `bytes` is shorter than the rest of the buffer, which nothing else refers to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (start + TABLE) as *mut u8, bytes.len()) };
        let text = String::from_utf8(letters).unwrap();
        if is_accepted {
            assert!(libgcc_agrees(start), "libgcc reads '{text}' differently");
            assert!(
                libunwind.as_ref().is_none_or(|library| library.agrees(start)),
                "LLVM's libunwind reads '{text}' differently"
            );
            accepted.push(text);
        } else if text.len() <= 4 && text.starts_with('z') && !in_child(|| libgcc_agrees(start)) {
            misread.push(text);
        }
    }
    println!("accepted: {accepted:?}; of the short ones that aren't, libgcc misreads {}", misread.len());
    let expected = if host == Format::Aarch64 { 14 } else { 8 };
    assert!(accepted.len() >= expected, "{accepted:?}");
    // These made an unwinder run code of a module that nobody had called.
    for text in ["zSR", "zSPR", "zPRR"] {
        assert!(!accepted.iter().any(|accepted| accepted == text), "{text}");
        assert!(text == "zPRR" || misread.iter().any(|misread| misread == text), "{text}");
    }
}
