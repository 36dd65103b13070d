// Results, which only programs without exceptions have.
#include "check.hpp"

using artifact::result;

static_assert(sizeof(result<std::size_t>) <= sizeof(artifact::error) + sizeof(void *));

TEST(cpp_results_hold_a_value_or_an_error) {
    result<artifact::file> good = artifact::file::open(check::fixture("addfib.cwasm"), artifact::inspect);
    CHECK(good && good.has_value() && good->producer() == "wasmtime" && (*good).modules().size() == 1);
    const artifact::file file = *std::move(good);
    CHECK(file.file_len() > 0);

    const result<artifact::file> bad = artifact::file::open("/no such file", artifact::inspect);
    CHECK(!bad && bad.error().status() == artifact::status::io);
    CHECK(std::string(bad.error().what()).find("/no such file") != std::string::npos);
}

TEST(cpp_results_have_a_default) {
    artifact::engine engine;
    CHECK(engine.tunable(artifact::tunable::consume_fuel).value_or(7) == 0);
    CHECK(engine.tunable(static_cast<artifact::tunable>(99)).value_or(7) == 7);
}

TEST(cpp_results_of_nothing) {
    artifact::engine engine;
    const result<void> good = engine.set_producer("tests"), bad = engine.set_producer("");
    CHECK(good && !bad && bad.error().status() == artifact::status::invalid_argument);
}

TEST(cpp_results_of_a_bool_are_not_the_bool) {
    artifact::engine engine;
    const result<bool> threads = engine.feature(artifact::feature::threads);
    CHECK(threads && !*threads);
}

// A make returns its error as any function does.
TEST(cpp_cache_returns_the_error_of_make) {
    artifact::engine engine;
    OK(engine.set_target("x86_64-unknown-linux-gnu"));
    const result<artifact::cache> cache = artifact::cache::open(check::scratch("results").string(), engine);
    artifact::cache_key key;
    OK(key.add("source", "f"));
    const auto make = [](artifact::builder &builder) -> result<void> {
        const result<std::size_t> added = builder.add_module_file("/no such file");
        if (!added) return added.error();
        return {};
    };
    const result<artifact::cache::lookup> made = cache->get_or_make(key, make);
    CHECK(!made && made.error().status() == artifact::status::io &&
          made.error().code() == std::errc::no_such_file_or_directory);
    CHECK(!*cache->get(key));
}
