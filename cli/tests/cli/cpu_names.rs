//! Names of CPUs: what the library says about each is what clang says, of whatever version there is.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::process::{Command, Stdio};

use artifact::engine::{Engine, FlagMap};
use artifact::format::flags::Flag;

const X86_64: &str = "x86_64-unknown-linux-gnu";
const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// Where a version of clang says something else than the library, which follows clang 22.
struct Difference {
    /// The versions that say it.
    versions: RangeInclusive<u32>,
    cpus: &'static [&'static str],
    /// What only that version gives them.
    more: &'static [&'static str],
    /// What only the library gives them.
    less: &'static [&'static str],
}

/// Corrections that LLVM made to its tables, and features that an older one does not know.
#[rustfmt::skip]
const DIFFERENCES: &[Difference] = &[
    // LLVM 19 removed the features of Knights Landing that no other CPU has.
    Difference { versions: 14..=18, cpus: &["knl", "knm"], more: &["avx512er", "avx512pf", "prefetchwt1"], less: &[] },
    // Key Locker was announced for these and left out.
    Difference { versions: 14..=19, cpus: &["clearwaterforest", "pantherlake"], more: &["kl", "widekl"], less: &[] },
    // The first entries of these were guesses.
    Difference { versions: 14..=16, cpus: &["grandridge"], more: &["raoint"], less: &["enqcmd", "uintr"] },
    Difference { versions: 14..=16, cpus: &["sierraforest"], more: &[], less: &["enqcmd", "uintr"] },
    Difference { versions: 14..=14, cpus: &["sapphirerapids"], more: &["avx512vp2intersect"], less: &[] },
    // RDPRU is unknown to LLVM 14.
    Difference { versions: 14..=14, cpus: &["znver2", "znver3"], more: &[], less: &["rdpru"] },
    Difference { versions: 14..=18, cpus: &["a64fx"], more: &[], less: &["complxnum"] },
    Difference { versions: 14..=14, cpus: &["ampere1"], more: &[], less: &["aes", "fp16fml", "rand", "sha2", "sha3"] },
    // LLVM 16 gave SM4 with all of ARMv8.4's cryptography, which these don't have; LLVM 14 took ARMv8.5 for what they have of it.
    Difference { versions: 14..=14, cpus: &["apple-a13"], more: &["sm4"], less: &[] },
    Difference { versions: 16..=16, cpus: &["apple-a13", "apple-a14", "apple-a15", "apple-a16"], more: &["sm4"], less: &[] },
    Difference { versions: 16..=16, cpus: &["apple-m1", "apple-m2"], more: &["sm4"], less: &[] },
    Difference { versions: 14..=18, cpus: &["apple-a14", "apple-m1"], more: &["bti"], less: &["ssbs"] },
    Difference { versions: 14..=18, cpus: &["apple-a15", "apple-a16", "apple-a17", "apple-m2", "apple-m3"], more: &[], less: &["ssbs"] },
    Difference { versions: 14..=14, cpus: &["apple-a14", "apple-m1"], more: &[], less: &["sha3"] },
    // Features of ARMv9 that were left out at first.
    Difference { versions: 14..=14, cpus: &["cortex-a510", "cortex-a710", "cortex-x2"], more: &[], less: &["bf16", "i8mm", "mte"] },
    Difference { versions: 14..=18, cpus: &["cortex-a710"], more: &[], less: &["ssbs"] },
    Difference { versions: 14..=14, cpus: &["neoverse-n2"], more: &["aes", "sha2"], less: &["bf16", "i8mm", "mte"] },
    Difference { versions: 16..=16, cpus: &["neoverse-n2"], more: &["aes", "sha2", "sha3", "sm4"], less: &[] },
    Difference { versions: 14..=14, cpus: &["neoverse-n2"], more: &[], less: &["fp16fml"] },
    Difference { versions: 18..=18, cpus: &["neoverse-n2"], more: &[], less: &["fp16fml"] },
    Difference { versions: 14..=18, cpus: &["cortex-a520", "cortex-a720", "cortex-x4"], more: &["f32mm"], less: &[] },
    // Extensions beyond the version of the architecture that these implement.
    Difference { versions: 14..=14, cpus: &["cortex-a78c"], more: &[], less: &["flagm", "pauth"] },
    Difference { versions: 16..=16, cpus: &["cortex-a78c"], more: &["fp16fml"], less: &[] },
    Difference { versions: 14..=18, cpus: &["cortex-x1c"], more: &[], less: &["lse2", "rcpc-immo"] },
    Difference { versions: 14..=16, cpus: &["cortex-x1c"], more: &[], less: &["flagm"] },
    Difference { versions: 14..=19, cpus: &["cortex-r82", "cortex-r82ae"], more: &[], less: &["ccpp"] },
    Difference { versions: 14..=18, cpus: &["cortex-r82"], more: &[], less: &["ccdp", "dit", "flagm"] },
    Difference { versions: 14..=16, cpus: &["cortex-r82"], more: &[], less: &["complxnum", "jsconv", "pauth"] },
    Difference { versions: 14..=14, cpus: &["cortex-r82"], more: &[], less: &["sb"] },
    Difference { versions: 14..=18, cpus: &["neoverse-512tvb", "neoverse-v1"], more: &[], less: &["ccdp"] },
    Difference { versions: 14..=14, cpus: &["neoverse-512tvb", "neoverse-v1"], more: &[], less: &["bf16", "i8mm", "rand"] },
    Difference { versions: 14..=18, cpus: &["saphira"], more: &[], less: &["dit", "dotprod", "flagm", "lse2", "rcpc-immo"] },
    Difference { versions: 14..=16, cpus: &["tsv110"], more: &[], less: &["complxnum", "jsconv"] },
];

