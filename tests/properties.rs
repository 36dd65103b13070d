//! Properties of every artifact: reading returns what was written, the layout is the documented one, and damage causes nothing but
//! errors.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::{Builder, Settings};
use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::error::Status;
use artifact::format::Map;
use artifact::format::flags::{Features, Flag, SettingValue, Tunables};
use artifact::format::types::{
    EntityType, FuncType, Global, GlobalInit, InstanceType, Memory, Table, Tag, Types, WasmType,
};
use artifact::format::upvars::Upvars;
use artifact::report::{Finding, Kind};
use common::elf::Shape;
use proptest::prelude::*;

fn open(bytes: &[u8], engine: Option<&Engine>) -> artifact::error::Result<Artifact> {
    Artifact::open_bytes(bytes, engine, &OpenOptions::default())
}

fn flag() -> impl Strategy<Value = Flag<String>> {
    prop_oneof![".{0,12}".prop_map(Flag::Enum), any::<u8>().prop_map(Flag::Num), any::<bool>().prop_map(Flag::Bool)]
}

fn flags() -> impl Strategy<Value = Vec<(String, Flag<String>)>> {
    prop::collection::vec((".{1,12}", flag()), 0..12)
}

fn tunables() -> impl Strategy<Value = Tunables> {
    any::<[u64; Tunables::SETTINGS.len()]>().prop_map(|numbers| {
        let mut tunables = Tunables::default();
        for (index, (number, value)) in numbers.into_iter().zip(tunables.values()).enumerate() {
            let switch = matches!(value, SettingValue::Switch(_));
            tunables.set(index, if switch { number & 1 } else { number }).unwrap();
        }
        tunables
    })
}

fn features() -> impl Strategy<Value = Features> {
    any::<[bool; Features::SETTINGS.len()]>().prop_map(|switches| {
        let mut features = Features::default();
        for (index, on) in switches.into_iter().enumerate() {
            features.set(index, on.into()).unwrap();
        }
        features
    })
}

fn version() -> impl Strategy<Value = VersionRule> {
    prop_oneof![Just(VersionRule::Library), ".{0,60}".prop_map(VersionRule::Custom), Just(VersionRule::None)]
}

