# C++ programs are built by custom commands: a CMake project has one C++ compiler, but these tests use every one that is
# installed, and are left out without one. header.cmake finds the compilers.
set(cpp_compilers "")
foreach(compiler IN ITEMS g++ clang++)
    if(COMPILER_${compiler})
        list(APPEND cpp_compilers ${compiler})
    else()
        message(STATUS "artifact.hpp is not tested with ${compiler}: it is not installed")
    endif()
endforeach()
set(cpp_flags ${warnings} -Wshadow -I "${include_dir}" "-DFIXTURES_DIR=\"${ARTIFACT_FIXTURES}\""
    "-DNATIVE_DIR=\"${native_dir}\"")
set(cpp_depends "${include_dir}/artifact.hpp" "${include_dir}/artifact.h")
if(TARGET artifact_build)
    list(APPEND cpp_depends artifact_build)
endif()

# Adds the program $<CONFIG>/`name` to the current build folder, linked with the shared library. Further arguments are sources, or
# flags if they start with a dash.
function(add_cpp_program name compiler standard)
    set(sources ${ARGN})
    list(FILTER sources EXCLUDE REGEX "^-")
    set(flags ${ARGN})
    list(FILTER flags INCLUDE REGEX "^-")
    set(program "${CMAKE_CURRENT_BINARY_DIR}/$<CONFIG>/${name}")
    add_custom_command(OUTPUT "${program}" DEPENDS ${sources} ${cpp_depends} VERBATIM COMMENT "Building ${name}"
        WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/$<CONFIG>"
        COMMAND ${COMPILER_${compiler}} -std=${standard} ${cpp_flags} ${flags} -g ${sanitize} -o "${program}" ${sources}
            $<TARGET_FILE:Artifact::artifact_shared> "-Wl,-rpath,$<TARGET_FILE_DIR:Artifact::artifact_shared>")
    add_custom_target(${name}.program ALL DEPENDS "${program}")
endfunction()
