//! Which CPUs code fits: what compilers say about a CPU, CPUs that are emulated, engines of other CPUs, modules of other machines.

use std::process::{Command, Stdio};

use artifact::builder::Builder;
use artifact::engine::Engine;

use crate::elf::Shape;
use crate::support::{Folder, Ran, command, run};

/// Runs a command, and returns what it prints; none if it can't be run or fails.
fn printed(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    // clang's -### prints to the standard error.
    output.status.success().then(|| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The features that clang finds on the CPU that `runner` runs it on, as it passes them to its code generator.
fn clang_features(runner: &[&str]) -> Option<Vec<String>> {
    let clang = printed("sh", &["-c", "command -v clang"])?;
    let args = [runner, &[clang.trim(), "-march=native", "-###", "-c", "-x", "c", "/dev/null"]].concat();
    let text = printed(args.first()?, args.get(1..)?)?;
    let words = text.split_whitespace().map(|word| word.trim_matches('"'));
    let found: Vec<String> = words.filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect();
    (!found.is_empty()).then_some(found)
}

/// Packs a module that runs on any CPU as compiled with these features.
fn pack(folder: &Folder, features: &str) -> String {
    let image = Shape { machine: if cfg!(target_arch = "aarch64") { 183 } else { 62 }, ..Shape::default() }.image();
    let (module, out) = (folder.file("module.elf", &image), folder.path("module.artifact"));
    let out = out.to_str().unwrap().to_owned();
    run(&["pack", "-o", &out, "--cpu", features, &module]).expect(0);
    out
}

/// Checks that code which needs these features runs here. Compilers list AMX where the CPU has it, although a process may use it only
/// after it has asked for it, which the command line doesn't do.
fn expect_to_fit(folder: &Folder, features: &[&str]) {
    let (amx, others): (Vec<&str>, Vec<&str>) = features.iter().partition(|name| name.starts_with("amx-"));
    run(&["check", &pack(folder, &others.join(","))]).expect(0);
    if !amx.is_empty() && cfg!(target_os = "linux") {
        run(&["check", &pack(folder, &amx.join(","))]).expect(1);
    }
}

#[test]
fn what_compilers_find_on_this_machine_fits_it() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let folder = Folder::new();
    match clang_features(&[]) {
        Some(features) => expect_to_fit(&folder, &features.iter().map(String::as_str).collect::<Vec<_>>()),
        None => eprintln!("clang not found: skipping its features"),
    }
    // What clang writes into its own IR has x87 and its like besides.
    let ir = "echo 'int f(void) { return 1; }' | clang -march=native -x c -S -emit-llvm - -o -";
    if let Some(text) = printed("sh", &["-c", ir]) {
        let list = text.split("\"target-features\"=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let features: Vec<&str> = list.split(',').filter_map(|feature| feature.strip_prefix('+')).collect();
        expect_to_fit(&folder, &features);
    }
    // Interpreters with llvmlite, for newer versions of LLVM: a list separated by colons.
    let pythons = std::env::var("ARTIFACT_TEST_LLVMLITE").unwrap_or("python3".to_owned());
    let script = "import llvmlite.binding as l; print(','.join(k for k, v in l.get_host_cpu_features().items() if v))";
    for python in pythons.split(':') {
        match printed(python, &["-c", script]) {
            Some(features) => expect_to_fit(&folder, &features.trim().split(',').collect::<Vec<_>>()),
            None => eprintln!("{python} has no llvmlite: skipping the features of its LLVM"),
        }
    }
}

#[test]
fn tuning_and_privilege_are_no_needs_and_unknown_names_are_said_to_be_unknown() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let folder = Folder::new();
    run(&["check", &pack(&folder, "x87,64bit,prefer-256-bit,fast-gather,prefer-no-gather,invpcid,xsaves")]).expect(0);
    let mut engine = Engine::new();
    let unknown = artifact::format::flags::Flag::Bool(true);
    engine.set_flag(artifact::engine::FlagMap::Isa, "avx2048", unknown).unwrap();
    let image = Shape::default().image();
    let mut builder = Builder::new(&engine);
    builder.add_module(&image).unwrap();
    let file = folder.file("unknown.artifact", builder.serialize().unwrap());
    let ran = run(&["check", &file]).expect(1);
    assert!(ran.out().contains("'avx2048' enabled, which is unknown"), "{}", ran.out());
}

/// Emulated CPUs, some with an operating system that does not keep the state of AVX.
#[test]
fn a_feature_counts_if_its_state_is_enabled() {
    const CPUS: [&str; 7] = ["Nehalem", "Haswell", "Haswell,-xsave", "Haswell,-avx", "EPYC", "max", "max,-avx"];
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) || printed("qemu-x86_64", &["--version"]).is_none() {
        eprintln!("qemu-x86_64 not found: skipping the tests with emulated CPUs");
        return;
    }
    let folder = Folder::new();
    let program = command(&["check"]).get_program().to_str().unwrap().to_owned();
    let under = |cpu: &str, args: &[&str]| -> Ran {
        let mut command = Command::new("qemu-x86_64");
        command.args(["-cpu", cpu, &program]).args(args).stdin(Stdio::null()).output().unwrap().into()
    };
    for cpu in CPUS {
        // What needs VEX encoding is there with AVX, or not at all.
        let engine = under(cpu, &["engine"]).expect(0);
        let has = |name: &str| engine.out().contains(&format!("\"{name}\":"));
        let avx = ["Haswell", "EPYC", "max"].contains(&cpu);
        for name in ["avx", "avx2", "f16c", "fma"] {
            assert_eq!(has(name), avx, "{name} on {cpu}");
        }
        for name in ["vaes", "vpclmulqdq", "avx512f"] {
            assert!(avx || !has(name), "{name} on {cpu}");
        }
        let file = pack(&folder, "f16c");
        let checked = under(cpu, &["check", &file]).expect(if avx { 0 } else { 1 });
        let sentence = "Module was compiled with setting 'f16c' enabled but the host does not support it";
        assert_eq!(checked.out().contains(sentence), !avx, "{}", checked.out());
        // LLVM agrees on every name.
        if let Some(features) = clang_features(&["qemu-x86_64", "-cpu", cpu]) {
            under(cpu, &["check", "--all", &pack(&folder, &features.join(","))]).expect(0);
        }
    }
}

