// artifact.hpp: the library, errors, handles, engines and builders agree with the C interface.
#include "support.hpp"

#include <cstring>
#include <numeric>

static_assert(sizeof(artifact::engine) == sizeof(void *) && sizeof(artifact::builder) == sizeof(void *));
static_assert(sizeof(artifact::file) == sizeof(void *) && sizeof(artifact::report) == sizeof(void *));
static_assert(sizeof(artifact::buffer) == sizeof(void *));
static_assert(sizeof(artifact::section_view) == sizeof(artifact_section_t));
static_assert(!std::is_copy_constructible_v<artifact::file> && !std::is_copy_assignable_v<artifact::file>);
static_assert(std::is_nothrow_move_constructible_v<artifact::file> &&
              std::is_nothrow_move_assignable_v<artifact::file>);
static_assert(std::is_nothrow_copy_constructible_v<artifact::error>);
static_assert(!std::is_constructible_v<artifact::c_string, std::string_view>);
static_assert(!std::is_constructible_v<artifact::c_string, std::wstring>);

// ---- library, errors, handles ----

TEST(cpp_library) {
    CHECK(artifact::version() == artifact_version());
    CHECK(artifact::version_string() == artifact_version_string());
    CHECK(artifact::status_name(artifact::status::corrupt) == "ARTIFACT_CORRUPT");
    CHECK(artifact::is_damage(artifact::status::truncated) && artifact::is_damage(artifact::status::digest_mismatch));
    CHECK(!artifact::is_damage(artifact::status::not_an_artifact) && !artifact::is_damage(artifact::status::ok));
    CHECK(artifact::is_stale(artifact::status::incompatible) && artifact::is_stale(artifact::status::unsupported));
    CHECK(!artifact::is_stale(artifact::status::untrusted) && !artifact::is_stale(artifact::status::corrupt));
}

TEST(cpp_error_agrees_with_the_c_error) {
    const artifact::error missing = FAILS(artifact::file::open("/no such file", artifact::inspect));
    CHECK(missing.status() == artifact::status::io && !missing.offset());
    CHECK(missing.code() == std::errc::no_such_file_or_directory);
    CHECK(missing.what() == std::string(artifact_error_message(missing.get())) && *missing.what());
    CHECK(missing.missing().empty() && missing.missing().begin() == missing.missing().end());

    std::vector<char> damaged = check::contents(fixture("addfib.cwasm"));
    damaged.resize(damaged.size() - 5);
    const artifact::error error = FAILS(artifact::file::open_bytes(artifact::bytes_of(damaged), artifact::inspect));
    CHECK(error.status() == artifact::status::truncated && !error.code());
    CHECK(error.offset() && *error.offset() == artifact_error_offset(error.get()));
}

TEST(cpp_copies_of_an_error_share_it) {
    std::optional<artifact::error> error = FAILS(artifact::file::open("/no such file", artifact::inspect));
    const artifact::error copy = *error;
    CHECK(copy.get() == error->get());
    error.reset();
    CHECK(copy.status() == artifact::status::io && std::strlen(copy.what()) > 10);
}

TEST(cpp_handles_move_and_are_released) {
    artifact::engine engine = plain_engine();
    artifact_engine_t *const raw = engine.get();
    artifact::engine moved = std::move(engine);
    CHECK(moved.get() == raw && moved);
    engine = artifact::engine(moved.release()); // a moved-from handle may be assigned to
    CHECK(engine.get() == raw && !moved);
    CHECK(FAILS(moved.set_target("x86_64-unknown-linux-gnu")).status() == artifact::status::invalid_argument);
    CHECK(moved.target().empty() && moved.flags(artifact::flag_map::isa).empty());
    artifact_engine_free(engine.release());
}

TEST(cpp_handles_may_be_destroyed_in_any_order) {
    std::optional<artifact::engine> engine = plain_engine();
    std::optional<artifact::builder> builder = plain_builder(*engine);
    engine.reset();
    std::optional<artifact::file> file = reopened(*builder);
    builder.reset();
    const artifact::builder again = OK(artifact::builder::from_artifact(*file));
    file.reset();
    CHECK(OK(again.serialize()).size() > 0);
}

// ---- engine ----

