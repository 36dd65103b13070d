//! Files for profilers. A perf map (Linux, tools/perf/Documentation/jit-interface.txt) names functions in memory that isn't mapped
//! from a file. A jitdump file (jitdump-specification.txt) has the names and the code of all functions, for `perf inject --jit`: on
//! its own, perf resolves file-backed code only in the artifact's first module.

use std::cmp::Reverse;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::Mutex;

use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::process::geteuid;
use rustix::time::{ClockId, clock_gettime};

use super::LoadedModule;
use crate::alloc;
use crate::artifact::Artifact;
use crate::error::{Error, Result, quote};
use crate::fork;
use crate::limits::NameBudget;
use crate::native::image::Tables;
use crate::storage::without_size_signal;

/// A function: its address in memory, its bytes, its name.
struct Function<'a> {
    address: u64,
    code: &'a [u8],
    name: &'a [u8],
}

/// All functions of known size whose bytes are in the file, in the order of their addresses. A function ends where the next one
/// begins, and one of several that begin at the same address is kept, the longest: so their code is together at most as long as
/// the file, and perf, which takes the last record for an address, finds the innermost function.
fn functions<'a>(artifact: &'a Artifact, modules: &[LoadedModule]) -> Result<Vec<Function<'a>>> {
    let mut found = Vec::new();
    let mut budget = NameBudget::for_file(artifact.len());
    for module in modules {
        let (bytes, symbols) = (artifact.module_bytes(module.index)?, artifact.symbols(module.index)?);
        for at in 1..symbols.count() {
            let Ok(symbol) = symbols.get(at) else { continue }; // a damaged symbol names nothing
            let start = symbol.value.wrapping_add(module.tables.origin());
            if !symbol.is_address() || !module.tables.is_code(start) {
                continue;
            }
            let Some(code) = code_of(&module.tables, bytes, start, symbol.size) else { continue };
            budget.take(symbol.name.len())?;
            let function = Function { address: module.bias.wrapping_add(start), code, name: symbol.name };
            alloc::push(&mut found, function, "functions for profilers")?;
        }
    }
    alloc::sort(&mut found, "functions for profilers", |function| (function.address, Reverse(function.code.len())))?;
    found.dedup_by_key(|function| function.address);
    let mut next = u64::MAX;
    for function in found.iter_mut().rev() {
        let room = next.saturating_sub(function.address);
        next = function.address;
        function.code = function.code.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(function.code);
    }
    Ok(found)
}

fn code_of<'a>(tables: &Tables, bytes: &'a [u8], start: u64, size: u64) -> Option<&'a [u8]> {
    let place = tables.bytes_of(start, size)?;
    bytes.get(place).filter(|code| !code.is_empty())
}

/// Opens a file in /tmp, where profilers look for it. It must be a regular file of this user that has no other name, since other
/// users can write to /tmp.
fn own_file(name: &str) -> Result<File> {
    let path = format!("/tmp/{name}");
    let failed = |error: &io::Error| Error::io(format!("opening {path} for profilers"), error);
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)
        .map_err(|error| failed(&error))?;
    let found = file.metadata().map_err(|error| failed(&error))?;
    if !found.is_file() || found.uid() != geteuid().as_raw() || found.nlink() != 1 {
        return Err(failed(&io::Error::from(io::ErrorKind::PermissionDenied)));
    }
    Ok(file)
}

/// Adds all functions to this process's perf map.
pub fn map(artifact: &Artifact, modules: &[LoadedModule]) -> Result<()> {
    let mut text = Vec::new();
    for function in functions(artifact, modules)? {
        let line = format!("{:x} {:x} {}\n", function.address, function.code.len(), quote(function.name));
        alloc::extend(&mut text, line.as_bytes(), "a perf map")?;
    }
    let mut file = own_file(&format!("perf-{}.map", std::process::id()))?;
    let written = without_size_signal(|| file.write_all(&text));
    written.map_err(|error| Error::io("writing the perf map", &error))
}

/// This process's jitdump file.
struct Dump {
    process: u32,
    file: File,
    /// The number of functions in it.
    count: u64,
}

static DUMP: Mutex<Option<Dump>> = Mutex::new(None);

const HEADER_SIZE: u32 = 40;
const CODE_LOAD: u32 = 0;
/// The size of a JIT_CODE_LOAD record without name and code.
const RECORD_SIZE: usize = 56;

fn nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Dump {
    fn new(machine: u16) -> Result<Dump> {
        let process = std::process::id();
        let mut file = own_file(&format!("jit-{process}.dump"))?;
        let failed = |error: &io::Error| Error::io("writing the jitdump file", error);
        file.set_len(0).map_err(|error| failed(&error))?;
        let mut header = Vec::with_capacity(HEADER_SIZE as usize);
        for word in [0x4a69_5444, 1, HEADER_SIZE, machine.into(), 0, process] {
            header.extend(u32::to_ne_bytes(word));
        }
        header.extend(nanoseconds().to_ne_bytes());
        header.extend(0u64.to_ne_bytes());
        without_size_signal(|| file.write_all(&header)).map_err(|error| failed(&error))?;
        let page = rustix::param::page_size();
        // perf records the mapping of executable pages, and with it the file's name. It is made once, and stays.
        // SAFETY: a new mapping, at an address that the kernel chooses: it replaces no other one, and nothing uses it.
        let marker =
            unsafe { mmap(std::ptr::null_mut(), page, ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE, &file, 0) };
        marker.map_err(|errno| Error::io("mapping the jitdump file executable, for perf to find it", &errno.into()))?;
        Ok(Dump { process, file, count: 0 })
    }
}

/// Adds all functions to this process's jitdump file.
pub fn dump(artifact: &Artifact, modules: &[LoadedModule], machine: u16) -> Result<()> {
    let mut dump = fork::lock(&DUMP);
    // After a fork the child writes a file of its own.
    if dump.as_ref().is_some_and(|dump| dump.process != std::process::id()) {
        *dump = None;
    }
    let dump = match &mut *dump {
        Some(dump) => dump,
        none => none.insert(Dump::new(machine)?),
    };
    let thread = rustix::thread::gettid().as_raw_nonzero().get() as u32;
    let mut records = Vec::new();
    for function in functions(artifact, modules)? {
        let size = RECORD_SIZE + function.name.len() + 1 + function.code.len();
        let mut record: Vec<u8> = alloc::with_capacity(size, "a jitdump record")?;
        record.extend(CODE_LOAD.to_ne_bytes());
        record.extend((size as u32).to_ne_bytes());
        record.extend(nanoseconds().to_ne_bytes());
        record.extend(dump.process.to_ne_bytes());
        record.extend(thread.to_ne_bytes());
        for word in [function.address, function.address, function.code.len() as u64, dump.count] {
            record.extend(word.to_ne_bytes());
        }
        record.extend_from_slice(function.name);
        record.push(0);
        record.extend_from_slice(function.code);
        dump.count += 1;
        alloc::extend(&mut records, &record, "jitdump records")?;
    }
    without_size_signal(|| dump.file.write_all(&records)).map_err(|error| Error::io("writing the jitdump file", &error))
}
