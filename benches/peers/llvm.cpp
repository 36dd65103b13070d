/*
 * The peers of LLVM: `llvm llvm-jitlink|llvm-mcjit FOLDER FUNCTIONS ROUNDS` prints how long it takes from a compiled
 * object to its first call, in nanoseconds, a line for each round.
 *
 * Both keep the object that the compiler made, as an ObjectCache does, and link it each time. LLJIT is used as its
 * documentation says: one session for the process, a library for each object, and JITLink with the plugin that
 * registers unwind tables.
 */
#include <llvm/ExecutionEngine/ExecutionEngine.h>
#include <llvm/ExecutionEngine/MCJIT.h>
#include <llvm/ExecutionEngine/Orc/EPCEHFrameRegistrar.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/TargetSelect.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

using namespace llvm;
using namespace llvm::orc;

namespace {

std::string path;
int functions;

const ExitOnError must("llvm: ");

std::unique_ptr<MemoryBuffer> object() {
    auto buffer = MemoryBuffer::getFile(path);
    if (!buffer) std::perror(path.c_str()), std::exit(1);
    return std::move(*buffer);
}

void call(uint64_t address) {
    auto *function = reinterpret_cast<int (*)(int)>(address);
    if (function(7) != 7 * (7 % functions) + 3) std::abort();
}

std::unique_ptr<LLJIT> make_lljit() {
    auto layer = [](ExecutionSession &session, const Triple &) -> Expected<std::unique_ptr<ObjectLayer>> {
        auto made = std::make_unique<ObjectLinkingLayer>(session);
        made->addPlugin(
            std::make_unique<EHFrameRegistrationPlugin>(session, must(EPCEHFrameRegistrar::Create(session))));
        return made;
    };
    return must(LLJITBuilder().setObjectLinkingLayerCreator(layer).create());
}

void run_lljit(LLJIT &jit, int round) {
    JITDylib &library = must(jit.createJITDylib("round" + std::to_string(round)));
    must(jit.addObjectFile(library, object()));
    call(must(jit.lookup(library, "call_many")).getAddress());
    must(jit.getExecutionSession().removeJITDylib(library));
}

void run_mcjit() {
    LLVMContext context;
    std::string error;
    std::unique_ptr<ExecutionEngine> engine(EngineBuilder(std::make_unique<Module>("peer", context))
                                                .setErrorStr(&error)
                                                .setEngineKind(EngineKind::JIT)
                                                .create());
    if (!engine) errs() << error << '\n', std::exit(1);
    auto file = object();
    auto parsed = must(object::ObjectFile::createObjectFile(file->getMemBufferRef()));
    engine->addObjectFile(object::OwningBinary<object::ObjectFile>(std::move(parsed), std::move(file)));
    engine->finalizeObject();
    call(engine->getFunctionAddress("call_many"));
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    const std::string peer = argv[1];
    functions = std::atoi(argv[3]);
    path = std::string(argv[2]) + "/f" + argv[3] + ".o";
    const int rounds = std::atoi(argv[4]);
    std::string text;
    auto start = std::chrono::steady_clock::now();
    InitializeNativeTarget();
    InitializeNativeTargetAsmPrinter();
    std::unique_ptr<LLJIT> jit;
    if (peer == "llvm-jitlink") jit = make_lljit();
    for (int round = 0; round < rounds; round++) {
        if (jit)
            run_lljit(*jit, round);
        else
            run_mcjit();
        const auto now = std::chrono::steady_clock::now();
        text += std::to_string(std::chrono::nanoseconds(now - start).count()) + "\n";
        start = std::chrono::steady_clock::now();
    }
    std::fputs(text.c_str(), stdout);
    return 0;
}