TEST(cpp_engine_settings) {
    artifact::engine engine;
    CHECK(engine && engine.producer() == "artifact" && engine.version_rule() == artifact::version_rule::library);
    OK(engine.set_target("aarch64-unknown-linux-gnu"s));
    CHECK(engine.target() == "aarch64-unknown-linux-gnu");
    OK(engine.set_producer("tests"));
    OK(engine.set_version_rule(artifact::version_rule::custom, "4.2"));
    CHECK(engine.producer() == "tests" && engine.version() == "4.2");
    CHECK(engine.version_rule() == artifact::version_rule::custom);
    OK(engine.set_version_rule(artifact::version_rule::none));
    CHECK(engine.version().empty() && engine.version_rule() == artifact::version_rule::none);
    CHECK(FAILS(engine.set_producer("not-aot")).status() == artifact::status::invalid_argument);
}

TEST(cpp_engine_cpu) {
    artifact::engine engine;
    OK(engine.set_target("x86_64-unknown-linux-gnu"));
    OK(engine.set_producer("tests"));
    OK(engine.set_cpu("haswell"));
    CHECK(OK(engine.find_flag(artifact::flag_map::isa, "avx2")) && engine.flags(artifact::flag_map::isa).size() == 21);
    CHECK(FAILS(engine.set_cpu("hasswell"s)).status() == artifact::status::invalid_argument);
    const artifact::engine host = engine.clone_for_host();
    CHECK(host.producer() == "tests" && host.target() == artifact::engine::host().target());
    CHECK(engine.flags(artifact::flag_map::isa).size() == 21);
    OK(engine.set_target(host.target().data()));
    OK(engine.set_cpu("native"));
    CHECK(OK(engine.fingerprint()) == OK(host.fingerprint()));
}

TEST(cpp_engine_flags) {
    constexpr auto shared = artifact::flag_map::shared;
    artifact::engine engine;
    OK(engine.set_flag(shared, "a", true));
    OK(engine.set_flag(shared, "b", 12));
    OK(engine.set_flag(shared, "c", "speed"));
    OK(engine.set_flag(shared, "d"s, "size"s));
    OK(engine.set_flag(artifact::flag_map::isa, "avx2", false));
    std::string seen;
    for (const auto &each : engine.flags(shared)) {
        const artifact::flag_view flag = OK(each);
        seen += std::string(flag.name()) + '=' + std::to_string(flag.value()) + std::string(flag.text()) + ' ';
    }
    CHECK(seen == "a=1 b=12 c=0speed d=0size ");
    CHECK(OK(engine.flag(shared, "a")).kind() == artifact::flag_kind::boolean);
    CHECK(OK(engine.flag(shared, "b")).kind() == artifact::flag_kind::number);
    CHECK(OK(engine.flag(shared, "c")).kind() == artifact::flag_kind::word);
    OK(engine.unset_flag(shared, "a"));
    CHECK(FAILS(engine.flag(shared, "a")).status() == artifact::status::not_found);
    CHECK(!OK(engine.find_flag(shared, "a")) && OK(engine.find_flag(shared, "c"))->text() == "speed");
    CHECK(FAILS(engine.find_flag(static_cast<artifact::flag_map>(7), "a")).status() ==
          artifact::status::invalid_argument);
}

TEST(cpp_engine_tunables_and_features) {
    artifact::engine engine;
    OK(engine.set_tunable(artifact::tunable::static_memory_bound, 65536));
    OK(engine.set_tunable(artifact::tunable::generate_address_map, 1));
    OK(engine.set_feature(artifact::feature::simd, true));
    OK(engine.set_feature(artifact::feature::memory64, true));
    CHECK(OK(engine.tunable(artifact::tunable::static_memory_bound)) == 65536);
    CHECK(OK(engine.feature(artifact::feature::simd)) && !OK(engine.feature(artifact::feature::threads)));
    std::uint64_t sum = 0;
    for (const auto &each : engine.tunables()) sum += OK(each).value;
    CHECK(sum == 65537);
    std::vector<artifact::feature> on;
    for (const auto &each : engine.features()) {
        if (OK(each).on) on.push_back(OK(each).feature);
    }
    CHECK(on == std::vector{artifact::feature::simd, artifact::feature::memory64});
    // There is nothing past the last of either.
    CHECK(FAILS(engine.tunables()[engine.tunables().size()]).status() == artifact::status::invalid_argument);
    CHECK(FAILS(engine.features()[engine.features().size()]).status() == artifact::status::invalid_argument);
}

