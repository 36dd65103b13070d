//! Objects that Cranelift makes link and run as they do when ld has linked them.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::{Engine, FlagMap};
use artifact::format::flags::Flag;
use artifact::native::link::{Object, Options, link};
use cranelift_codegen::ir::{AbiParam, InstBuilder, MemFlagsData, types};
use cranelift_codegen::isa;
use cranelift_codegen::settings::{self, Configurable, SettingKind};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, Linkage, Module};
use cranelift_object::{ObjectBuilder, ObjectModule};

/// run() adds up a table's word, a word that a pointer in data leads to, what the host's host_twice() makes of 21, a word of the
/// host's, and what a function behind a pointer says.
fn object(triple: &str, is_pic: &str) -> Vec<u8> {
    let mut flags = settings::builder();
    for (name, value) in [("is_pic", is_pic), ("opt_level", "speed"), ("unwind_info", "true")] {
        flags.set(name, value).unwrap();
    }
    let isa = isa::lookup_by_name(triple).unwrap().finish(settings::Flags::new(flags)).unwrap();
    let names = cranelift_module::default_libcall_names();
    let mut module = ObjectModule::new(ObjectBuilder::new(isa, "made", names).unwrap());
    let mut signature = module.make_signature();
    signature.returns.push(AbiParam::new(types::I32));
    let mut one_argument = signature.clone();
    one_argument.params.push(AbiParam::new(types::I32));

    let run = module.declare_function("run", Linkage::Export, &signature).unwrap();
    let seven = module.declare_function("seven", Linkage::Local, &signature).unwrap();
    let twice = module.declare_function("host_twice", Linkage::Import, &one_argument).unwrap();
    let number = module.declare_data("host_number", Linkage::Import, false, false).unwrap();
    let word = module.declare_data("word", Linkage::Local, true, false).unwrap();
    let pointers = module.declare_data("pointers", Linkage::Export, false, false).unwrap();

    let mut data = DataDescription::new();
    data.define([5u32.to_le_bytes(), 6u32.to_le_bytes()].concat().into_boxed_slice());
    module.define_data(word, &data).unwrap();
    let mut data = DataDescription::new();
    data.define(vec![0; 16].into_boxed_slice());
    let value = module.declare_data_in_data(word, &mut data);
    data.write_data_addr(0, value, 4);
    let function = module.declare_func_in_data(seven, &mut data);
    data.write_function_addr(8, function);
    module.define_data(pointers, &data).unwrap();

    let mut context = module.make_context();
    let mut scratch = FunctionBuilderContext::new();
    context.func.signature = signature.clone();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
    let block = builder.create_block();
    builder.switch_to_block(block);
    let result = builder.ins().iconst(types::I32, 7);
    builder.ins().return_(&[result]);
    builder.seal_all_blocks();
    builder.finalize(module.target_config());
    module.define_function(seven, &mut context).unwrap();
    module.clear_context(&mut context);

    context.func.signature = signature.clone();
    let pointer = module.target_config().pointer_type();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
    let block = builder.create_block();
    builder.switch_to_block(block);
    let at = module.declare_data_in_func(word, builder.func);
    let at = builder.ins().symbol_value(pointer, at);
    let mut sum = builder.ins().load(types::I32, MemFlagsData::new(), at, 0);
    let table = module.declare_data_in_func(pointers, builder.func);
    let table = builder.ins().symbol_value(pointer, table);
    let inner = builder.ins().load(pointer, MemFlagsData::new(), table, 0);
    let inner = builder.ins().load(types::I32, MemFlagsData::new(), inner, 0);
    sum = builder.ins().iadd(sum, inner);
    let host = module.declare_data_in_func(number, builder.func);
    let host = builder.ins().symbol_value(pointer, host);
    let host = builder.ins().load(types::I32, MemFlagsData::new(), host, 0);
    sum = builder.ins().iadd(sum, host);
    let twice = module.declare_func_in_func(twice, builder.func);
    let argument = builder.ins().iconst(types::I32, 21);
    let call = builder.ins().call(twice, &[argument]);
    let result = builder.inst_results(call)[0];
    sum = builder.ins().iadd(sum, result);
    let behind = builder.ins().load(pointer, MemFlagsData::new(), table, 8);
    let signature = builder.import_signature(signature);
    let call = builder.ins().call_indirect(signature, behind, &[]);
    let result = builder.inst_results(call)[0];
    sum = builder.ins().iadd(sum, result);
    builder.ins().return_(&[sum]);
    builder.seal_all_blocks();
    builder.finalize(module.target_config());
    module.define_function(run, &mut context).unwrap();
    module.finish().emit().unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn check(triple: &str, cc: &str, ld: &str, emulator: &[&str]) {
    let here = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !here(cc) || emulator.first().is_some_and(|emulator| !here(emulator)) {
        eprintln!("no {cc} here, or nothing to run its programs: {triple} isn't tested");
        return;
    }
    let folder: PathBuf = std::env::temp_dir().join(format!("artifact-cranelift-{}-{triple}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name);
    // Without is_pic, which is Cranelift's default, ld would relocate code.
    for (is_pic, image) in [("false", "absolute.so"), ("true", "ours.so")] {
        let bytes = object(triple, is_pic);
        std::fs::write(path("made.o"), &bytes).unwrap();
        let linked = link(&[Object { name: "made.o", bytes: &bytes }], &Options::default()).unwrap();
        std::fs::write(path(image), linked).unwrap();
    }
    run(Command::new(ld).args(["-shared", "-Bsymbolic", "-o"]).arg(path("theirs.so")).arg(path("made.o")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../native/driver.c");
    run(Command::new(cc).arg("-rdynamic").arg(source).arg("-o").arg(path("driver")).arg("-ldl"));
    for image in ["absolute.so", "ours.so", "theirs.so"] {
        let mut words: Vec<PathBuf> = emulator.iter().map(PathBuf::from).collect();
        words.extend([path("driver"), path(image)]);
        let said = run(Command::new(&words[0]).args(&words[1..]));
        assert_eq!(said, format!("returned {}\nclosed\n", 5 + 6 + 12 + 42 + 7), "{triple}, {image}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn for_x86_64() {
    check("x86_64-unknown-linux-gnu", "cc", "ld", &[]);
}

#[test]
fn for_aarch64() {
    let emulator = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"];
    check("aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld", &emulator);
}

/// What Cranelift compiles for this machine fits it, under its names of features.
#[test]
fn what_is_compiled_for_this_machine_fits_it() {
    let flags = settings::Flags::new(settings::builder());
    let isa = cranelift_native::builder().unwrap().finish(flags).unwrap();
    let mut engine = Engine::new();
    engine.set_producer("mine").unwrap();
    engine.set_target(&isa.triple().to_string()).unwrap();
    for flag in isa.isa_flags() {
        let value = match flag.kind() {
            SettingKind::Bool => Flag::Bool(flag.as_bool().unwrap()),
            SettingKind::Num => Flag::Num(flag.as_num().unwrap()),
            _ => Flag::Enum(flag.as_enum().unwrap().to_owned()),
        };
        engine.set_flag(FlagMap::Isa, flag.name, value).unwrap();
    }
    let bytes = object(&isa.triple().to_string(), "true");
    let module = link(&[Object { name: "made.o", bytes: &bytes }], &Options::default()).unwrap();
    let mut builder = Builder::new(&engine);
    builder.add_module(&module).unwrap();
    let host = engine.clone_for_host();
    let file = builder.serialize().unwrap();
    let artifact = Artifact::open_bytes(&file, Some(&host), &OpenOptions::default()).unwrap();
    assert!(artifact.report(&host).unwrap().findings.is_empty(), "{:?}", artifact.report(&host));
    assert!(artifact.report_for_host().unwrap().findings.is_empty(), "{:?}", artifact.report_for_host());
    let names = |engine: &Engine| engine.flags(FlagMap::Isa).keys().cloned().collect::<Vec<_>>();
    let on: Vec<String> =
        names(&engine).into_iter().filter(|name| engine.flags(FlagMap::Isa)[name] == Flag::Bool(true)).collect();
    assert!(on.iter().all(|name| names(&host).contains(name)), "{on:?}, {:?}", names(&host));
}

/// The table of features has every name that Cranelift has for one.
#[test]
fn every_name_of_a_feature_is_known() {
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let flags = settings::Flags::new(settings::builder());
        let isa = isa::lookup_by_name(triple).unwrap().finish(flags).unwrap();
        let mut engine = Engine::new();
        engine.set_target(triple).unwrap();
        let names: Vec<_> =
            isa.isa_flags().iter().filter(|flag| flag.as_bool().is_some()).map(|flag| flag.name).collect();
        assert!(names.len() > 5, "{names:?}");
        for name in names {
            engine.set_cpu(name).unwrap_or_else(|error| panic!("{triple}: {error}"));
        }
    }
}
