/*
 * For programs that keep LLJIT: object_cache FOLDER prints fib(90), and how often LLVM compiled. An llvm::ObjectCache
 * over the cache saves compiling; LLVM still starts, and links the object each time. warm_start.cpp saves that, too.
 */
#include "program.hpp"

#include <artifact.hpp>
#include <iostream>
#include <llvm/ExecutionEngine/ObjectCache.h>
#include <llvm/ExecutionEngine/Orc/CompileUtils.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/IRReader/IRReader.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/TargetSelect.h>
#include <string>

namespace {

/* Keeps objects as LLVM compiled them: each is an attribute of an artifact. */
class ArtifactCache : public llvm::ObjectCache {
  public:
    ArtifactCache(const char *folder, const artifact::engine &host)
        : engine(host.clone()), cache(artifact::cache::open(folder, host)) {}

    int compiled = 0;

    void notifyObjectCompiled(const llvm::Module *module, llvm::MemoryBufferRef object) override {
        compiled++;
        const auto *data = reinterpret_cast<const std::uint8_t *>(object.getBufferStart());
        artifact::builder builder = artifact::builder::create(engine);
        const artifact_object_t objects[] = {{"object", data, object.getBufferSize()}};
        builder.add_objects(objects);
        builder.set_attribute("object", artifact::bytes(data, object.getBufferSize()));
        cache.put(key_of(*module), builder);
    }

    std::unique_ptr<llvm::MemoryBuffer> getObject(const llvm::Module *module) override {
        const auto found = cache.get(key_of(*module));
        if (!found) return nullptr;
        const artifact::bytes object = found.artifact.attribute("object");
        const llvm::StringRef bytes(reinterpret_cast<const char *>(object.data()), object.size());
        return llvm::MemoryBuffer::getMemBufferCopy(bytes);
    }

  private:
    /* The IR is what is compiled. With other options of the compiler, add them. */
    static artifact::cache_key key_of(const llvm::Module &module) {
        std::string text;
        llvm::raw_string_ostream out(text);
        module.print(out, nullptr);
        artifact::cache_key key;
        key.add("IR", out.str());
        return key;
    }

    artifact::engine engine;
    artifact::cache cache;
};

const llvm::ExitOnError must("object_cache: ");

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    ArtifactCache cache(argv[1], artifact::engine::host());
    const auto compiler = [&](llvm::orc::JITTargetMachineBuilder machine)
        -> llvm::Expected<std::unique_ptr<llvm::orc::IRCompileLayer::IRCompiler>> {
        machine.setRelocationModel(llvm::Reloc::PIC_).setCodeModel(llvm::CodeModel::Small);
        return std::make_unique<llvm::orc::ConcurrentIRCompiler>(std::move(machine), &cache);
    };
    const auto jit = must(llvm::orc::LLJITBuilder().setCompileFunctionCreator(compiler).create());
    auto context = std::make_unique<llvm::LLVMContext>();
    llvm::SMDiagnostic diagnostic;
    auto module =
        llvm::parseIR(llvm::MemoryBufferRef({program.data(), program.size()}, "program"), diagnostic, *context);
    if (!module) return 1;
    must(jit->addIRModule(llvm::orc::ThreadSafeModule(std::move(module), std::move(context))));
    const auto fib = reinterpret_cast<std::int64_t (*)(std::int64_t)>(must(jit->lookup("fib")).getAddress());
    std::cout << "fib(90) = " << fib(90) << ", compiled " << cache.compiled << '\n';
    return 0;
}
