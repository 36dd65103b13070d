// artifact.hpp: the cache agrees with the C interface.
#include "support.hpp"

#include <cstring>

using outcome_t = artifact::cache_outcome;

static_assert(sizeof(artifact::cache) == sizeof(void *) && sizeof(artifact::cache_key) == sizeof(void *));
static_assert(std::is_nothrow_move_constructible_v<artifact::cache> && !std::is_copy_constructible_v<artifact::cache>);

static artifact::cache_key key_of(std::string_view source) {
    artifact::cache_key key;
    OK(key.add("source", source));
    return key;
}

static void fill(artifact::builder &builder) {
    static const artifact::file file = genuine("addfib.cwasm");
    OK(builder.add_module(OK(file.main_module()).bytes()));
}

/// Returns a folder that no other test uses.
static std::string folder(const char *name) { return scratch(name).string(); }

TEST(cpp_cache_keys) {
    artifact::cache_key key = key_of("f"), same;
    OK(same.add("source", artifact::bytes_of("f"s)));
    CHECK(OK(key.digest()) == OK(same.digest()));
    OK(same.add("options", ""));
    CHECK(OK(key.digest()) != OK(same.digest()));
    std::uint8_t digest[32];
    CHECK(artifact_cache_key_digest(key.get(), digest, nullptr) == ARTIFACT_OK);
    CHECK(std::memcmp(digest, OK(key.digest()).data(), 32) == 0);
    artifact::cache_key moved = std::move(key);
    CHECK(FAILS(key.add("x", "y")).status() == artifact::status::invalid_argument && moved);
}

TEST(cpp_cache_makes_once) {
    const artifact::engine engine = plain_engine();
    const artifact::cache cache = OK(artifact::cache::open(folder("makes"), engine));
    CHECK(!cache.trouble());
    int calls = 0;
    const auto make = [&](artifact::builder &builder) {
        calls++;
        fill(builder);
    };
    const artifact::cache_key key = key_of("f");
    CHECK(!OK(cache.get(key)) && OK(cache.get(key)).outcome == outcome_t::absent);
    const artifact::cache::lookup made = OK(cache.get_or_make(key, make));
    CHECK(made && made.outcome == outcome_t::made && made.artifact.fits(engine));
    const artifact::cache::lookup found = OK(cache.get_or_make(key, make));
    CHECK(found.outcome == outcome_t::hit && calls == 1 && found.artifact.get() != made.artifact.get());
    CHECK(OK(cache.get(key)).outcome == outcome_t::hit);
    CHECK(cache.count(outcome_t::hit) == 2 && cache.count(outcome_t::made) == 1);
    CHECK(artifact::cache_outcome_name(outcome_t::hit) == "ARTIFACT_CACHE_HIT");
}

TEST(cpp_cache_stores_and_removes) {
    const artifact::engine engine = plain_engine();
    const artifact::cache cache = OK(artifact::cache::open(folder("stores"), engine));
    const artifact::cache_key key = key_of("f");
    CHECK(OK(cache.put(key, plain_builder(engine))).outcome == outcome_t::stored);
    CHECK(OK(cache.put(key_of("g"), plain_builder(engine))).outcome == outcome_t::stored);
    const artifact::cache_stats stats = OK(cache.stats());
    CHECK(stats.entries == 2 && stats.bytes % 4096 == 0 && stats.bytes > 0);
    std::uint64_t bytes = 0;
    int found = 0;
    OK(cache.each([&](const artifact::cache_entry &entry) {
        bytes += entry.size;
        found += same(entry.key, OK(key.digest()));
        CHECK(std::filesystem::is_regular_file(entry.path) && entry.target.size() == 8 && entry.used > 1000000000);
    }));
    CHECK(bytes == stats.bytes && found == 1);
    int calls = 0;
    OK(cache.each([&](const artifact::cache_entry &) { return ++calls < 1; }));
    CHECK(calls == 1);
    CHECK(OK(cache.trim()) == 0);

    const std::string pack = folder("product.pack");
    OK(cache.export_to(pack));
    const char *const layers[] = {pack.c_str()};
    artifact::cache_options options;
    options.read_only = true;
    options.layers = layers;
    const artifact::cache shipped = OK(artifact::cache::open(folder("missing"), engine, options));
    CHECK(OK(shipped.get(key)).outcome == outcome_t::hit);

    OK(cache.remove(key));
    OK(cache.remove(key));
    CHECK(OK(cache.get(key)).outcome == outcome_t::absent && OK(cache.stats()).entries == 1);
    CHECK(FAILS(shipped.remove(key)).status() == artifact::status::invalid_argument);
}

