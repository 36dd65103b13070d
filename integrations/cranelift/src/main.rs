//! Code that Cranelift compiles is kept in a cache: `warm-start-cranelift FOLDER` prints 6 * 7, and how many functions were compiled.
//! Cranelift compiles at the first start; later ones map what is in FOLDER.

use std::cell::Cell;
use std::path::Path;

use artifact::cache::{Cache, CacheOptions, Key};
use artifact::engine::Engine;
use artifact::error::{Error, Result, Status};
use artifact::native::link::{Object, Options};
use artifact::native::load::{LoadOptions, load};
use cranelift_codegen::ir::{AbiParam, InstBuilder, types};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};

/// What the code is made from. All of it is part of the key.
const RECIPE: &[u8] = b"product(i64, i64) -> i64, opt_level speed";

/// Compiles `product` to an object. `is_pic` lets it be mapped anywhere; Cranelift's default does not.
fn compile() -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut flags = settings::builder();
    flags.set("is_pic", "true")?;
    flags.set("opt_level", "speed")?;
    let isa = cranelift_native::builder()?.finish(settings::Flags::new(flags))?;
    let mut module = ObjectModule::new(ObjectBuilder::new(isa, "product", default_libcall_names())?);
    let mut context = module.make_context();
    let word = AbiParam::new(types::I64);
    context.func.signature.params.extend([word, word]);
    context.func.signature.returns.push(word);
    let product = module.declare_function("product", Linkage::Export, &context.func.signature)?;
    let mut scratch = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    let (a, b) = (builder.block_params(block)[0], builder.block_params(block)[1]);
    let result = builder.ins().imul(a, b);
    builder.ins().return_(&[result]);
    builder.seal_all_blocks();
    builder.finalize(module.target_config());
    module.define_function(product, &mut context)?;
    Ok(module.finish().emit()?)
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).expect("usage: warm-start-cranelift FOLDER");
    let host = Engine::host();
    let cache = Cache::open(Path::new(&folder), &host, CacheOptions::default())?;
    let mut key = Key::new();
    key.add("recipe", RECIPE);
    let compiled = Cell::new(0);
    let found = cache.get_or_make(&key, |builder| {
        compiled.set(compiled.get() + 1);
        let object = compile().map_err(|error| Error::new(Status::Internal, error.to_string()))?;
        builder.add_objects(&[Object { name: "product", bytes: &object }], &Options::default()).map(|_| ())
    })?;
    let artifact = found.artifact.expect("what was made");
    // SAFETY: the cache's folder is this user's, so the code is what `compile` made.
    let code = unsafe { load(artifact, &host, LoadOptions::default()) }?;
    // SAFETY: `product` takes and returns words, and does nothing else.
    let product = unsafe { code.call(0, b"product", &[6, 7]) }?;
    println!("6 * 7 = {product}, compiled {}", compiled.get());
    Ok(())
}
