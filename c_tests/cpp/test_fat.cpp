// artifact.hpp: files of several targets.
#include "support.hpp"

#include <vector>

namespace {

artifact::engine with_avx() {
    artifact::engine engine = plain_engine();
    OK(engine.set_flag(artifact::flag_map::isa, "avx", true));
    return engine;
}

artifact::fat_builder two() {
    artifact::fat_builder fat;
    CHECK(fat && OK(fat.add(plain_builder(plain_engine()))) == 0);
    CHECK(OK(fat.add(plain_builder(with_avx()), -3)) == 1 && fat.count() == 2);
    return fat;
}

} // namespace

TEST(cpp_the_best_variant_is_opened) {
    const artifact::buffer bytes = OK(two().serialize());
    const artifact::engine avx = with_avx(), plain = plain_engine();
    const artifact::file best = OK(artifact::file::open_bytes(bytes, avx));
    CHECK(best.variant_chosen() == 0 && best.variants().size() == 2);
    const artifact::variant_view variant = OK(best.variants()[0]);
    CHECK(variant.index() == 0 && variant.target() == "x86_64-unknown-linux-gnu" && variant.score() == -3);
    CHECK(variant.added() == 1 && variant.offset() % 65536 == 0 && variant.length() > 0);
    CHECK(variant.needs().size() == 1 && OK(variant.needs()[0]) == "avx");
    CHECK(FAILS(variant.needs()[1]).status() == artifact::status::not_found);
    CHECK(FAILS(best.variants()[2]).status() == artifact::status::not_found);
    const artifact::file other = OK(artifact::file::open_bytes(bytes, plain));
    CHECK(other.variant_chosen() == 1 && OK(other.variant_report(1, plain)).entries().empty());
    CHECK(OK(other.variant_report(0, plain)).entries().size() == 1);
    artifact::open_options options;
    options.require_best = true;
    CHECK(FAILS(artifact::file::open_bytes(bytes, plain, options)).status() == artifact::status::incompatible);
    options = {};
    options.variant = 0;
    CHECK(OK(artifact::file::open_bytes(bytes, artifact::inspect, options)).variant_chosen() == 0);
    options.variant = 2;
    CHECK(FAILS(artifact::file::open_bytes(bytes, artifact::inspect, options)).status() == artifact::status::not_found);
}

TEST(cpp_several_targets_are_built_and_signed) {
    artifact::fat_builder fat = two();
    const artifact::buffer bytes = OK(fat.serialize());
    std::vector<std::uint8_t> pieces;
    OK(fat.serialize_to(
        [&](artifact::bytes piece) { pieces.insert(pieces.end(), piece.data(), piece.data() + piece.size()); }));
    CHECK(same(bytes, pieces));
    OK(fat.serialize_to_file(scratch("fat.artifact")));
    const artifact::file file = OK(artifact::file::open(scratch("fat.artifact"), artifact::inspect));
    artifact::fat_builder again = OK(artifact::fat_builder::from_artifact(file));
    CHECK(same(bytes, OK(again.serialize())));
    CHECK(FAILS(again.add(file)).status() == artifact::status::invalid_argument); // the needs of another variant
    OK(again.remove(0));
    CHECK(FAILS(again.remove(1)).status() == artifact::status::not_found);
    CHECK(OK(again.add(file)) == 1);

    const artifact::key key = OK(artifact::key::generate());
    artifact::engine trusting = with_avx();
    OK(trusting.trust_key(OK(OK(key.public_key()).to_pem()).text().data()));
    CHECK(FAILS(artifact::file::open_bytes(bytes, trusting)).status() == artifact::status::untrusted);
    const artifact::buffer detached = OK(file.sign(key));
    CHECK(same(OK(file.detached_record()), OK(fat.index_digest())));
    CHECK(artifact::index_signature_context.size() == 24);
    const artifact::bytes signature(detached.data() + 32, 64);
    OK(fat.add_signature(OK(key.public_key()), signature));
    const artifact::buffer external = OK(fat.serialize());
    OK(fat.clear_signatures());
    OK(fat.add_key(key));
    CHECK(same(external, OK(fat.serialize())));
    CHECK(OK(artifact::file::open_bytes(external, trusting)).integrity() == artifact::integrity::signed_by_trusted);
    CHECK(FAILS(again.add_signature(OK(key.public_key()), signature)).status() == artifact::status::invalid_argument);
}