TEST(cpp_engine_copies_and_json) {
    const artifact::engine engine = plain_engine(), host = artifact::engine::host();
    CHECK(OK(engine.clone().fingerprint()) == OK(engine.fingerprint()));
    CHECK(OK(engine.fingerprint()) != OK(artifact::engine::wasmtime().fingerprint()));
    const artifact::buffer json = OK(host.to_json());
    CHECK(OK(OK(artifact::engine::from_json(json.text().data())).fingerprint()) == OK(host.fingerprint()));
    CHECK(FAILS(artifact::engine::from_json("{")).status() == artifact::status::invalid_argument);
}

// ---- saving ----

TEST(cpp_saving_everywhere_gives_the_same_bytes) {
    const artifact::builder builder = plain_builder(plain_engine());
    const artifact::buffer buffer = OK(builder.serialize());
    CHECK(std::accumulate(buffer.begin(), buffer.end(), 0u) > 0 && buffer.text().size() == buffer.size());

    const std::filesystem::path path = scratch("saved");
    OK(builder.serialize_to_file(path));
    CHECK(same(artifact::bytes_of(check::contents(path)), buffer));
    OK(builder.serialize_to_file(path.string(), {false}));
    CHECK(same(artifact::bytes_of(check::contents(path)), buffer));

    std::vector<std::uint8_t> collected;
    OK(builder.serialize_to([&](artifact::bytes piece) { // returns void: it cannot fail
        collected.insert(collected.end(), piece.begin(), piece.end());
    }));
    CHECK(same(collected, buffer));
}

TEST(cpp_callbacks_can_stop_writing) {
    const artifact::builder builder = plain_builder(plain_engine());
    int calls = 0;
    const auto full = [&](artifact::bytes) { return ++calls == 2 ? ENOSPC : 0; };
    const artifact::error error = FAILS(builder.serialize_to(full));
    CHECK(calls == 2 && error.status() == artifact::status::io && error.code() == std::errc::no_space_on_device);
    CHECK(FAILS(builder.serialize_to_file("/no such folder/file")).code() == std::errc::no_such_file_or_directory);
}

struct counter { // a callback with state that cannot be copied
    std::size_t len = 0;
    counter() = default;
    counter(const counter &) = delete;
    counter &operator=(const counter &) = delete;
    int operator()(artifact::bytes piece) {
        len += piece.size();
        return 0;
    }
};

TEST(cpp_callbacks_are_not_copied) {
    const artifact::builder builder = plain_builder(plain_engine());
    counter counter;
    OK(builder.serialize_to(counter));
    CHECK(counter.len == OK(builder.serialize()).size());
}

TEST(cpp_modules_from_files) {
    const artifact::file source = genuine("addfib.cwasm");
    const artifact::bytes elf = OK(source.main_module()).bytes();
    std::ofstream(scratch("elf"), std::ios::binary) << artifact::text_of(elf);
    artifact::builder builder = OK(artifact::builder::create(plain_engine()));
    CHECK(OK(builder.add_module_file(scratch("elf"))) == 0 && OK(builder.add_module(elf)) == 1);
    CHECK(builder.module_count() == 2);
    CHECK(FAILS(builder.add_module(artifact::bytes_of("no ELF"s))).status() == artifact::status::invalid_argument);
    const artifact::file file = reopened(builder);
    CHECK(file.modules().size() == 2 && same(OK(file.module(0)).bytes(), OK(file.module(1)).bytes()));
}

TEST(cpp_attributes) {
    artifact::builder builder = plain_builder(plain_engine());
    OK(builder.set_attribute("source", artifact::bytes_of("abc"s)));
    OK(builder.set_attribute("other", {}));
    OK(builder.set_attribute("gone", {}));
    OK(builder.unset_attribute("gone"));
    CHECK(FAILS(builder.unset_attribute("gone")).status() == artifact::status::not_found);
    const artifact::file file = reopened(builder);
    CHECK(file.integrity() == artifact::integrity::digests);
    CHECK(artifact::text_of(OK(file.attribute("source"))) == "abc");
    CHECK(FAILS(file.attribute("gone")).status() == artifact::status::not_found);
    CHECK(!OK(file.find_attribute("gone")) && OK(file.find_attribute("source"))->size() == 3);
    std::string seen;
    for (const auto &each : OK(file.attributes())) {
        const artifact::attribute_view attribute = OK(each);
        seen += std::string(attribute.name) + '=' + std::string(artifact::text_of(attribute.value)) + ' ';
    }
    CHECK(seen == "other= source=abc " || seen == "source=abc other= ");
    CHECK(FAILS(builder.set_trailer(false)).status() == artifact::status::invalid_argument);
    OK(builder.unset_attribute("source"));
    OK(builder.unset_attribute("other"));
    OK(builder.set_trailer(false));
    CHECK(reopened(builder).integrity() == artifact::integrity::none);
}

