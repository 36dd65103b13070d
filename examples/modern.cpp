// A tour of the C++ interface. A vendor links a compiled object, records its source and signs the artifact. A customer,
// who trusts only the vendor's key, opens it, inspects it, calls its functions, and finds out why it does not fit
// another machine.
//
//     modern OBJECT.o FILE          for example, demo/numbers.c compiled with -fPIC
//
// It shows: owning handles, ranges and algorithms over the contents of a file, exceptions with a status, bytes without
// copies, typed functions.
#include <algorithm>
#include <artifact.hpp>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

/// Sets what both sides must agree on: how the code was compiled.
artifact::engine compiler() {
    artifact::engine engine;
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

    auto builder = artifact::builder::create(compiler());
    builder.add_objects(objects);
    builder.set_attribute("source", artifact::bytes_of(object));
    builder.add_key(key);
    builder.serialize_to_file(path, {.sync = false});

    // A callback can write the same bytes elsewhere. This one counts them.
    std::size_t size = 0;
    builder.serialize_to([&](artifact::bytes piece) { size += piece.size(); });
    std::cout << "packed " << size << " bytes for " << artifact::engine().target() << '\n';
}

void describe(const artifact::file &file) {
    std::cout << "built from " << artifact::text_of(file.attribute("source")) << " by " << file.producer() << ' '
              << file.producer_version() << '\n';

    const auto module = file.main_module();
    for (const auto section : module.sections()) {
        if (section.size() == 0) continue;
        std::cout << "  " << std::left << std::setw(20) << section.name() << section.size() << " bytes\n";
    }

    // Views are small values that can be copied and sorted. They borrow from the file.
    std::vector<artifact::symbol_view> functions;
    std::ranges::copy_if(module.symbols(), std::back_inserter(functions), [](const artifact::symbol_view &symbol) {
        return symbol.type() == 2 && symbol.section() != 0; // STT_FUNC, defined here
    });
    std::ranges::sort(functions, std::greater(), &artifact::symbol_view::size);
    for (const auto &function : functions) {
        std::cout << "  function " << function.name() << ", " << function.size() << " bytes\n";
    }
}

/// Calls functions of the artifact as if they were linked into this program.
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

/// Returns whether opening fails with this status.
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

    auto host = compiler().clone_for_host();
    host.trust_key(key.public_key().to_pem().text().data());
    const auto file = artifact::file::open(path, host, {.verify = true});
    if (!file.fits(host) || file.signed_by() != key.public_key()) return 1;
    describe(file);
    if (!use(file.load(host))) return 1;

    auto other = compiler();
    other.set_target("riscv64gc-unknown-freebsd");
    other.set_flag(artifact::flag_map::shared, "opt_level", "none");
    const auto report = file.compat_report(other);
    for (const auto entry : report.entries()) std::cout << "on another machine: " << entry.sentence() << '\n';
    if (report.entries().size() != 3 || !report.has(artifact::report_kind::architecture)) return 1;

    auto stranger = compiler().clone_for_host();
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
