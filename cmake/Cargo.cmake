# Defines the target artifact_build: cargo builds the libraries and the tool, and BuildLibraries.cmake.in puts the results into
# ARTIFACT_OUT_DIR.
find_program(ARTIFACT_CARGO cargo REQUIRED HINTS "$ENV{HOME}/.cargo/bin")
find_program(ARTIFACT_RUSTC rustc REQUIRED HINTS "$ENV{HOME}/.cargo/bin")

set(rust_target ${ARTIFACT_RUST_TARGET})
if(NOT rust_target)
    execute_process(COMMAND ${ARTIFACT_RUSTC} -vV OUTPUT_VARIABLE about COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCH "host: ([^\n]+)" about "${about}")
    set(rust_target ${CMAKE_MATCH_1})
endif()

# The system libraries that a C program must link in addition to the static library. The C compiler driver adds libgcc and libc by
# itself, in the form that -static or -shared-libgcc selects. With musl they depend on RUSTFLAGS.
file(WRITE "${PROJECT_BINARY_DIR}/empty.rs" "")
separate_arguments(rust_flags UNIX_COMMAND "$ENV{RUSTFLAGS}")
execute_process(
    COMMAND ${ARTIFACT_RUSTC} ${rust_flags} --target ${rust_target} --crate-type staticlib --print native-static-libs empty.rs
    WORKING_DIRECTORY "${PROJECT_BINARY_DIR}" ERROR_VARIABLE native RESULT_VARIABLE failed)
if(failed)
    message(FATAL_ERROR "rustc cannot build for ${rust_target}:\n${native}")
endif()
string(REGEX MATCH "native-static-libs: ([^\n]*)" native "${native}")
separate_arguments(artifact_native_libs UNIX_COMMAND "${CMAKE_MATCH_1}")
list(REMOVE_ITEM artifact_native_libs -lgcc_s -lc)
list(REMOVE_DUPLICATES artifact_native_libs)

string(TOUPPER "${rust_target}" rust_target_upper)
string(REPLACE - _ rust_target_upper "${rust_target_upper}")
string(REPLACE - _ rust_target_lower "${rust_target}")
separate_arguments(cargo_flags UNIX_COMMAND "${ARTIFACT_CARGO_FLAGS}")
if(ARTIFACT_RUST_TARGET)
    list(APPEND cargo_flags --target ${ARTIFACT_RUST_TARGET})
endif()

execute_process(COMMAND ${CMAKE_LINKER} --help OUTPUT_VARIABLE linker_help ERROR_QUIET)
set(prelink ${ARTIFACT_PRELINK})
if(prelink AND NOT linker_help MATCHES "--force-group-allocation")
    message(WARNING "${CMAKE_LINKER} cannot prelink: the static library cannot be linked together with another Rust static library")
    set(prelink OFF)
endif()

if(multi_config)
    set(ARTIFACT_OUT_DIR "${PROJECT_BINARY_DIR}/out/$<CONFIG>")
else()
    set(ARTIFACT_OUT_DIR "${PROJECT_BINARY_DIR}/out")
endif()
configure_file(cmake/BuildLibraries.cmake.in BuildLibraries.cmake @ONLY)
set(outputs libartifact.so.${PROJECT_VERSION} libartifact.so libartifact.a)
if(ARTIFACT_CLI)
    list(APPEND outputs artifact)
endif()
list(TRANSFORM outputs PREPEND "${ARTIFACT_OUT_DIR}/")
add_custom_target(artifact_build ALL
    COMMAND ${CMAKE_COMMAND} -DCONFIG=$<CONFIG> "-DOUT=${ARTIFACT_OUT_DIR}" -P "${PROJECT_BINARY_DIR}/BuildLibraries.cmake"
    BYPRODUCTS ${outputs} COMMENT "Building libartifact with cargo" USES_TERMINAL VERBATIM)
