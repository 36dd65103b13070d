// Helpers that the tests of artifact.hpp share: genuine files, engines and builders.
#pragma once
#include "check.hpp"

using namespace std::literals;
using check::fixture, check::scratch;

inline artifact::file genuine(const char *name) { return OK(artifact::file::open(fixture(name), artifact::inspect)); }

/// Returns an engine that is the same wherever the tests run.
inline artifact::engine plain_engine() {
    artifact::engine engine;
    OK(engine.set_target("x86_64-unknown-linux-gnu"));
    return engine;
}

/// Returns a builder of one genuine module, which outlives it.
inline artifact::builder plain_builder(const artifact::engine &engine) {
    static const artifact::file file = genuine("addfib.cwasm");
    artifact::builder builder = OK(artifact::builder::create(engine));
    CHECK(OK(builder.add_module(OK(file.main_module()).bytes())) == 0);
    return builder;
}

inline artifact::file reopened(const artifact::builder &builder) {
    return OK(artifact::file::open_bytes(OK(builder.serialize()), artifact::inspect));
}

inline bool same(artifact::bytes a, artifact::bytes b) { return artifact::text_of(a) == artifact::text_of(b); }
