// artifact.hpp: files, signatures, code and reports agree with the C interface.
#include "support.hpp"

#include <fcntl.h>

// ---- reading ----

TEST(cpp_opening_functions_agree) {
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

    artifact::open_options reading;
    reading.read = true;
    const artifact::file read = OK(artifact::file::open(path, engine, reading));
    std::filesystem::resize_file(path, 100);
    CHECK(FAILS(read.verify()).status() == artifact::status::truncated);
    CHECK(FAILS(read.module(0)).status() == artifact::status::truncated);
}

TEST(cpp_detection) {
    const artifact::detection genuine = OK(artifact::detect_file(fixture("addfib.cwasm")));
    CHECK(genuine.is_artifact() && genuine.kind() == artifact::detected::artifact);
    CHECK(genuine.producer() == "wasmtime" && genuine.version() == "0.33.0");
    CHECK(!OK(artifact::detect_bytes(artifact::bytes_of("something else altogether"s))).is_artifact());
    CHECK(FAILS(artifact::detect_file("/")).status() == artifact::status::invalid_argument);
}

TEST(cpp_files_of_wasmtime) {
    const artifact::detection found = OK(artifact::detect_file(fixture("wasmtime/v48_default_comp.cwasm")));
    CHECK(found.kind() == artifact::detected::wasmtime_component && !found.is_artifact() && found.version() == "48");
    const artifact::cwasm file = OK(artifact::cwasm::open(fixture("wasmtime/v14_x64_fib.cwasm")));
    CHECK(file.kind() == artifact::detected::wasmtime_module && file.version() == "14.0.4");
    CHECK(file.target() == "x86_64-unknown-linux-gnu");
    const std::vector<char> bytes = check::contents(fixture("wasmtime/v14_x64_fib.cwasm"));
    const artifact::cwasm same = OK(artifact::cwasm::open_bytes(artifact::bytes_of(bytes)));
    const int fd = open(fixture("wasmtime/v14_x64_fib.cwasm").c_str(), O_RDONLY | O_CLOEXEC);
    CHECK(OK(artifact::cwasm::open_fd(fd)).version() == same.version());
    close(fd);
    const artifact::buffer json = OK(file.to_json());
    CHECK(json.text().find("\"static_memory_bound\": 65536") != std::string_view::npos);
    CHECK(OK(same.report_against(std::string(json.text()))).entries().empty());
    artifact::engine other = plain_engine();
    OK(other.set_target("s390x-unknown-linux-gnu"));
    CHECK(OK(file.report(other)).has(artifact::report_kind::architecture));
    CHECK(FAILS(artifact::cwasm::open(fixture("addfib.cwasm"))).status() == artifact::status::not_found);
    CHECK(FAILS(file.report_against("[]")).status() == artifact::status::invalid_argument);
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

    // A detached signature is the public key and the signature of the record.
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
    if (elf.data()[18] != 62 && elf.data()[18] != 183) return; // the library does not link objects of this machine
    const artifact_object_t one[] = {{"small.o", elf.data(), elf.size()}};
    artifact::builder builder = OK(artifact::builder::create(artifact::engine()));
    artifact::link_options options;
    options.debug = false;
    CHECK(OK(builder.add_objects(one)) == 0 && OK(builder.add_objects(one, options)) == 1);
    const char *const entries[] = {"no_such_entry"};
    options.entries = entries;
    options.gc_sections = options.whole_archive = options.pack_relative_relocs = true;
    CHECK(FAILS(builder.add_objects(one, options)).status() == artifact::status::invalid_argument);
    const artifact::file file = reopened(builder);
    CHECK(OK(file.module(0)).bytes().size() > OK(file.module(1)).bytes().size());
    CHECK(FAILS(builder.add_objects({})).status() == artifact::status::invalid_argument);
}

