# C++ programs are built by custom commands: a CMake project has one C++ compiler, but these tests use every one that is
# installed, and are left out without one, or without the sanitizers that it links with. header.cmake finds the compilers.
set(cpp_compilers "")
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/nothing.cc" "int main() { return 0; }\n")
foreach(compiler IN ITEMS g++ clang++)
    if(NOT COMPILER_${compiler})
        message(STATUS "artifact.hpp is not tested with ${compiler}: it is not installed")
        continue()
    endif()
    execute_process(COMMAND ${COMPILER_${compiler}} ${sanitize} nothing.cc -o nothing RESULT_VARIABLE failed ERROR_QUIET
        WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}")
    if(failed)
        message(STATUS "artifact.hpp is not tested with ${compiler}: its sanitizers are not installed")
    else()
        list(APPEND cpp_compilers ${compiler})
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