TEST(cpp_types_round_trip) {
    using wasm = artifact::wasm_type;
    artifact::builder builder = plain_builder(plain_engine());
    const std::vector<wasm> params{wasm::i32, wasm::externref}, returns{wasm::f64};
    CHECK(OK(builder.add_func_type(params, returns)) == 0 && OK(builder.add_func_type({}, {wasm::v128})) == 1);
    const std::uint32_t instance = OK(builder.add_instance_type());
    artifact::entity memory;
    memory.kind = artifact::entity_kind::memory;
    memory.minimum = 3;
    memory.maximum = 9;
    memory.is_shared = true;
    artifact::entity global;
    global.kind = artifact::entity_kind::global;
    global.type = wasm::i64;
    global.init = artifact::init_kind::i64;
    global.init_low = 42;
    global.is_mutable = true;
    artifact::entity function;
    function.index = 1;
    OK(builder.add_instance_export(instance, "memory", memory));
    OK(builder.add_instance_export(instance, "global", global));
    const std::uint32_t module = OK(builder.add_module_type(instance));
    OK(builder.add_module_import(module, "function", function));
    CHECK(FAILS(builder.add_module_type(9)).status() == artifact::status::invalid_argument);

    const artifact::file file = reopened(builder);
    CHECK(OK(file.func_types()).size() == 2);
    const artifact::func_type_view type = OK(OK(file.func_types())[0]);
    CHECK(std::equal(type.params().begin(), type.params().end(), params.begin(), params.end()));
    CHECK(std::equal(type.returns().begin(), type.returns().end(), returns.begin(), returns.end()));
    CHECK(type.externref_params() == 1 && type.externref_returns() == 0);

    const auto exports = OK(OK(file.instance_types())[0]).exports();
    CHECK(exports.size() == 2);
    const artifact::named_entity first = OK(exports[0]), second = OK(exports[1]);
    CHECK(first.name == "memory" && first.entity.kind == artifact::entity_kind::memory);
    CHECK(first.entity.minimum == 3 && first.entity.maximum == 9 && first.entity.is_shared);
    CHECK(!first.entity.is_memory64 && !first.entity.is_mutable);
    CHECK(second.name == "global" && second.entity.kind == artifact::entity_kind::global);
    CHECK(second.entity.type == wasm::i64 && second.entity.init == artifact::init_kind::i64);
    CHECK(second.entity.init_low == 42 && second.entity.init_high == 0 && second.entity.is_mutable);
    CHECK(!second.entity.maximum);

    CHECK(OK(file.module_types()).size() == 1);
    const artifact::module_type_view module_type = OK(OK(file.module_types())[0]);
    CHECK(module_type.exports() == instance && module_type.imports().size() == 1);
    const artifact::named_entity import = OK(module_type.imports()[0]);
    CHECK(import.name == "function" && import.entity.kind == artifact::entity_kind::function);
    CHECK(import.entity.index == 1);
    CHECK(FAILS(OK(file.module_types())[1]).status() == artifact::status::not_found);
}

TEST(cpp_upvars_round_trip) {
    artifact::builder builder = plain_builder(plain_engine());
    const std::size_t passed_on[] = {0, 0};
    CHECK(OK(builder.add_upvar(std::nullopt, 0)) == 0 && OK(builder.add_upvar(0, 0, passed_on)) == 1);
    const artifact::file file = reopened(builder);
    CHECK(OK(file.upvars()).size() == 2);
    const artifact::upvar_view outer = OK(OK(file.upvars())[0]), inner = OK(OK(file.upvars())[1]);
    CHECK(!outer.parent() && outer.module() == 0 && outer.artifact_upvars().empty());
    CHECK(inner.parent() == 0 && inner.artifact_upvars().size() == 2 && inner.artifact_upvars()[1] == 0);
}