/// LLVM's names of CPUs that are older than what the library knows.
const OLD: [&str; 11] = [
    "amdfam10",
    "athlon-fx",
    "athlon64",
    "athlon64-sse3",
    "barcelona",
    "k8",
    "k8-sse3",
    "lakemont",
    "nocona",
    "opteron",
    "opteron-sse3",
];

/// Runs a command, and returns what it prints on both streams; none if it can't be run.
fn printed(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The features that a clang gives a CPU, as it writes them into its IR; none if it refuses to compile for it, as for those of 32 bits.
fn features(clang: &str, target: &str, option: &str) -> Option<Vec<String>> {
    let (target, source) = (format!("--target={target}"), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/cpu.c"));
    let ir = printed(clang, &[&target, option, "-S", "-emit-llvm", "-o", "-", source])?;
    let list = ir.split("\"target-features\"=\"").nth(1)?.split('"').next()?;
    Some(list.split(',').filter_map(|name| name.strip_prefix('+')).map(str::to_owned).collect())
}

/// An engine of a target with these features on.
fn engine<S: AsRef<str>>(target: &str, names: impl IntoIterator<Item = S>) -> Engine {
    let mut engine = Engine::new();
    engine.set_target(target).unwrap();
    for name in names {
        engine.set_flag(FlagMap::Isa, name.as_ref(), Flag::Bool(true)).unwrap();
    }
    engine
}

/// The features that any CPU has, and those of `DIFFERENCES`: none of them stands for others.
fn all_features(target: &str, cpus: &[&str]) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = DIFFERENCES.iter().flat_map(|d| d.more).map(|name| (*name).to_owned()).collect();
    for cpu in cpus {
        all.extend(set(target, cpu));
    }
    all
}

/// What the library says that a CPU has.
fn set(target: &str, cpu: &str) -> BTreeSet<String> {
    let mut engine = engine(target, [""; 0]);
    engine.set_cpu(cpu).unwrap_or_else(|error| panic!("{cpu}: {error}"));
    engine.flags(FlagMap::Isa).keys().cloned().collect()
}

/// What clang's list of features for a CPU comes to: some stand for others, some need nothing of a CPU.
fn meaning(target: &str, clang: &[String], all: &BTreeSet<String>) -> BTreeSet<String> {
    // Two engines have the same fingerprint if the same code fits them, whatever names they have for it.
    let theirs = engine(target, clang);
    let bare = theirs.fingerprint();
    let is_there = |name: &&String| {
        let mut with = theirs.clone();
        with.set_flag(FlagMap::Isa, name, Flag::Bool(true)).unwrap();
        clang.contains(*name) || with.fingerprint() == bare
    };
    let found: BTreeSet<String> = all.iter().filter(is_there).cloned().collect();
    assert!(engine(target, &found).fingerprint() == bare, "{clang:?} is more than {found:?}");
    found
}

/// What a version of clang is known to say of a CPU.
fn expected(version: u32, target: &str, cpu: &str) -> BTreeSet<String> {
    let mut features = set(target, cpu);
    for difference in DIFFERENCES.iter().filter(|d| d.versions.contains(&version) && d.cpus.contains(&cpu)) {
        features.retain(|name| !difference.less.contains(&name.as_str()));
        features.extend(difference.more.iter().map(|name| (*name).to_owned()));
    }
    features
}

#[test]
fn a_cpu_has_what_clang_says() {
    // Versions of clang, separated by colons.
    let clangs = std::env::var("ARTIFACT_TEST_CLANG").unwrap_or("clang".to_owned());
    let (mut compared, mut wrong) = (0, Vec::new());
    for clang in clangs.split(':') {
        let Some(text) = printed(clang, &["--version"]) else {
            eprintln!("{clang} not found: skipping its names of CPUs");
            continue;
        };
        let version = text.split("clang version ").nth(1).and_then(|rest| rest.split('.').next()).unwrap();
        let version: u32 = version.parse().unwrap();
        if version < 14 {
            eprintln!("{clang} is older than 14: skipping its names of CPUs");
            continue;
        }
        for (target, option) in [(X86_64, "-march="), (AARCH64, "-mcpu=")] {
            let names = printed(clang, &[&format!("--target={target}"), "--print-supported-cpus"]).unwrap();
            let is_name = |line: &&str| line.starts_with('\t') && !line.trim().contains(' ');
            let cpus: Vec<&str> =
                names.lines().filter(is_name).map(str::trim).filter(|cpu| !OLD.contains(cpu)).collect();
            let lists = cpus.iter().filter_map(|cpu| Some((*cpu, features(clang, target, &format!("{option}{cpu}"))?)));
            let lists: Vec<(&str, Vec<String>)> = lists.collect();
            let all = all_features(target, &lists.iter().map(|(cpu, _)| *cpu).collect::<Vec<_>>());
            for (cpu, list) in &lists {
                let (found, expected) = (meaning(target, list, &all), expected(version, target, cpu));
                let more: Vec<_> = found.difference(&expected).collect();
                let less: Vec<_> = expected.difference(&found).collect();
                if !more.is_empty() || !less.is_empty() {
                    wrong.push(format!("clang {version}, {cpu}: more {more:?}, less {less:?}"));
                }
            }
            compared += lists.len();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 100 || compared == 0, "{compared}");
}
