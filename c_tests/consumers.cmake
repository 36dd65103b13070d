# Programs of users, built the way that users build them: against an installed copy, or with the source in their tree.
set(work "${CMAKE_CURRENT_BINARY_DIR}/consumers")
set(prefix "${work}/installed")
set(cargo_dir "-DARTIFACT_CARGO_DIR=${ARTIFACT_CARGO_DIR}")

add_test(NAME consumer.install
    COMMAND ${CMAKE_COMMAND} --install "${PROJECT_BINARY_DIR}/.." --config $<CONFIG> --prefix "${prefix}")
set_tests_properties(consumer.install PROPERTIES FIXTURES_SETUP installed LABELS consumer)

function(add_consumer kind compiler)
    set(name consumer.${kind}.${compiler})
    file(MAKE_DIRECTORY "${work}/${name}")
    add_test(NAME ${name} WORKING_DIRECTORY "${work}/${name}"
        COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/consumers/run" ${kind} "${prefix}" ${compiler} ${ARGN})
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED installed LABELS consumer TIMEOUT 600)
endfunction()

foreach(compiler IN ITEMS gcc g++ clang clang++)
    if(COMPILER_${compiler})
        add_consumer(pkg_config_shared ${compiler})
        add_consumer(pkg_config_static ${compiler})
        add_consumer(pkg_config_fully_static ${compiler})
    endif()
endforeach()
add_consumer(find_package cc)
add_consumer(find_package_version cc)
add_consumer(moved cc)
add_consumer(c_tests cc "-DARTIFACT_SCRATCH=${scratch}")
add_consumer(add_subdirectory cc -DCMAKE_BUILD_TYPE=$<CONFIG> ${cargo_dir})
add_consumer(fetch_content cc -DCMAKE_BUILD_TYPE=$<CONFIG> ${cargo_dir})
if(prelink AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    add_consumer(two_rusts cc)
endif()
