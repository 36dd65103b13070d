// Every class and function of artifact.hpp: what it gives is what the C interface gives.
#include "check.hpp"

#include <cstring>
#include <fcntl.h>
#include <numeric>

using namespace std::literals;
using check::fixture, check::scratch;

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

static artifact::file genuine(const char *name) { return OK(artifact::file::open(fixture(name), artifact::inspect)); }

/// An engine that is the same wherever the tests run.
static artifact::engine plain_engine() {
    artifact::engine engine;
    OK(engine.set_target("x86_64-unknown-linux-gnu"));
    return engine;
}

/// A builder with one genuine module, which outlives it.
static artifact::builder plain_builder(const artifact::engine &engine) {
    static const artifact::file file = genuine("addfib.cwasm");
    artifact::builder builder = OK(artifact::builder::create(engine));
    CHECK(OK(builder.add_module(OK(file.main_module()).bytes())) == 0);
    return builder;
}

static artifact::file reopened(const artifact::builder &builder) {
    return OK(artifact::file::open_bytes(OK(builder.serialize()), artifact::inspect));
}

static bool same(artifact::bytes a, artifact::bytes b) { return artifact::text_of(a) == artifact::text_of(b); }

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

TEST(cpp_error_has_what_the_c_error_has) {
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
    engine = artifact::engine(moved.release()); // a handle may be assigned to again
    CHECK(engine.get() == raw && !moved);
    CHECK(FAILS(moved.set_target("x86_64-unknown-linux-gnu")).status() == artifact::status::invalid_argument);
    CHECK(moved.target().empty() && moved.flags(artifact::flag_map::isa).empty());
    artifact_engine_free(engine.release());
}

TEST(cpp_handles_go_in_any_order) {
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
    // Nothing lies behind the last of either.
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
    OK(builder.serialize_to([&](artifact::bytes piece) { // nothing returned: it can't fail
        collected.insert(collected.end(), piece.begin(), piece.end());
    }));
    CHECK(same(collected, buffer));
}

TEST(cpp_callbacks_end_the_writing) {
    const artifact::builder builder = plain_builder(plain_engine());
    int calls = 0;
    const auto full = [&](artifact::bytes) { return ++calls == 2 ? ENOSPC : 0; };
    const artifact::error error = FAILS(builder.serialize_to(full));
    CHECK(calls == 2 && error.status() == artifact::status::io && error.code() == std::errc::no_space_on_device);
    CHECK(FAILS(builder.serialize_to_file("/no such folder/file")).code() == std::errc::no_such_file_or_directory);
}

