// Pairs of functions, in C and with artifact.hpp. `cost` compares their machine code.
#include <artifact.hpp>

static void must(artifact_status_t status, artifact_error_t *error) {
    if (status != ARTIFACT_OK) artifact::detail::fail(error);
}

extern "C" {

std::size_t c_section(artifact_t *const &file) {
    const std::size_t index = artifact_main_module(file);
    artifact_error_t *error;
    artifact_module_t module;
    must(artifact_module(file, index, &module, &error), error);
    artifact_section_t section;
    must(artifact_section(file, index, ".text", &section, &error), error);
    return section.bytes.len;
}
std::size_t cpp_section(const artifact::file &file) { return file.main_module().section(".text").bytes().size(); }

std::uint64_t c_symbols(artifact_t *const &file) {
    std::uint64_t sum = 0;
    std::size_t count;
    artifact_error_t *error;
    artifact_module_t module;
    must(artifact_module(file, 0, &module, &error), error);
    must(artifact_symbol_count(file, 0, &count, &error), error);
    for (std::size_t i = 0; i < count; i++) {
        artifact_symbol_t symbol;
        must(artifact_symbol_at(file, 0, i, &symbol, &error), error);
        sum += symbol.size;
    }
    return sum;
}
std::uint64_t cpp_symbols(const artifact::file &file) {
    std::uint64_t sum = 0;
    for (const auto symbol : file.module(0).symbols()) sum += symbol.size();
    return sum;
}

bool c_fits(artifact_t *const &file, artifact_engine_t *const &engine) {
    return artifact_check_compat(file, engine, nullptr) == ARTIFACT_OK;
}
bool cpp_fits(const artifact::file &file, const artifact::engine &engine) { return file.fits(engine); }

artifact_t *c_open(const char *path, artifact_engine_t *const &engine) {
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_COPY;
    artifact_t *file;
    artifact_error_t *error;
    must(artifact_open_file(path, engine, &options, &file, &error), error);
    return file;
}
artifact_t *cpp_open(const char *path, const artifact::engine &engine) {
    artifact::open_options options;
    options.copy = true;
    return artifact::file::open(path, engine, options).release();
}

void c_engine() {
    artifact_engine_t *engine = artifact_engine_new();
    artifact_error_t *error;
    must(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "avx2", true, &error), error);
    artifact_engine_free(engine);
}
void cpp_engine() {
    artifact::engine engine;
    engine.set_flag(artifact::flag_map::isa, "avx2", true);
}
}