fn engine() -> impl Strategy<Value = Engine> {
    let producer = prop_oneof![Just("wasmtime".to_owned()), Just("artifact".to_owned()), "[a-z0-9._]{1,32}"];
    (producer, version(), flags(), flags(), tunables(), features()).prop_map(
        |(producer, version, shared, isa, tunables, features)| {
            let mut engine = Engine::new();
            engine.set_producer(&producer).unwrap();
            engine.set_version_rule(version).unwrap();
            for (map, flags) in [(FlagMap::Shared, shared), (FlagMap::Isa, isa)] {
                for (name, value) in flags {
                    engine.set_flag(map, &name, value).unwrap();
                }
            }
            (engine.tunables, engine.features) = (tunables, features);
            engine
        },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    let segment = prop::option::of((0..18u32).prop_map(|power| 1 << power));
    let content = prop::collection::vec(any::<u8>(), 0..100);
    ((any::<bool>(), any::<bool>(), any::<bool>()), 0..22u32, 0..40usize, segment, content).prop_map(
        |((big_endian, headers_first, extended), power, trailing, segment, text)| Shape {
            big_endian,
            machine: 62,
            text,
            align: 1 << power,
            headers_first,
            trailing,
            extended,
            segment,
        },
    )
}

fn wasm_type() -> impl Strategy<Value = WasmType> {
    use WasmType::*;
    prop::sample::select(vec![I32, I64, F32, F64, V128, FuncRef, ExternRef, ExnRef])
}

/// Generates entities whose type index is 0, since there is one type of each kind.
fn entity() -> impl Strategy<Value = EntityType> {
    let init = prop_oneof![
        any::<i32>().prop_map(GlobalInit::I32Const),
        any::<i64>().prop_map(GlobalInit::I64Const),
        any::<u32>().prop_map(GlobalInit::F32Const),
        any::<u64>().prop_map(GlobalInit::F64Const),
        any::<u128>().prop_map(|bits| GlobalInit::V128Const(bits.into())),
        any::<u32>().prop_map(GlobalInit::GetGlobal),
        Just(GlobalInit::RefNullConst),
        any::<u32>().prop_map(GlobalInit::RefFunc),
        Just(GlobalInit::Import),
    ];
    prop_oneof![
        (wasm_type(), any::<bool>(), init).prop_map(|(wasm_ty, mutability, initializer)| {
            EntityType::Global(Global { wasm_ty, mutability, initializer })
        }),
        (any::<u64>(), any::<Option<u64>>(), any::<bool>(), any::<bool>()).prop_map(
            |(minimum, maximum, shared, memory64)| EntityType::Memory(Memory { minimum, maximum, shared, memory64 })
        ),
        (wasm_type(), any::<u32>(), any::<Option<u32>>())
            .prop_map(|(wasm_ty, minimum, maximum)| EntityType::Table(Table { wasm_ty, minimum, maximum })),
        Just(EntityType::Tag(Tag { ty: 0 })),
        Just(EntityType::Function(0)),
        Just(EntityType::Instance(0)),
        Just(EntityType::Module(0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn reading_returns_what_was_written(
        engine in engine(),
        shapes in prop::collection::vec(shape(), 1..4),
        signatures in prop::collection::vec(
            (prop::collection::vec(wasm_type(), 0..5), prop::collection::vec(wasm_type(), 0..5)), 1..4),
        imports in prop::collection::btree_map(".{0,8}", entity(), 0..6),
        exports in prop::collection::btree_map(".{0,8}", entity(), 0..6),
        parents in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        sealed in prop::option::of(
            prop::collection::btree_map(".{0,8}", prop::collection::vec(any::<u8>(), 0..20), 0..4)),
    ) {
        let (trailer, attributes) = (sealed.is_some(), sealed.unwrap_or_default());
        let images: Vec<_> = shapes.iter().map(Shape::image).collect();
        let mut builder = Builder::new(&engine);
        builder.set_trailer(trailer).unwrap();
        for (name, value) in &attributes {
            builder.set_attribute(name, value).unwrap();
        }
        for image in &images {
            builder.add_module(image).unwrap();
        }
        for (params, returns) in &signatures {
            builder.add_func_type(params.clone(), returns.clone()).unwrap();
        }
        builder.add_instance_type().unwrap();
        builder.add_module_type(0).unwrap();
        for (name, entity) in &imports {
            builder.add_module_import(0, name, *entity).unwrap();
        }
        for (name, entity) in &exports {
            builder.add_instance_export(0, name, *entity).unwrap();
        }
        let modules = images.len() as u64;
        for (at, parent) in parents.iter().enumerate() {
            let parent = if at == 0 || parent.index(3) == 0 { None } else { Some(parent.index(at) as u32) };
            builder.add_upvar(parent, at as u64 % modules, &vec![at as u64 % modules; at]).unwrap();
        }
        let bytes = builder.serialize().unwrap();
        prop_assert!(builder.serialize().unwrap() == bytes, "deterministic");

        let artifact = open(&bytes, Some(&engine)).unwrap();
        // The target is little-endian, so the only mismatches and oddities are big-endian images.
        let odd = shapes.iter().filter(|shape| shape.big_endian).count();
        let mismatches = artifact.report(&engine).unwrap().findings;
        let all_are = |findings: &[Finding], kind| findings.len() == odd && findings.iter().all(|odd| odd.kind == kind);
        prop_assert!(all_are(&mismatches, Kind::ModuleMachine), "{:?}", mismatches);
        prop_assert_eq!(artifact.check(&engine).is_ok(), odd == 0);
        let oddities = artifact.verify().unwrap().findings;
        prop_assert!(all_are(&oddities, Kind::Machine), "{:?}", oddities);
        prop_assert_eq!(artifact.trailer().is_some(), trailer);
        let body = bytes[..artifact.body_end() as usize].to_vec();
        let found: Vec<_> = artifact.attributes().unwrap().iter().map(|at| (at.name.to_owned(), at.value.to_vec())).collect();
        prop_assert_eq!(found, attributes.clone().into_iter().collect::<Vec<_>>());
        prop_assert_eq!(artifact.producer(), engine.producer());
        prop_assert_eq!(artifact.version(), engine.version().as_bytes());

        let metadata = artifact.metadata().unwrap();
        prop_assert_eq!(metadata.target, engine.target());
        for (map, flags) in [(FlagMap::Shared, &metadata.shared_flags), (FlagMap::Isa, &metadata.isa_flags)] {
            let expected: Vec<_> = engine.flags(map).iter().map(|(name, flag)| (name.as_str(), flag.borrowed())).collect();
            prop_assert_eq!(flags.sorted(), expected);
        }
        prop_assert_eq!(metadata.tunables, engine.tunables);
        prop_assert_eq!(metadata.features, engine.features);
        let expected: Vec<_> = signatures.iter().map(|(p, r)| FuncType::new(p.clone(), r.clone())).collect();
        prop_assert_eq!(&metadata.types.wasm_signatures, &expected);
        let named = |map: &artifact::format::Map<&str, EntityType>| {
            map.0.iter().map(|(name, entity)| ((*name).to_owned(), *entity)).collect::<Vec<_>>()
        };
        prop_assert_eq!(named(&metadata.types.module_signatures[0].imports), imports.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(named(&metadata.types.instance_signatures[0].exports), exports.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(metadata.upvars.nodes().len(), parents.len());

        let mut encoded = Vec::new();
        metadata.fields().encode(&mut encoded).unwrap();
        prop_assert!(encoded == body[artifact.metadata_offset() as usize..]);

        let mut previous_end = None;
        for (index, (image, shape)) in images.iter().zip(&shapes).enumerate() {
            let place = artifact.module_range(index).unwrap();
            let stored = artifact.module_bytes(index).unwrap();
            let align = shape.align.max(shape.segment.map_or(1, |align| align.min(65536)));
            let offset = previous_end.map_or(0, |end: u64| (end + 8).next_multiple_of(align));
            prop_assert_eq!(place.offset, offset);
            previous_end = Some(place.end());
            // Only e_shoff may differ from the original image.
            prop_assert!(stored[..40] == image[..40] && stored[48..image.len()] == image[48..]);
            let moved = shape.headers_first || shape.trailing > 0;
            prop_assert_eq!(stored.len() > image.len(), moved);
            let view = artifact.module(index).unwrap();
            let text = view.section_named(b".text").unwrap();
            prop_assert_eq!(text.bytes(stored).unwrap(), shape.text.as_slice());
            prop_assert_eq!(view.align().unwrap(), align);
        }

        let mut copy = Builder::from_artifact(Arc::new(artifact)).unwrap();
        copy.set_trailer(trailer).unwrap();
        prop_assert!(copy.serialize().unwrap() == bytes);
    }

    #[test]
    fn random_bytes_only_cause_errors(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&bytes, None).is_err());
        let mut elf = Shape::default().image();
        elf.extend(&bytes);
        // The bytes will not be a terminator and a HEADER by chance.
        prop_assert!(open(&elf, None).is_err());
        elf.truncate(elf.len() - bytes.len());
        elf.extend([0xff; 8]);
        elf.extend(b"\0artifact-aot\x011");
        elf.extend(&bytes);
        let _ = open(&elf, None).map(|artifact| artifact.verify());
    }

    #[test]
    fn damaged_artifacts_only_cause_errors(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let artifacts = common::artifacts();
        let mut bytes = artifacts.values().nth(which.index(artifacts.len())).unwrap().clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(artifact) = open(&bytes, None) {
            let _ = artifact.verify();
            let _ = artifact.check(&Engine::wasmtime());
            for module in 0..artifact.module_count() {
                let Ok(view) = artifact.module(module) else { continue };
                let _ = view.align();
                for section in 0..view.section_count() {
                    let _ = view.section(section).map(|found| found.bytes(artifact.module_bytes(module).unwrap()).map(<[u8]>::len));
                }
                if let Ok(symbols) = view.symbols() {
                    (0..symbols.count()).for_each(|symbol| drop(symbols.get(symbol)));
                }
            }
        }
    }
}

#[test]
fn every_truncation_is_detected() {
    let engine = Engine::host();
    let (bytes, first) = two_modules(&engine);
    let body_end = open(&bytes, None).unwrap().body_end() as usize;
    for cut in 0..bytes.len() {
        for engine in [None, Some(&engine)] {
            let opened = open(&bytes[..cut], engine);
            // A file cut within the padding and magic before the trailer looks like one without a trailer. verify reports the rest.
            if (body_end..body_end.next_multiple_of(8) + 8).contains(&cut) {
                assert_eq!(opened.unwrap().verify().unwrap().findings.len(), usize::from(cut > body_end));
                continue;
            }
            let is_foreign = cut < 4 || cut == first;
            let expected = if is_foreign { Status::NotAnArtifact } else { Status::Truncated };
            assert_eq!(opened.unwrap_err().status(), expected, "cut at {cut} of {}", bytes.len());
        }
    }
}

/// Returns an artifact with a trailer, and the length of its first module.
fn two_modules(engine: &Engine) -> (Vec<u8>, usize) {
    let first = Shape::default().image();
    let second = Shape { align: 64, ..Shape::default() }.image();
    let mut builder = Builder::new(engine);
    builder.add_module(&first).unwrap();
    builder.add_module(&second).unwrap();
    builder.set_attribute("source", b"sha256 of it").unwrap();
    builder.set_attribute("empty", b"").unwrap();
    (builder.serialize().unwrap(), first.len())
}

#[test]
fn every_flipped_bit_is_detected() {
    let (whole, _) = two_modules(&Engine::host());
    open(&whole, None).unwrap().verify().unwrap();
    let mut options = OpenOptions::default();
    options.verify = true;
    let mut bytes = whole.clone();
    for at in 0..whole.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let found = Artifact::open_bytes(&bytes, None, &options);
            assert!(found.is_err(), "bit {bit} of byte {at} of {}", whole.len());
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn the_number_of_findings_is_limited() {
    let mut engine = Engine::new();
    for number in 0..5000 {
        engine.set_flag(FlagMap::Shared, &number.to_string(), Flag::Bool(true)).unwrap();
    }
    let image = Shape::default().image();
    let mut builder = Builder::new(&engine);
    builder.add_module(&image).unwrap();
    let artifact = open(&builder.serialize().unwrap(), None).unwrap();
    assert_eq!(artifact.report(&Engine::new()).unwrap_err().status(), Status::Limit);
    assert_eq!(artifact.check(&Engine::new()).unwrap_err().status(), Status::Incompatible);
}

#[test]
fn an_excessive_number_of_signatures_is_corrupt() {
    let (mut bytes, _) = two_modules(&Engine::host());
    let count = bytes.len() - 48;
    bytes[count..count + 4].fill(0xff);
    let error = open(&bytes, None).unwrap_err();
    assert_eq!(error.status(), Status::Corrupt);
    assert!(error.message().contains("at most 64 signatures"), "{error}");
}

#[test]
fn a_damaged_body_is_not_rewritten_with_new_digests() {
    let (mut bytes, _) = two_modules(&Engine::host());
    bytes[70] ^= 1;
    let builder = Builder::from_artifact(Arc::new(open(&bytes, None).unwrap())).unwrap();
    assert_eq!(builder.serialize().unwrap_err().status(), Status::DigestMismatch);
}

#[test]
fn bytes_before_or_after_a_trailer_are_detected() {
    let (whole, _) = two_modules(&Engine::host());
    let longer = [&whole[..], b"x"].concat();
    assert_eq!(open(&longer, None).unwrap_err().status(), Status::Truncated);
    let twice = [&whole[..], &whole[..]].concat();
    assert_eq!(open(&twice, None).unwrap_err().status(), Status::Corrupt);
}

#[test]
fn flipped_bits_in_header_and_metadata_only_cause_errors() {
    for name in ["addfib", "ml_types", "ml_upvars1"] {
        let whole = &common::artifacts()[name];
        let header = open(whole, None).unwrap().header_offset() as usize;
        let mut bytes = whole.clone();
        for at in header - 8..whole.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                if let Ok(artifact) = open(&bytes, None) {
                    let _ = artifact.check(&Engine::wasmtime());
                    let _ = artifact.verify();
                }
                bytes[at] ^= 1 << bit;
            }
        }
        assert!(bytes == *whole);
    }
}

#[test]
fn settings_types_and_upvars_are_checked_when_they_are_set() {
    let elf = Shape::default().image();
    let engine = Engine::new();
    let is_argument = |result: artifact::error::Result<()>| {
        assert_eq!(result.unwrap_err().status(), Status::InvalidArgument);
    };
    let refused = |change: fn(&mut Settings)| {
        let mut settings = Settings::from(&Engine::new());
        change(&mut settings);
        is_argument(Builder::from_settings(settings).map(|_| ()));
    };
    refused(|settings| settings.producer = "Not this".into());
    refused(|settings| settings.version = vec![b'x'; 256]);

    let mut builder = Builder::from_settings(Settings::from(&engine)).unwrap();
    builder.add_module(&elf).unwrap();
    let before = builder.serialize().unwrap();
    let mut plain = Builder::new(&engine);
    plain.add_module(&elf).unwrap();
    assert!(
        before == plain.serialize().unwrap(),
        "a builder from an engine's settings equals a builder from the engine"
    );

    let exports = |entities: &[(&str, EntityType)]| {
        let mut types = Types::default();
        let exports = Map(entities.iter().map(|(name, entity)| ((*name).to_owned(), *entity)).collect());
        types.instance_signatures.push(InstanceType { exports });
        types
    };
    let mut far = Upvars::default();
    far.add(None, 0, &[1]).unwrap();
    is_argument(builder.set_types(exports(&[("a", EntityType::Function(0))])));
    is_argument(builder.set_upvars(far.clone()));
    assert!(builder.serialize().unwrap() == before, "a rejected call changes nothing");

    // set_types keeps duplicate names, but add_instance_export adds no further duplicate.
    let twice = exports(&[("a", EntityType::Instance(0)), ("a", EntityType::Instance(0))]);
    builder.set_types(twice.clone()).unwrap();
    is_argument(builder.add_instance_export(0, "a", EntityType::Instance(0)));
    builder.add_instance_export(0, "b", EntityType::Instance(0)).unwrap();
    builder.add_module(&elf).unwrap();
    builder.set_upvars(far.clone()).unwrap();
    let artifact = open(&builder.serialize().unwrap(), None).unwrap();
    let metadata = artifact.metadata().unwrap();
    let names: Vec<&str> = metadata.types.instance_signatures[0].exports.0.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["a", "a", "b"]);
    assert_eq!(metadata.upvars, far);
    // set_types replaces all previous types.
    builder.set_types(exports(&[])).unwrap();
    builder.add_instance_export(0, "a", EntityType::Instance(0)).unwrap();

    let mut copy = Builder::from_artifact(Arc::new(artifact)).unwrap();
    is_argument(copy.set_types(twice));
    is_argument(copy.set_upvars(far));
}
