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

// What a make or a visit throws is not changed on its way through the library, and a make that throws is tried again.
TEST(cpp_cache_lets_exceptions_pass) {
    artifact::engine engine;
    engine.set_target("x86_64-unknown-linux-gnu");
    const artifact::file file = artifact::file::open(check::fixture("addfib.cwasm"), artifact::inspect);
    const artifact::cache cache = artifact::cache::open(check::scratch("throws").string(), engine);
    artifact::cache_key key;
    key.add("source", "f");
    int caught = 0;
    try {
        cache.get_or_make(key, [](artifact::builder &) { throw 42; });
    } catch (int thrown) {
        caught = thrown;
    }
    CHECK(caught == 42 && !cache.get(key));
    const artifact::error error =
        FAILS(cache.get_or_make(key, [](artifact::builder &builder) { builder.add_module({}); }));
    CHECK(error.status() == artifact::status::invalid_argument && error.get());
    const auto make = [&](artifact::builder &builder) { builder.add_module(file.main_module().bytes()); };
    CHECK(cache.get_or_make(key, make).outcome == artifact::cache_outcome::made);
    caught = 0;
    try {
        cache.each([](const artifact::cache_entry &) { throw 43; });
    } catch (int thrown) {
        caught = thrown;
    }
    CHECK(caught == 43);
}