#[test]
fn an_engine_of_another_cpu_is_compared_with_but_not_run() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let folder = Folder::new();
    let host = run(&["engine"]).expect(0);
    // No CPU has both: one is Intel's, the other AMD's.
    let absent = ["avx512er", "lwp"].into_iter().find(|name| !host.out().contains(&format!("\"{name}\"")));
    let absent = absent.unwrap();
    let json =
        host.out().replacen("\"isa_flags\": {", &format!("\"isa_flags\": {{\"{absent}\": {{\"Bool\": true}},"), 1);
    let other = folder.file("other.json", json);
    let file = pack(&folder, absent);
    let sentence = format!("Module was compiled with setting '{absent}' enabled but the host does not support it");
    assert!(run(&["check", &file]).expect(1).out().contains(&sentence));
    run(&["check", "--engine", &other, &file]).expect(0);
    let ran = run(&["run", "--engine", &other, &file, "f"]);
    assert!(ran.err.contains(&sentence), "{}", ran.err);
    ran.expect(1);
}

#[test]
fn modules_for_another_machine_are_a_mismatch() {
    let folder = Folder::new();
    let own = Shape { machine: if cfg!(target_arch = "aarch64") { 183 } else { 62 }, ..Shape::default() }.image();
    let shapes = [
        (Shape { machine: 22, big_endian: true, ..Shape::default() }, "s390x (machine 22), big-endian"),
        (Shape { machine: 243, ..Shape::default() }, "RISC-V (machine 243), little-endian"),
        (Shape { machine: 1234, ..Shape::default() }, "machine 1234, little-endian"),
        // The right machine in the wrong byte order.
        (Shape { machine: 183, big_endian: true, ..Shape::default() }, "aarch64 (machine 183), big-endian"),
    ];
    for (shape, name) in shapes {
        let image = shape.image();
        let module = folder.file("module.elf", &image);
        let refused = run(&["pack", "-o", folder.path("out.artifact").to_str().unwrap(), &module]).expect(5);
        assert!(refused.err.contains("as the engine's target") && refused.err.contains(name), "{}", refused.err);
        // The second of two modules, with and without a trailer.
        for trailer in [true, false] {
            let mut builder = Builder::new(&Engine::new());
            builder.add_module(&own).unwrap();
            builder.add_module(&image).unwrap();
            builder.set_trailer(trailer).unwrap();
            let file = folder.file("two.artifact", builder.serialize().unwrap());
            let checked = run(&["check", "--json", &file]).expect(1);
            let json = checked.json();
            let findings = json.get("findings").list();
            assert_eq!(findings.len(), 1);
            let text = |key: &str| findings[0].get(key).text().to_owned();
            assert_eq!(
                (text("kind"), text("setting"), text("artifact")),
                ("module_machine".to_owned(), "module 1".to_owned(), name.to_owned())
            );
            let verified = run(&["verify", &file]);
            assert!(verified.out().contains(name), "{}", verified.out());
        }
    }
}
