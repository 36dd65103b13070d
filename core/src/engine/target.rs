//! Target triples: the host's triple, the parts of a triple that are compared, and what ELF images for a triple have in their header.

use std::str::FromStr;

use object::elf;
use target_lexicon::{Architecture, Endianness, Environment, HOST, OperatingSystem, PointerWidth, Triple};

use crate::error::{Error, Result, Status, quote};
use crate::format::elf::Identity;

/// Returns the triple that this library was compiled for, and therefore runs on.
#[must_use]
pub fn host() -> String {
    HOST.to_string()
}

/// Checks that `triple` is a target triple of a known architecture.
///
/// # Errors
///
/// INVALID_ARGUMENT if it is not.
pub fn check(triple: &str) -> Result<()> {
    match Triple::from_str(triple) {
        Ok(parsed) if parsed.architecture != Architecture::Unknown => Ok(()),
        Ok(_) => Err(invalid_triple(triple, "its architecture is unknown")),
        Err(error) => Err(invalid_triple(triple, &quote(error.to_string().as_bytes()))),
    }
}

fn invalid_triple(triple: &str, why: &str) -> Error {
    let shown = quote(triple.as_bytes());
    let message = format!("target: expected a triple such as x86_64-unknown-linux-gnu, found '{shown}' ({why})");
    Error::new(Status::InvalidArgument, message)
}

/// Returns the parts of a triple that are compared: architecture and operating system. For a triple that can't be parsed, which may
/// well be valid, these are its first and third component.
#[must_use]
pub fn compared_parts(triple: &str) -> (String, String) {
    match Triple::from_str(triple) {
        Ok(parsed) => (parsed.architecture.to_string(), system_name(parsed.operating_system)),
        Err(_) => {
            let mut parts = triple.split('-');
            let architecture = parts.next().unwrap_or_default().to_owned();
            let system = parts.nth(1).unwrap_or("unknown").to_owned();
            (architecture, system)
        }
    }
}

/// Returns the operating system without the deployment target in Apple's triples, which is a minimum version.
fn system_name(system: OperatingSystem) -> String {
    match system {
        OperatingSystem::Darwin(_) => OperatingSystem::Darwin(None).to_string(),
        OperatingSystem::MacOSX(_) => OperatingSystem::MacOSX(None).to_string(),
        OperatingSystem::IOS(_) => OperatingSystem::IOS(None).to_string(),
        OperatingSystem::TvOS(_) => OperatingSystem::TvOS(None).to_string(),
        OperatingSystem::WatchOS(_) => OperatingSystem::WatchOS(None).to_string(),
        OperatingSystem::VisionOS(_) => OperatingSystem::VisionOS(None).to_string(),
        OperatingSystem::XROS(_) => OperatingSystem::XROS(None).to_string(),
        other => other.to_string(),
    }
}

/// Returns the number of bits of a pointer on a target, if it is known.
#[must_use]
pub fn pointer_bits(triple: &str) -> Option<u8> {
    let width = Triple::from_str(triple).ok()?.pointer_width().ok()?;
    Some(width.bits())
}

/// Returns whether a target is known to be big-endian.
#[must_use]
pub fn is_big_endian(triple: &str) -> bool {
    Triple::from_str(triple).is_ok_and(|triple| triple.endianness() == Ok(Endianness::Big))
}

/// Returns the machine, class and byte order of images for a triple; none if they are unknown. On targets whose pointers have 32 bits,
/// x32 and ILP32 among them, images have class 32.
#[must_use]
pub fn elf_identity(triple: &str) -> Option<Identity> {
    let parsed = Triple::from_str(triple).ok()?;
    let machine = match parsed.architecture {
        Architecture::X86_64 | Architecture::X86_64h => elf::EM_X86_64,
        Architecture::X86_32(_) => elf::EM_386,
        Architecture::Aarch64(_) => elf::EM_AARCH64,
        Architecture::Arm(_) => elf::EM_ARM,
        Architecture::S390x => elf::EM_S390,
        Architecture::Riscv64(_) | Architecture::Riscv32(_) => elf::EM_RISCV,
        Architecture::Powerpc => elf::EM_PPC,
        Architecture::Powerpc64 | Architecture::Powerpc64le => elf::EM_PPC64,
        Architecture::LoongArch64 => elf::EM_LOONGARCH,
        Architecture::Sparc => elf::EM_SPARC,
        Architecture::Sparc64 | Architecture::Sparcv9 => elf::EM_SPARCV9,
        Architecture::Mips32(_) | Architecture::Mips64(_) => elf::EM_MIPS,
        Architecture::M68k => elf::EM_68K,
        Architecture::Hexagon => elf::EM_HEXAGON,
        Architecture::Avr => elf::EM_AVR,
        Architecture::Msp430 => elf::EM_MSP430,
        Architecture::XTensa => elf::EM_XTENSA,
        Architecture::Bpfeb | Architecture::Bpfel => elf::EM_BPF,
        Architecture::AmdGcn => elf::EM_AMDGPU,
        _ => return None,
    };
    let big_endian = parsed.endianness().ok()? == target_lexicon::Endianness::Big;
    let is_short = match parsed.environment {
        Environment::Gnux32 | Environment::GnuIlp32 => true,
        _ => matches!(parsed.architecture.pointer_width(), Ok(PointerWidth::U16 | PointerWidth::U32)),
    };
    Some(Identity::new(machine.0, if is_short { 32 } else { 64 }, big_endian))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_architecture_and_system_are_compared() {
        let parts = |triple| compared_parts(triple);
        assert_eq!(parts("x86_64-unknown-linux-gnu"), parts("x86_64-pc-linux-musl"));
        assert_eq!(parts("x86_64-pc-windows-msvc"), ("x86_64".into(), "windows".into()));
        assert_eq!(parts("aarch64-apple-darwin20.1.0"), parts("aarch64-apple-darwin"));
        assert_eq!(parts("brandnew-unknown-plan10"), ("brandnew".into(), "plan10".into()));
    }

    #[test]
    fn machines() {
        let is = |machine, bits, big_endian| Some(Identity::new(machine, bits, big_endian));
        let pairs = [
            ("x86_64-unknown-linux-gnu", is(62, 64, false)),
            ("x86_64-unknown-linux-gnux32", is(62, 32, false)),
            ("i686-unknown-linux-gnu", is(3, 32, false)),
            ("s390x-unknown-linux-gnu", is(22, 64, true)),
            ("aarch64-unknown-linux-gnu", is(183, 64, false)),
            ("aarch64_be-unknown-linux-gnu", is(183, 64, true)),
            ("riscv64gc-unknown-linux-gnu", is(243, 64, false)),
            ("riscv32imac-unknown-none-elf", is(243, 32, false)),
            ("powerpc64-unknown-linux-gnu", is(21, 64, true)),
            ("powerpc64le-unknown-linux-gnu", is(21, 64, false)),
            ("mips64el-unknown-linux-gnuabi64", is(8, 64, false)),
            ("wasm32-unknown-unknown", None),
        ];
        for (triple, identity) in pairs {
            assert_eq!(elf_identity(triple), identity, "{triple}");
        }
    }

    #[test]
    fn invalid_triples_are_rejected() {
        check("x86_64-unknown-linux-gnu").unwrap();
        for bad in ["", "x86", "unknown-unknown-unknown", "not a triple"] {
            assert_eq!(check(bad).unwrap_err().status(), Status::InvalidArgument, "{bad}");
        }
    }
}
