// The C++ interface at work. A vendor packs a compiled module, says what it was made of and signs it; a customer, who
// trusts the vendor's key and nobody else's, opens it, looks around in it, and finds out why it doesn't fit another
// machine.
//
//     modern MODULE.o FILE
//
// To learn from it: handles that free themselves, ranges and algorithms over what is in a file, exceptions that say
// which kind of failure it was, bytes without copies.
#include <algorithm>
#include <artifact.hpp>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

namespace {

/// What both have to agree on: how the code was compiled.
artifact::engine with_settings(artifact::engine engine) {
    using artifact::flag_map;
    engine.set_producer("modern");
    engine.set_version_rule(artifact::version_rule::custom, "2.1");
    engine.set_flag(flag_map::shared, "opt_level", "speed");
    engine.set_flag(flag_map::shared, "is_pic", true);
    engine.set_tunable(artifact::tunable::consume_fuel, 0);
    return engine;
}

void pack(const std::string &module, const std::string &path, const artifact::key &key) {
    auto builder = artifact::builder::create(with_settings(artifact::engine()));
    builder.add_module_file(module);
    builder.set_attribute("source", artifact::bytes_of(module));
    builder.add_key(key);
    builder.serialize_to_file(path, {.sync = false});

    // The same bytes, to wherever a function takes them: here to a count of them.
    std::size_t size = 0;
    builder.serialize_to([&](artifact::bytes piece) { size += piece.size(); });
    std::cout << "packed " << size << " bytes for " << artifact::engine().target() << '\n';
}

void look_around(const artifact::file &file) {
    std::cout << "made of " << artifact::text_of(file.attribute("source")) << " by " << file.producer() << ' '
              << file.producer_version() << '\n';

    const auto module = file.main_module();
    for (const auto section : module.sections()) {
        if (section.size() == 0) continue;
        std::cout << "  " << std::left << std::setw(20) << section.name() << section.size() << " bytes\n";
    }

    // Views are small values: they can be collected, sorted, thrown away. What they show belongs to the file.
    std::vector<artifact::symbol_view> functions;
    std::ranges::copy_if(module.symbols(), std::back_inserter(functions), [](const artifact::symbol_view &symbol) {
        return symbol.type() == 2 && symbol.section() != 0; // STT_FUNC, defined here
    });
    std::ranges::sort(functions, std::greater(), &artifact::symbol_view::size);
    for (const auto &function : functions) {
        std::cout << "  function " << function.name() << ", " << function.size() << " bytes\n";
    }
}

/// Is it refused, and for which reason?
bool refused(const std::string &path, const artifact::engine &engine, artifact::status why) {
    try {
        artifact::file::open(path, engine);
        return false;
    } catch (const artifact::error &error) {
        std::cout << "refused: " << error.what() << '\n';
        return error.status() == why;
    }
}

int run(const std::string &module, const std::string &path) {
    const auto key = artifact::key::generate(), another = artifact::key::generate();
    pack(module, path, key);

    auto host = with_settings(artifact::engine::host());
    host.trust_key(key.public_key().to_pem().text().data());
    const auto file = artifact::file::open(path, host, {.verify = true});
    if (!file.fits(host) || file.signed_by() != key.public_key()) return 1;
    look_around(file);

    auto other = with_settings(artifact::engine());
    other.set_target("riscv64gc-unknown-freebsd");
    other.set_flag(artifact::flag_map::shared, "opt_level", "none");
    const auto report = file.compat_report(other);
    for (const auto entry : report.entries()) std::cout << "elsewhere: " << entry.sentence() << '\n';
    if (report.entries().size() != 3 || !report.has(artifact::report_kind::architecture)) return 1;

    auto stranger = with_settings(artifact::engine::host());
    stranger.trust_key(another.public_key().to_pem().text().data());
    auto newer = host.clone();
    newer.set_version_rule(artifact::version_rule::custom, "2.2");
    return refused(path, stranger, artifact::status::untrusted) &&
                   refused(path, newer, artifact::status::wrong_version) &&
                   refused(path + ".missing", host, artifact::status::io)
               ? 0
               : 1;
}

} // namespace

int main(int argc, char **argv) try {
    if (argc != 3) return std::cerr << "usage: " << argv[0] << " MODULE.o FILE\n", 2;
    return run(argv[1], argv[2]);
} catch (const artifact::error &error) {
    std::cerr << artifact::status_name(error.status()) << ": " << error.what() << '\n';
    return 1;
}
