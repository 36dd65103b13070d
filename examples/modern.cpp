// The C++ interface at work. A vendor links compiled objects, says what they were made of and signs the result; a
// customer, who trusts the vendor's key and nobody else's, opens it, looks around in it, calls its functions, and finds
// out why it doesn't fit another machine.
//
//     modern OBJECT.o FILE          demo/numbers.c is an object to try it with
//
// To learn from it: handles that free themselves, ranges and algorithms over what is in a file, exceptions that say
// which kind of failure it was, bytes without copies, functions with types.
#include <algorithm>
#include <artifact.hpp>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
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

void pack(const std::string &object, const std::string &path, const artifact::key &key) {
    std::ifstream in(object, std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator(in), {}};
    const auto bytes = artifact::bytes_of(content);
    const artifact_object_t objects[] = {{object.c_str(), bytes.data(), bytes.size()}};

    auto builder = artifact::builder::create(with_settings(artifact::engine()));
    builder.add_objects(objects);
    builder.set_attribute("source", artifact::bytes_of(object));
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

/// The functions are called as if they had been linked into this program.
bool use(const artifact::code &code) {
    const auto fib = code.function<std::int64_t(std::int64_t)>("fib");
    const auto multiply = code.function<void(std::size_t, const double *, const double *, double *)>("matrix_multiply");
    const auto multiplications = code.object<std::uint64_t>("multiplications");
    const double a[] = {1, 2, 3, 4}, b[] = {0, 1, 1, 0};
    double product[4];
    multiply(2, a, b, product);
    std::cout << "fib(50) is " << fib(50) << ", the product's corner " << product[3] << ", after " << *multiplications
              << " multiplication\n";
    return fib(50) == 12586269025 && product[3] == 3 && *multiplications == 1 &&
           code.symbolize(reinterpret_cast<const void *>(fib))->name == "fib";
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

int run(const std::string &object, const std::string &path) {
    const auto key = artifact::key::generate(), another = artifact::key::generate();
    pack(object, path, key);

    auto host = with_settings(artifact::engine::host());
    host.trust_key(key.public_key().to_pem().text().data());
    const auto file = artifact::file::open(path, host, {.verify = true});
    if (!file.fits(host) || file.signed_by() != key.public_key()) return 1;
    look_around(file);
    if (!use(file.load(host))) return 1;

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
    if (argc != 3) return std::cerr << "usage: " << argv[0] << " OBJECT.o FILE\n", 2;
    return run(argv[1], argv[2]);
} catch (const artifact::error &error) {
    std::cerr << artifact::status_name(error.status()) << ": " << error.what() << '\n';
    return 1;
}