struct counter { // a callback that can't be copied and has state
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

TEST(cpp_types_come_back) {
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

TEST(cpp_upvars_come_back) {
    artifact::builder builder = plain_builder(plain_engine());
    const std::size_t passed_on[] = {0, 0};
    CHECK(OK(builder.add_upvar(std::nullopt, 0)) == 0 && OK(builder.add_upvar(0, 0, passed_on)) == 1);
    const artifact::file file = reopened(builder);
    CHECK(OK(file.upvars()).size() == 2);
    const artifact::upvar_view outer = OK(OK(file.upvars())[0]), inner = OK(OK(file.upvars())[1]);
    CHECK(!outer.parent() && outer.module() == 0 && outer.artifact_upvars().empty());
    CHECK(inner.parent() == 0 && inner.artifact_upvars().size() == 2 && inner.artifact_upvars()[1] == 0);
}

// ---- reading ----

TEST(cpp_opening_in_every_way) {
    const artifact::engine engine = plain_engine();
    const artifact::builder builder = plain_builder(engine);
    const std::filesystem::path path = scratch("opened");
    OK(builder.serialize_to_file(path));
    const std::vector<char> bytes = check::contents(path);
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(OK(artifact::file::open(path, engine)).file_len() == bytes.size());
    CHECK(OK(artifact::file::open_fd(fd, engine)).file_len() == bytes.size());
    CHECK(OK(artifact::file::open_bytes(artifact::bytes_of(bytes), engine)).file_len() == bytes.size());
    CHECK(OK(artifact::file::open_borrowed(artifact::bytes_of(bytes), engine)).file_len() == bytes.size());
    CHECK(OK(artifact::detect_fd(fd)).is_artifact());
    close(fd);

    std::vector<char> inside(4096, 'x');
    inside.insert(inside.end(), bytes.begin(), bytes.end());
    inside.insert(inside.end(), 100, 'x');
    artifact::open_options options;
    options.offset = 4096;
    options.length = bytes.size();
    options.verify = true;
    options.copy = true;
    const artifact::file file = OK(artifact::file::open_bytes(artifact::bytes_of(inside), engine, options));
    CHECK(file.file_len() == bytes.size());
    options.memory_limit = 1;
    CHECK(FAILS(artifact::file::open_bytes(artifact::bytes_of(inside), engine, options)).status() ==
          artifact::status::limit);
}

TEST(cpp_detection) {
    const artifact::detection genuine = OK(artifact::detect_file(fixture("addfib.cwasm")));
    CHECK(genuine.is_artifact() && genuine.kind() == artifact::detected::artifact);
    CHECK(genuine.producer() == "wasmtime" && genuine.version() == "0.33.0");
    CHECK(!OK(artifact::detect_bytes(artifact::bytes_of("something else altogether"s))).is_artifact());
    CHECK(FAILS(artifact::detect_file("/")).status() == artifact::status::invalid_argument);
}

TEST(cpp_settings_of_a_file) {
    const artifact::file file = genuine("addfib.cwasm");
    CHECK(file.producer() == "wasmtime" && file.producer_version() == "0.33.0");
    CHECK(OK(file.target()) == "x86_64-unknown-linux-gnu" && file.integrity() == artifact::integrity::none);
    CHECK(OK(file.flag(artifact::flag_map::shared, "opt_level")).text() == "speed");
    CHECK(FAILS(file.flag(artifact::flag_map::shared, "none")).status() == artifact::status::not_found);
    CHECK(!OK(file.find_flag(artifact::flag_map::shared, "none")));
    CHECK(OK(file.find_flag(artifact::flag_map::shared, "opt_level"))->kind() == artifact::flag_kind::word);
    std::size_t flags = 0, expected = 0;
    for (const auto &each : OK(file.flags(artifact::flag_map::isa))) flags += !OK(each).name().empty();
    CHECK(artifact_flag_count(file.get(), ARTIFACT_FLAGS_ISA, &expected, nullptr) == ARTIFACT_OK);
    CHECK(flags == expected && flags > 0);
    CHECK(OK(file.tunable(artifact::tunable::static_memory_bound)) == 65536);
    CHECK(OK(file.tunables()[0]).value == 65536);
    CHECK(OK(file.feature(artifact::feature::simd)) && !OK(file.feature(artifact::feature::memory64)));
    std::size_t on = 0;
    for (const auto &each : file.features()) on += OK(each).on;
    CHECK(on >= 4 && on < 11);
    CHECK(FAILS(OK(file.upvars())[0]).status() == artifact::status::not_found);
}

TEST(cpp_modules_sections_symbols) {
    const artifact::file file = genuine("ml_types.cwasm");
    CHECK(file.modules().size() == 2 && OK(file.main_module()).index() == 1);
    std::size_t count = 0;
    for (const auto &each : file.modules()) {
        const artifact::module_view module = OK(each);
        artifact_module_t raw;
        CHECK(artifact_module(file.get(), count, &raw, nullptr) == ARTIFACT_OK);
        CHECK(module.index() == count && module.bytes().data() == raw.bytes.data && module.offset() == raw.offset);
        CHECK(module.bytes().size() == raw.bytes.len && module.align() == raw.align && module.type() == 1);
        CHECK(module.machine() == 62 && module.byte_order() == artifact::byte_order::little);
        count++;
    }
    CHECK(count == 2);

    const artifact::module_view module = OK(file.module(0));
    std::string names;
    for (const auto &each : OK(module.sections())) names += std::string(OK(each).name()) + ' ';
    CHECK(names ==
          " .text .eh_frame .wasmtime.addrmap .wasmtime.traps .rodata.wasm .wasmtime.info .symtab .strtab .shstrtab ");
    const artifact::section_view text = OK(module.section(".text"));
    artifact_section_t raw;
    CHECK(artifact_section(file.get(), 0, ".text", &raw, nullptr) == ARTIFACT_OK);
    CHECK(text.bytes().data() == raw.bytes.data && text.bytes().size() == raw.size && text.size() == raw.size);
    CHECK(text.offset() == raw.offset && text.align() == raw.align && text.address() == raw.address);
    CHECK(text.flags() == raw.flags && text.type() == raw.type);
    CHECK(!OK(module.find_section(".data")) && OK(module.find_section(".text"))->size() == raw.size);
    CHECK(FAILS(module.section(".data")).status() == artifact::status::not_found);

    const artifact::symbol_view symbol = OK(module.symbol("_wasm_function_0"));
    artifact_symbol_t raw_symbol;
    CHECK(artifact_symbol(file.get(), 0, "_wasm_function_0", &raw_symbol, nullptr) == ARTIFACT_OK);
    CHECK(symbol.name() == "_wasm_function_0" && symbol.value() == raw_symbol.value);
    CHECK(symbol.size() == raw_symbol.size && symbol.type() == raw_symbol.type);
    CHECK(symbol.binding() == raw_symbol.binding && symbol.section() == raw_symbol.section);
    CHECK(OK(OK(module.sections())[symbol.section()]).name() == ".text");
    bool seen = false;
    for (const auto &each : OK(module.symbols())) seen |= OK(each).name() == "_wasm_function_0";
    CHECK(seen && OK(module.find_symbol("_wasm_function_0")) && !OK(module.find_symbol("main")));
    CHECK(FAILS(module.symbol("main")).status() == artifact::status::not_found);
    CHECK(FAILS(file.module(2)).status() == artifact::status::not_found);
}

TEST(cpp_ranges_have_random_access) {
    const artifact::file file = genuine("addfib.cwasm");
    const auto sections = OK(OK(file.main_module()).sections());
    auto i = sections.begin();
    CHECK(OK(i[1]).name() == ".text" && OK(*(i + 1)).name() == ".text" && OK(*(1 + i)).name() == ".text");
    CHECK(i++ == sections.begin() && i == sections.begin() + 1 && i-- != sections.begin() && i == sections.begin());
    CHECK(OK(*++i).name() == ".text" && --i == sections.begin());
    CHECK(sections.end() - sections.begin() == static_cast<std::ptrdiff_t>(sections.size()));
    CHECK((i += 3) - sections.begin() == 3 && (i -= 2) - sections.end() == 1 - (sections.end() - sections.begin()));
    CHECK(i > sections.begin() && i >= i && i < sections.end() && i <= i && !(sections.begin() > i));
    CHECK(i - 1 == sections.begin());
#if defined(__cpp_lib_ranges)
    static_assert(std::ranges::random_access_range<decltype(sections)> && std::ranges::sized_range<decltype(sections)>);
    static_assert(std::ranges::borrowed_range<decltype(sections)> &&
                  std::ranges::view<std::remove_const_t<decltype(sections)>>);
    const auto found = std::ranges::find_if(OK(OK(file.main_module()).sections()),
                                            [](const auto &each) { return OK(each).name() == ".symtab"; });
    CHECK(OK(*found).type() == 2); // SHT_SYMTAB
#endif
}

// ---- signatures ----

TEST(cpp_keys) {
    const artifact::key key = OK(artifact::key::generate());
    const artifact::public_key mine = OK(key.public_key()), other = OK(OK(artifact::key::generate()).public_key());
    CHECK(mine == OK(key.public_key()) && mine != other && mine.bytes().size() == 32);
    CHECK(OK(artifact::public_key::from_pem(OK(mine.to_pem()).text().data())) == mine);
    CHECK(OK(OK(artifact::key::from_pem(OK(key.to_pem()).text().data())).public_key()) == mine);
    OK(key.save(scratch("key")));
    CHECK(artifact::text_of(artifact::bytes_of(check::contents(scratch("key")))) == OK(key.to_pem()).text());
    CHECK(FAILS(key.save(scratch("key"))).code() == std::errc::file_exists);
    CHECK(FAILS(artifact::key::from_pem("no key")).status() == artifact::status::invalid_argument);
}

TEST(cpp_signed_files) {
    const artifact::key key = OK(artifact::key::generate());
    const artifact::public_key mine = OK(key.public_key());
    artifact::engine engine = plain_engine();
    artifact::builder builder = plain_builder(engine);
    const artifact::buffer unsigned_bytes = OK(builder.serialize());
    OK(builder.add_key(key));
    const artifact::buffer signed_bytes = OK(builder.serialize());
    OK(builder.clear_signatures());
    CHECK(same(OK(builder.serialize()), unsigned_bytes));

    OK(engine.trust_key(OK(mine.to_pem()).text().data()));
    CHECK(engine.trusted_keys().size() == 1 && OK(engine.trusted_keys()[0]) == mine);
    const artifact::file file = OK(artifact::file::open_bytes(signed_bytes, engine));
    CHECK(file.integrity() == artifact::integrity::signed_by_trusted && OK(file.signed_by()) == mine);
    CHECK(file.signatures().size() == 1 && OK(*file.signatures().begin()) == mine);
    CHECK(FAILS(artifact::file::open_bytes(unsigned_bytes, engine)).status() == artifact::status::untrusted);

    const artifact::file plain = OK(artifact::file::open_bytes(unsigned_bytes, artifact::inspect));
    CHECK(FAILS(plain.signed_by()).status() == artifact::status::not_found && plain.signatures().empty());
    const artifact::buffer detached = OK(plain.sign(key));
    artifact::open_options options;
    options.signature = detached;
    CHECK(OK(OK(artifact::file::open_bytes(unsigned_bytes, engine, options)).signed_by()) == mine);

    // A detached signature is the key and what a key elsewhere makes of the record.
    CHECK(detached.size() == 96 && same({detached.data(), 32}, mine.bytes()));
    CHECK(same(OK(plain.detached_record()), OK(builder.root_record())) && OK(builder.root_record()).size() == 256);
    CHECK(artifact::signature_context.size() == 24 && artifact::signature_context.back() == '\0');
    OK(builder.add_signature(mine, {detached.data() + 32, 64}));
    CHECK(same(OK(builder.serialize()), signed_bytes));
    CHECK(FAILS(builder.add_signature(mine, {detached.data(), 64})).status() == artifact::status::invalid_argument);
}

// ---- code ----

TEST(cpp_objects_are_linked) {
    std::ifstream stream(NATIVE_DIR "/small.o", std::ios::binary);
    CHECK(stream);
    const std::string small((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    const artifact::bytes elf = artifact::bytes_of(small);
    if (elf.data()[18] != 62 && elf.data()[18] != 183) return; // objects for this machine can't be linked
    const artifact_object_t one[] = {{"small.o", elf.data(), elf.size()}};
    artifact::builder builder = OK(artifact::builder::create(artifact::engine()));
    artifact::link_options options;
    options.debug = false;
    CHECK(OK(builder.add_objects(one)) == 0 && OK(builder.add_objects(one, options)) == 1);
    const artifact::file file = reopened(builder);
    CHECK(OK(file.module(0)).bytes().size() > OK(file.module(1)).bytes().size());
    CHECK(FAILS(builder.add_objects({})).status() == artifact::status::invalid_argument);
}

/// An artifact of one of the modules that native.cmake has built.
static artifact::file native(const char *name, const artifact::engine &host) {
    artifact::builder builder = OK(artifact::builder::create(artifact::engine()));
    OK(builder.add_module_file(std::string(NATIVE_DIR "/") + name + ".so"));
    OK(builder.serialize_to_file(scratch(name)));
    return OK(artifact::file::open(scratch(name), host));
}

TEST(cpp_code_has_typed_functions) {
    const artifact::engine host = artifact::engine::host();
    const artifact::code code = OK(native("small", host).load(host));
    static_assert(sizeof code == sizeof(void *));
    int (*const answer)() = OK(code.function<int()>("answer"));
    int *const total = OK(code.object<int>("total"));
    CHECK(answer() == 42 && *total == 1 && OK(code.function<int(int)>("add", 0))(4) == 5 && *total == 5);
    std::size_t size = 0;
    CHECK(code.symbol(0, "total", &size) == total && size == sizeof(int));
    CHECK(!code.symbol(0, "subtract") && !code.symbol(1, "answer"));
    const artifact::error missing = FAILS(code.function<int()>("subtract"));
    CHECK(missing.status() == artifact::status::not_found && !missing.get() && !missing.offset() && !missing.code());
    CHECK(missing.what() == "expected a function called 'subtract', the module exports none"s);
    CHECK(FAILS(code.object<long long>("total")).status() == artifact::status::not_found);

    const std::optional<artifact::location_view> place = code.symbolize(reinterpret_cast<const char *>(answer) + 1);
    CHECK(place && place->module == 0 && place->name == "answer" && place->offset == 1);
    CHECK(!code.symbolize(&host));
}

static int host_value = 7;
static int times_two(int n) { return 2 * n; }
static int times_three(int n) { return 3 * n; }

TEST(cpp_code_is_bound_to_the_host) {
    const artifact::engine host = artifact::engine::host();
    const artifact::file file = native("imports", host);
    const artifact_import_t symbols[] = {
        artifact::define("host_first", times_two),
        artifact::define("host_second", times_three),
        artifact::define("host_value", &host_value),
    };
    artifact::load_options options;
    options.symbols = symbols;
    options.unwind = false;
    const artifact::code table = OK(file.load(host, options));
    CHECK(OK(table.function<int(int)>("use_first"))(10) == 21 && OK(table.function<int(int)>("use_second"))(10) == 32);
    CHECK(OK(table.function<int()>("use_value"))() == 7 && OK(table.function<int()>("has_weak"))() == -1);

    // A callback gets what the table lacks.
    options.symbols = {symbols, 2};
    std::string seen;
    const artifact::code both = OK(file.load(host, options, [&](artifact::span<artifact_import_t> missing) {
        for (artifact_import_t &wanted : missing) {
            seen += std::string(wanted.name) + ' ';
            if (wanted.name == "host_value"sv) wanted = artifact::define(wanted.name, &host_value);
        }
    }));
    CHECK((seen == "host_value host_weak " || seen == "host_weak host_value ") &&
          OK(both.function<int()>("use_value"))() == 7);
}

TEST(cpp_unresolved_symbols_are_named) {
    const artifact::engine host = artifact::engine::host();
    const artifact::file file = native("imports", host);
    const artifact::error error = FAILS(file.load(host));
    CHECK(error.status() == artifact::status::unresolved && error.missing().size() == 3);
    std::string names;
    for (const std::string_view name : error.missing()) names += std::string(name) + ' ';
    for (const char *name : {"host_first ", "host_second ", "host_value "}) CHECK(names.find(name) != names.npos);
    CHECK(FAILS(file.load(host, {}, [](artifact::span<artifact_import_t>) {})).status() ==
          artifact::status::unresolved);
    artifact::load_options options;
    options.process_symbols = options.run_constructors = options.allow_memfd = true;
    CHECK(FAILS(file.load(host, options)).status() == artifact::status::unresolved);
}

TEST(cpp_load_options_are_those_of_c) {
    const auto flags = [](auto change) {
        artifact::load_options options;
        change(options);
        return artifact::detail::raw_options(options).flags;
    };
    CHECK(flags([](artifact::load_options &) {}) == 0);
    CHECK(flags([](auto &options) { options.process_symbols = true; }) == ARTIFACT_LOAD_PROCESS_SYMBOLS);
    CHECK(flags([](auto &options) { options.run_constructors = true; }) == ARTIFACT_LOAD_RUN_CONSTRUCTORS);
    CHECK(flags([](auto &options) { options.allow_memfd = true; }) == ARTIFACT_LOAD_ALLOW_MEMFD);
    CHECK(flags([](auto &options) { options.unwind = false; }) == ARTIFACT_LOAD_NO_UNWIND);
    CHECK(flags([](auto &options) { options.gdb = true; }) == ARTIFACT_LOAD_GDB);
    CHECK(flags([](auto &options) { options.perf_map = true; }) == ARTIFACT_LOAD_PERF_MAP);
    CHECK(flags([](auto &options) { options.jitdump = true; }) == ARTIFACT_LOAD_JITDUMP);
}

TEST(cpp_code_is_shown_to_profilers) {
    const artifact::engine host = artifact::engine::host();
    const std::filesystem::path map = "/tmp/perf-" + std::to_string(getpid()) + ".map";
    artifact::load_options options;
    options.gdb = true;
    CHECK(OK(OK(native("small", host).load(host, options)).function<int()>("answer"))() == 42);
    CHECK(!std::filesystem::exists(map));
    options.perf_map = true;
    const artifact::code code = OK(native("small", host).load(host, options));
    const std::vector<char> named = check::contents(map);
    CHECK(artifact::text_of(artifact::bytes_of(named)).find("answer") != std::string_view::npos);
    std::filesystem::remove(map);
}

// ---- does it fit? ----

TEST(cpp_compatibility) {
    artifact::engine engine = plain_engine();
    const artifact::file file = reopened(plain_builder(engine));
    CHECK(file.fits(engine) && OK(file.compat_report(engine)).entries().empty());
    OK(file.check_compat(engine));
    OK(engine.set_target("aarch64-apple-darwin"));
    OK(engine.set_tunable(artifact::tunable::consume_fuel, 1));
    CHECK(!file.fits(engine));
    CHECK(FAILS(file.check_compat(engine)).status() == artifact::status::incompatible);
    const artifact::report report = OK(file.compat_report(engine));
    CHECK(report.status() == artifact::status::incompatible && report.entries().size() == 3);
    CHECK(report.has(artifact::report_kind::architecture) && report.has(artifact::report_kind::tunable));
    CHECK(!report.has(artifact::report_kind::isa_flag));
    std::uint64_t kinds = 0;
    for (const auto &each : report.entries()) {
        const artifact::entry_view entry = OK(each);
        kinds |= static_cast<std::uint64_t>(entry.kind());
        CHECK(!entry.sentence().empty() && !entry.setting().empty());
    }
    CHECK(kinds == report.kinds());
    const artifact::entry_view first = OK(report.entries()[0]);
    CHECK(first.artifact_value() == "x86_64" && first.engine_value() == "aarch64");
    CHECK(first.sentence() == FAILS(file.check_compat(engine)).what());
    CHECK(FAILS(artifact::file::open(fixture("addfib.cwasm"), engine)).status() == artifact::status::wrong_producer);
}

TEST(cpp_verification) {
    CHECK(OK(genuine("addfib.cwasm").verify()).status() == artifact::status::ok);
    const artifact::builder builder = plain_builder(plain_engine());
    const artifact::buffer good = OK(builder.serialize());
    std::vector<std::uint8_t> bad(good.begin(), good.end());
    bad[5000] ^= 1;
    const artifact::file file = OK(artifact::file::open_borrowed(bad, artifact::inspect));
    const artifact::error error = FAILS(file.verify());
    CHECK(error.status() == artifact::status::digest_mismatch && error.offset());
}