TEST(cpp_cache_reports_events) {
    std::string seen;
    const auto report = [&](const artifact::cache_event &event) {
        CHECK(!event.path.empty());
        seen += std::string(artifact::cache_outcome_name(event.outcome).substr(15)) + (event.why.empty() ? " " : "! ");
    };
    artifact::engine engine = plain_engine();
    artifact::cache_options options;
    options.report_to(report).sync = false;
    const artifact::cache_key key = key_of("f");
    const std::string path = folder("events");
    {
        const artifact::cache cache = OK(artifact::cache::open(path, engine, options));
        OK(cache.get_or_make(key, fill));
        OK(cache.each([](const artifact::cache_entry &entry) { std::ofstream(std::string(entry.path)) << "x"; }));
        OK(cache.get_or_make(key, fill));
        OK(cache.remove(key));
    }
    CHECK(seen == "ABSENT MADE DAMAGED! MADE REMOVED ");

    // Nothing can be signed: it is not stored.
    bool asked = false;
    const auto sign = [&](artifact::bytes message) -> std::optional<artifact::cache_signature> {
        asked = message.size() == artifact::signature_context.size() + 256;
        return std::nullopt;
    };
    const artifact::key trusted = OK(artifact::key::generate());
    OK(engine.trust_key(OK(OK(trusted.public_key()).to_pem()).text().data()));
    options.sign_with(sign);
    seen.clear();
    const artifact::cache cache = OK(artifact::cache::open(path, engine, options));
    CHECK(OK(cache.get_or_make(key, fill)).outcome == outcome_t::not_stored && asked);
    CHECK(seen == "ABSENT NOT_STORED! ");
    options.sign = nullptr;
    options.signing_key = &trusted;
    const artifact::cache signing = OK(artifact::cache::open(path, engine, options));
    CHECK(OK(signing.get_or_make(key, fill)).outcome == outcome_t::made);
}

TEST(cpp_cache_options) {
    const artifact::engine engine = plain_engine(), other = artifact::engine::wasmtime();
    const artifact_engine_t *const targets[] = {engine.get(), other.get()};
    artifact::cache_options options;
    options.targets = targets;
    CHECK(FAILS(artifact::cache::open(folder("options"), engine, options)).status() ==
          artifact::status::invalid_argument);
    options.targets = {};
    options.max_bytes = 1 << 20, options.max_entries = 10, options.max_age_s = 1000, options.wait_ms = 1;
    options.verify_always = options.remote_unsigned = true;
    const artifact_cache_remote_t remote = {sizeof remote, nullptr, nullptr, nullptr};
    options.remote = &remote;
    CHECK(FAILS(artifact::cache::open(folder("options"), engine, options)).status() ==
          artifact::status::invalid_argument);
    options.remote = nullptr;
    CHECK(OK(artifact::cache::open(folder("options"), engine, options)));

    std::ofstream(folder("a file")) << "x";
    const artifact::cache useless = OK(artifact::cache::open(folder("a file"), engine));
    const std::optional<artifact::error> trouble = useless.trouble();
    CHECK(trouble && trouble->status() == artifact::status::io && std::strstr(trouble->what(), "a file"));
    CHECK(OK(useless.get_or_make(key_of("f"), fill)).outcome == outcome_t::not_stored);
}
