//! Recognizes files that are no ELF64 images, by their first bytes, for messages: what a file is, and what its user can do.

use object::elf;

use super::pack::PACK_MAGIC;
use crate::error::{Error, Status};

const OBJECT: &str =
    "compile it to an ELF object first, such as with `clang -c -fPIC` or `llc -filetype=obj -relocation-model=pic`";
const TARGET: &str = "compile the code for an ELF target, such as with `clang --target=x86_64-linux-gnu -c -fPIC`";
const MEMBERS: &str = "pass it among the objects to link, or extract its members with `ar x`";
const UNPACK: &str = "decompress it first";

/// Files that begin with these bytes: what they are, and what to do.
const MAGICS: &[(&[u8], &str, &str)] = &[
    (&PACK_MAGIC, "a pack of artifacts", "list them with `artifact inspect`"),
    (b"BC\xc0\xde", "LLVM bitcode", OBJECT),
    (b"\xde\xc0\x17\x0b", "wrapped LLVM bitcode", OBJECT),
    (b"ML\xefR", "MLIR bytecode", OBJECT),
    (b"\x10\xff\x10\xad", "an LLVM offloading binary", "extract its images and pass ELF objects"),
    (b"!<arch>\n", "an archive", MEMBERS),
    (b"!<thin>\n", "a thin archive, which has the names of its members only", "pass the members themselves"),
    (b"<bigaf>\n", "an AIX archive", TARGET),
    (b"\xfe\xed\xfa\xce", "a Mach-O file", TARGET),
    (b"\xfe\xed\xfa\xcf", "a Mach-O file", TARGET),
    (b"\xce\xfa\xed\xfe", "a Mach-O file", TARGET),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file", TARGET),
    (b"\xca\xfe\xba\xbf", "a universal Mach-O file", TARGET),
    (b"\xbe\xba\xfe\xca", "a universal Mach-O file", TARGET),
    (b"MZ", "a PE file of Windows", TARGET),
    (b"\x01\xdf\0", "an XCOFF object of AIX", TARGET),
    (b"\x01\xf7\0", "an XCOFF object of AIX", TARGET),
    (b"\0asm", "WebAssembly", "compile it first, such as with `wasmtime compile`"),
    (b"\x03\x02\x23\x07", "SPIR-V", "code for a GPU cannot be stored as a module"),
    (b"\x50\xed\x55\xba", "a CUDA fat binary", "code for a GPU cannot be stored as a module"),
    (b"dex\n", "Dalvik bytecode", "compile it to an ELF object first"),
    (b"gpch", "a precompiled header of GCC", "compile a source file to an object first, with `cc -c -fPIC`"),
    (b"CPCH", "a precompiled header of Clang", "compile a source file to an object first, with `cc -c -fPIC`"),
    (b"\x1f\x8b", "a gzip file", UNPACK),
    (b"\xfd7zXZ\0", "an xz file", UNPACK),
    (b"BZh", "a bzip2 file", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", UNPACK),
    (b"PK\x03\x04", "a ZIP archive", "extract its members and pass those"),
    (b"#!", "a script", "pass an ELF object or shared object"),
    (b"/* GNU ld script", "a linker script", "pass the shared object that it names"),
    (b"; ModuleID", "LLVM IR as text", OBJECT),
];

/// `Machine` of COFF objects: x86, x86-64, ARM, Thumb, ARMv7, AArch64, ARM64EC, ARM64X, RISC-V.
const COFF_MACHINES: [u16; 10] = [0x14c, 0x8664, 0x1c0, 0x1c2, 0x1c4, 0xaa64, 0xa641, 0xa64e, 0x5032, 0x5064];

/// How many bytes tell text from other files.
const SAMPLE: usize = 512;

/// Returns the error for bytes that are no ELF64 image at all, as opposed to a damaged one. `expected` is what the caller needs.
#[cold]
pub fn check(bytes: &[u8], expected: &str) -> Result<(), Error> {
    let (status, found) = match bytes {
        [] => (Status::InvalidArgument, "an empty file; did the compiler fail?".to_owned()),
        _ if bytes.iter().all(|byte| *byte == 0) => {
            (Status::InvalidArgument, "only zero bytes; was the file written completely?".to_owned())
        }
        [0x7f, b'E', b'L', b'F', class, ..] if *class == elf::ELFCLASS64.0 => return Ok(()),
        [0x7f, b'E', b'L', b'F', class, ..] => {
            let found = match elf::FileClass(*class) {
                elf::ELFCLASS32 => {
                    "a 32-bit ELF file; compile the code for a 64-bit target, such as with `cc -m64`".to_owned()
                }
                _ => format!("an ELF file of the unknown class {class}"),
            };
            (Status::Unsupported, found)
        }
        _ if elf::ELFMAG.starts_with(bytes) => return Ok(()), // truncated, which the caller says
        _ => (Status::InvalidArgument, describe(bytes)),
    };
    Err(Error::new(status, format!("expected {expected}, found {found}")))
}

fn describe(bytes: &[u8]) -> String {
    let known = MAGICS.iter().find(|(magic, ..)| bytes.starts_with(magic)).map(|(_, what, advice)| (*what, *advice));
    if let Some((what, advice)) = known.or_else(|| without_magic(bytes)) {
        return format!("{what}; {advice}");
    }
    let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("a file of another format that begins with the bytes {}", first.join(" "))
}

/// Recognizes formats that no constant at the beginning tells.
fn without_magic(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let word = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    if bytes.starts_with(b"\xca\xfe\xba\xbe") {
        // Java has a version of at least 45 where Mach-O has the number of architectures.
        let count = bytes.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
        return Some(match count {
            0..40 => ("a universal Mach-O file", TARGET),
            _ => ("a Java class", "compile it to an ELF object first"),
        });
    }
    match (word(0), word(2), word(4)) {
        (Some(0), Some(0xffff), Some(version)) => {
            let what = if version == 0 { "a member of a COFF import library" } else { "a COFF object (/bigobj)" };
            return Some((what, TARGET));
        }
        // An object has no optional header.
        (Some(machine), Some(_), _) if COFF_MACHINES.contains(&machine) && word(16) == Some(0) => {
            return Some(("a COFF object", TARGET));
        }
        _ => {}
    }
    is_text(bytes).then_some(("text", "compile it to an object first, such as with `cc -c -fPIC`"))
}

fn is_text(bytes: &[u8]) -> bool {
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    let marked = sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff"); // UTF-16
    let text = match std::str::from_utf8(sample) {
        Ok(text) => text,
        // The sample may end within a character.
        Err(error) if error.error_len().is_none() => {
            sample.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or("\0")
        }
        Err(_) => return marked,
    };
    !text.is_empty() && !text.contains(|c: char| c.is_control() && !"\t\n\r\x0c\x1b".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        check(bytes, "an ELF file").unwrap_err().message().to_owned()
    }

    #[test]
    fn formats_are_named() {
        let coff = [&[0x64, 0x86, 3, 0][..], &[7; 12], &[0, 0, 0, 0]].concat();
        for (bytes, words) in [
            (&b""[..], "found an empty file"),
            (&[0; 100], "found only zero bytes"),
            (b"BC\xc0\xde5\x14\0\0", "found LLVM bitcode; compile it"),
            (b"\xde\xc0\x17\x0b\0\0\0\0", "found wrapped LLVM bitcode; compile it"),
            (b"!<arch>\n/  ", "found an archive; pass it"),
            (b"!<thin>\n/  ", "found a thin archive"),
            (b"\xcf\xfa\xed\xfe\x07\0\0\x01", "found a Mach-O file"),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", "found a universal Mach-O file"),
            (b"\xca\xfe\xba\xbe\0\0\0\x34", "found a Java class"),
            (&coff, "found a COFF object;"),
            (b"\0\0\xff\xff\x02\0\x64\x86", "found a COFF object (/bigobj)"),
            (b"\0\0\xff\xff\0\0\x64\x86", "import library"),
            (b"MZ\x90\0", "found a PE file"),
            (b"\0asm\x01\0\0\0", "found WebAssembly"),
            (b"int f(void);\n", "found text; compile it"),
            (b"/* GNU ld script\n", "found a linker script"),
            (b"\x7fELF\x01\x01\x01", "found a 32-bit ELF file"),
            (b"\x7fELF\x09", "unknown class 9"),
            (b"\x89PNG\r\n\x1a\n", "begins with the bytes 89 50 4e 47 0d 0a 1a 0a"),
        ] {
            assert!(message(bytes).contains(words), "{}", message(bytes));
        }
        assert_eq!(check(b"\x7fELF\x09", "").unwrap_err().status(), Status::Unsupported);
        for bytes in [&b"\x7fELF\x02"[..], b"\x7fE"] {
            assert!(check(bytes, "").is_ok());
        }
    }

    #[test]
    fn no_format_hides_behind_the_prefix_of_another() {
        for (index, (magic, ..)) in MAGICS.iter().enumerate() {
            let first = MAGICS.iter().position(|(other, ..)| magic.starts_with(other));
            assert_eq!(first, Some(index), "{magic:?}");
        }
    }
}
