/* Upvars: the modules that a module closes over, nested. */
#include "check.h"
#include "image.h"
#include "support.h"

/* Returns a builder of three modules. */
static artifact_builder_t *three_modules(void) {
    static bytes_t elf;
    if (!elf.data) elf = make_elf((shape_t){0});
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    for (int i = 0; i < 3; i++) CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    artifact_engine_free(engine);
    return builder;
}

TEST(upvars_round_trip_as_a_flat_list_with_parents) {
    static const size_t closed[] = {2, 0, 1};
    artifact_builder_t *builder = three_modules();
    size_t root = 77, child = 77, grandchild = 77, second = 77;
    CHECK_OK(artifact_builder_add_upvar(builder, SIZE_MAX, 1, closed, 3, &root, &error));
    CHECK_OK(artifact_builder_add_upvar(builder, root, 0, NULL, 0, &child, &error));
    CHECK_OK(artifact_builder_add_upvar(builder, child, 2, closed + 1, 1, &grandchild, &error));
    CHECK_OK(artifact_builder_add_upvar(builder, SIZE_MAX, 2, NULL, 0, &second, &error));
    CHECK(root == 0 && child == 1 && grandchild == 2 && second == 3);
    bytes_t body = serialize(builder);
    artifact_builder_free(builder);
    artifact_t *artifact = open_bytes(&body, NULL);
    size_t count = 0;
    CHECK_OK(artifact_upvar_count(artifact, &count, &error));
    CHECK(count == 4);
    static const artifact_upvar_t expected[] = {
        {SIZE_MAX, 1, NULL, 3}, {0, 0, NULL, 0}, {1, 2, NULL, 1}, {SIZE_MAX, 2, NULL, 0}};
    for (size_t i = 0; i < 4; i++) {
        artifact_upvar_t upvar;
        CHECK_OK(artifact_upvar_at(artifact, i, &upvar, &error));
        CHECK(upvar.parent == expected[i].parent && upvar.module == expected[i].module);
        CHECK(upvar.artifact_upvars_len == expected[i].artifact_upvars_len);
        if (i == 0) {
            CHECK(upvar.artifact_upvars[0] == 2 && upvar.artifact_upvars[1] == 0 && upvar.artifact_upvars[2] == 1);
        }
        if (i == 2) CHECK(upvar.artifact_upvars[0] == 0);
    }
    artifact_upvar_t upvar;
    memset(&upvar, 0x5a, sizeof upvar);
    CHECK_FAILS(artifact_upvar_at(artifact, 4, &upvar, &error), ARTIFACT_NOT_FOUND, "4");
    CHECK(upvar.module == 0 && upvar.artifact_upvars == NULL && upvar.artifact_upvars_len == 0);
    artifact_free(artifact);
    bytes_free(&body);
}

/* Children may be added in any order. The file stores them after their parent and numbers them in that order. */
TEST(upvars_can_be_added_breadth_first) {
    artifact_builder_t *builder = three_modules();
    CHECK_OK(artifact_builder_add_upvar(builder, SIZE_MAX, 0, NULL, 0, NULL, &error));
    CHECK_OK(artifact_builder_add_upvar(builder, SIZE_MAX, 1, NULL, 0, NULL, &error));
    CHECK_OK(artifact_builder_add_upvar(builder, 0, 2, NULL, 0, NULL, &error));
    bytes_t body = serialize(builder);
    artifact_builder_free(builder);
    artifact_t *artifact = open_bytes(&body, NULL);
    size_t count = 0, nested = 0;
    CHECK_OK(artifact_upvar_count(artifact, &count, &error));
    CHECK(count == 3);
    for (size_t i = 0; i < count; i++) {
        artifact_upvar_t upvar, parent;
        CHECK_OK(artifact_upvar_at(artifact, i, &upvar, &error));
        if (upvar.parent == SIZE_MAX) continue;
        CHECK(upvar.parent < i && upvar.module == 2);
        CHECK_OK(artifact_upvar_at(artifact, upvar.parent, &parent, &error));
        CHECK(parent.module == 0 && parent.parent == SIZE_MAX);
        nested++;
    }
    CHECK(nested == 1);
    artifact_free(artifact);
    bytes_free(&body);
}

TEST(upvars_are_checked) {
    static const size_t beyond[] = {0, 3};
    artifact_builder_t *builder = three_modules();
    size_t index = 77;
    CHECK_FAILS(artifact_builder_add_upvar(builder, SIZE_MAX, 3, NULL, 0, &index, &error), ARTIFACT_INVALID_ARGUMENT,
                "3");
    CHECK(index == 0);
    CHECK_FAILS(artifact_builder_add_upvar(builder, SIZE_MAX, 0, beyond, 2, &index, &error), ARTIFACT_INVALID_ARGUMENT,
                "3");
    CHECK_FAILS(artifact_builder_add_upvar(builder, 0, 0, NULL, 0, &index, &error), ARTIFACT_INVALID_ARGUMENT,
                "parent");
    CHECK_FAILS(artifact_builder_add_upvar(builder, SIZE_MAX, 0, NULL, 1, &index, &error), ARTIFACT_INVALID_ARGUMENT,
                "artifact_upvars");
    CHECK_OK(artifact_builder_add_upvar(builder, SIZE_MAX, 0, beyond, 1, &index, &error));
    CHECK(index == 0);
    artifact_builder_free(builder);
}

TEST(upvars_nest_100_deep_and_no_deeper) {
    artifact_builder_t *builder = three_modules();
    size_t parent = SIZE_MAX;
    for (int depth = 1; depth <= 100; depth++) {
        CHECK_OK(artifact_builder_add_upvar(builder, parent, 0, NULL, 0, &parent, &error));
    }
    size_t index = 77;
    CHECK_FAILS(artifact_builder_add_upvar(builder, parent, 0, NULL, 0, &index, &error), ARTIFACT_LIMIT, "100");
    CHECK(index == 0);
    bytes_t body = serialize(builder);
    artifact_t *artifact = open_bytes(&body, NULL); /* what the builder writes can be read */
    size_t count = 0;
    CHECK_OK(artifact_upvar_count(artifact, &count, &error));
    CHECK(count == 100);
    artifact_free(artifact);
    artifact_builder_free(builder);
    bytes_free(&body);
}

TEST(upvars_of_a_genuine_file) {
    artifact_t *artifact = open_path(fixture("ml_upvars1.cwasm"), NULL);
    size_t count = 0;
    artifact_upvar_t upvar;
    CHECK_OK(artifact_upvar_count(artifact, &count, &error));
    CHECK(count == 1);
    CHECK_OK(artifact_upvar_at(artifact, 0, &upvar, &error));
    CHECK(upvar.parent == SIZE_MAX && upvar.module == 1);
    CHECK(upvar.artifact_upvars_len == 1 && upvar.artifact_upvars[0] == 0);
    artifact_free(artifact);
}
