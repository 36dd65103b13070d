/* Compiles IR to an object. A plug-in: only a program that has to compile loads it, and LLVM with it. */
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/IRReader/IRReader.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/Host.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <string>

/* Returns an object, valid until the next call; an empty one if the IR cannot be compiled. */
extern "C" const std::string &compile_ir(const char *ir, std::size_t len) {
    static std::string object;
    object.clear();
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::LLVMContext context;
    llvm::SMDiagnostic diagnostic;
    const auto module = llvm::parseIR(llvm::MemoryBufferRef({ir, len}, "program"), diagnostic, context);
    std::string error;
    const std::string triple = llvm::sys::getDefaultTargetTriple();
    const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
    if (!module || !target) return object;
    /* The host's features, which the cache's engine has too. Position-independent: the code is mapped anywhere. */
    std::string features;
    llvm::StringMap<bool> found;
    llvm::sys::getHostCPUFeatures(found);
    for (const auto &feature : found) features += (feature.second ? "+" : "-") + feature.first().str() + ",";
    const std::unique_ptr<llvm::TargetMachine> machine(
        target->createTargetMachine(triple, llvm::sys::getHostCPUName(), features, {}, llvm::Reloc::PIC_,
                                    llvm::CodeModel::Small, llvm::CodeGenOpt::Default));
    module->setTargetTriple(triple);
    module->setDataLayout(machine->createDataLayout());
    llvm::SmallVector<char, 0> bytes;
    llvm::raw_svector_ostream out(bytes);
    llvm::legacy::PassManager passes;
    if (machine->addPassesToEmitFile(passes, out, nullptr, llvm::CGFT_ObjectFile)) return object;
    passes.run(*module);
    return object.assign(bytes.begin(), bytes.end());
}
