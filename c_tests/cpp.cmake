# Programs in C++ are made by commands: CMake knows one C++ compiler in a project, these are made by all that are there, and
# where there is none everything else is tested all the same. header.cmake has looked for them.
set(cpp_compilers "")
foreach(compiler IN ITEMS g++ clang++)
    if(COMPILER_${compiler})
        list(APPEND cpp_compilers ${compiler})
    else()
        message(STATUS "artifact.hpp isn't tested with ${compiler}, which isn't there")
    endif()
endforeach()
set(cpp_flags ${warnings} -Wshadow -I "${include_dir}" "-DFIXTURES_DIR=\"${ARTIFACT_FIXTURES}\""
    "-DNATIVE_DIR=\"${native_dir}\"")
set(cpp_depends "${include_dir}/artifact.hpp" "${include_dir}/artifact.h")
if(TARGET artifact_build)
    list(APPEND cpp_depends artifact_build)
endif()

# The program $<CONFIG>/`name` in the current folder of the build, with the shared library: sources, and flags if they begin with a dash.
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