/// Returns an artifact of modules that native.cmake has built.
static artifact::file native(std::initializer_list<const char *> names, const artifact::engine &host) {
    artifact::builder builder = OK(artifact::builder::create(artifact::engine()));
    for (const char *name : names) OK(builder.add_module_file(std::string(NATIVE_DIR "/") + name + ".so"));
    OK(builder.serialize_to_file(scratch("native")));
    return OK(artifact::file::open(scratch("native"), host));
}
static artifact::file native(const char *name, const artifact::engine &host) { return native({name}, host); }

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
    CHECK(missing.what() == "no module exports a function named 'subtract'"s);
    CHECK(FAILS(code.function<int()>("subtract", 0)).what() == "module 0 does not export a function named 'subtract'"s);
    CHECK(FAILS(code.object<int>(nullptr)).what() == "no module exports an object named ''"s);
    const artifact::error small = FAILS(code.object<long long>("total"));
    CHECK(small.status() == artifact::status::not_found);
    CHECK(small.what() == "expected an object of at least 8 bytes named 'total', found one of 4"s);

    const std::optional<artifact::location> place = code.symbolize(reinterpret_cast<const char *>(answer) + 1);
    CHECK(place && place->module == 0 && place->name == "answer" && place->offset == 1);
    CHECK(!code.symbolize(&host) && !artifact::symbolize(&host));
    CHECK(artifact::symbolize(total)->name == "total");
}

TEST(cpp_names_are_looked_up_in_the_main_module_first) {
    const artifact::engine host = artifact::engine::host();
    const artifact::file file = native({"small", "small"}, host);
    const artifact::code both = OK(file.load(host));
    CHECK(OK(file.main_module()).index() == 1 && both.main_module() == 1);
    std::size_t size = 0;
    CHECK(both.symbol("total", &size) == both.symbol(1, "total") && size == sizeof(int));
    CHECK(both.symbol("total") != both.symbol(0, "total") && both.symbol(0, "total") != nullptr);
    CHECK(OK(both.function<int()>("answer")) == OK(both.function<int()>("answer", 1)));
    CHECK(OK(both.function<int()>("answer")) != OK(both.function<int()>("answer", 0)));
    CHECK(OK(both.object<int>("total")) == OK(both.object<int>("total", 1)));
    CHECK(OK(both.function<int(int)>("add"))(4) == 5);
    CHECK(*OK(both.object<int>("total")) == 5 && *OK(both.object<int>("total", 0)) == 1);

    // A name that the main module doesn't export is looked up in the modules before it.
    const artifact::code fallback = OK(native({"small", "many"}, host).load(host));
    CHECK(OK(fallback.function<int(int)>("f2"))(3) == 9 && OK(fallback.function<int()>("answer"))() == 42);
    CHECK(*OK(fallback.object<int>("total")) == 1 && fallback.symbol("answer") == fallback.symbol(0, "answer"));
    CHECK(FAILS(fallback.function<int()>("answer", 1)).what() == "module 1 does not export a function named 'answer'"s);
    CHECK(!fallback.symbol("subtract", &size) && size == 0);

    // Only the modules that the options name are loaded.
    artifact::load_options options;
    const std::size_t modules[] = {1};
    options.modules = modules;
    const artifact::file two = native({"imports", "small"}, host);
    const artifact::code part = OK(two.load(host, options));
    CHECK(part.main_module() == 1 && OK(part.function<int()>("answer"))() == 42 && !part.symbol(0, "use_first"));
    const std::size_t no_modules[] = {2};
    options.modules = no_modules;
    CHECK(FAILS(two.load(host, options)).status() == artifact::status::not_found);

    // An empty handle has no modules.
    const artifact::code empty(nullptr);
    CHECK(empty.main_module() == 0 && !empty.symbol("answer"));
    CHECK(FAILS(empty.function<int()>("answer")).status() == artifact::status::not_found);
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

    // The callback is asked for names that the table doesn't have.
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
    CHECK(error.missing()[3].empty());
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
    CHECK(flags([](auto &options) { options.skip_constructors = true; }) == ARTIFACT_LOAD_SKIP_CONSTRUCTORS);
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

// ---- compatibility ----

TEST(cpp_compatibility) {
    artifact::engine engine = plain_engine();
    const artifact::file file = reopened(plain_builder(engine));
    CHECK(file.fits(engine) && OK(file.compat_report(engine)).entries().empty());
    CHECK(OK(file.host_report()).entries().empty());
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
