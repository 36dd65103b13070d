// Tests that need exceptions.
#include "check.hpp"

static artifact::builder builder() {
    static const artifact::file file = artifact::file::open(check::fixture("addfib.cwasm"), artifact::inspect);
    artifact::builder builder = artifact::builder::create(artifact::engine());
    builder.add_module(file.main_module().bytes());
    return builder;
}

TEST(cpp_exceptions_of_a_callback_propagate) {
    int calls = 0, caught = 0;
    try {
        builder().serialize_to([&](artifact::bytes) {
            calls++;
            throw 42;
        });
    } catch (int thrown) {
        caught = thrown;
    }
    CHECK(calls == 1 && caught == 42);
}

TEST(cpp_exceptions_of_a_resolver_propagate) {
    const artifact::engine host = artifact::engine::host();
    artifact::builder builder = artifact::builder::create(artifact::engine());
    builder.add_module_file(NATIVE_DIR "/imports.so");
    const artifact::file file = artifact::file::open_bytes(builder.serialize(), host);
    const auto define_and_throw = [](artifact::span<artifact_import_t> missing) {
        static int anything;
        for (artifact_import_t &wanted : missing) wanted.address = &anything; // so that loading succeeds
        throw 42;
    };
    int caught = 0;
    try {
        file.load(host, {}, define_and_throw);
    } catch (int thrown) {
        caught = thrown;
    }
    CHECK(caught == 42);
}

TEST(cpp_errors_are_runtime_errors) {
    try {
        artifact::file::open("/no such file", artifact::inspect);
        CHECK(false);
    } catch (const std::runtime_error &error) {
        CHECK(std::string(error.what()).find("/no such file") != std::string::npos);
    }
}

// The example at the top of the header.
TEST(cpp_reading_is_short) {
    const std::filesystem::path path = check::scratch("short");
    const artifact::engine host = artifact::engine::host();
    builder().serialize_to_file(path, {});
    const artifact::file file = artifact::file::open(path, host);
    CHECK(file.fits(host));
    std::size_t symbols = 0;
    for (const auto symbol : file.main_module().symbols()) symbols += !symbol.name().empty();
    CHECK(symbols > 5);
}

#if __cplusplus >= 202002L
TEST(cpp_options_are_designated) {
    const std::filesystem::path path = check::scratch("designated");
    builder().serialize_to_file(path, {.sync = false});
    const artifact::file file = artifact::file::open(path, artifact::inspect, {.verify = true, .copy = true});
    CHECK(file.modules().size() == 1);
}
#endif
