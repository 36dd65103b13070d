# Compiles the header alone and included twice, in every language that it supports, with every compiler that is installed.
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/alone.c" "#include <artifact.h>\n")
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/twice.c" "#include <artifact.h>\n#include <artifact.h>\n")

foreach(compiler IN ITEMS gcc clang g++ clang++)
    find_program(COMPILER_${compiler} ${compiler})
    if(NOT COMPILER_${compiler})
        continue()
    endif()
    set(standards c99 c11 c17)
    set(language c)
    if(compiler MATCHES "\\+\\+$")
        set(standards c++11 c++20)
        set(language c++)
    endif()
    foreach(standard IN LISTS standards)
        foreach(file IN ITEMS alone twice)
            add_test(NAME header.${compiler}.${standard}.${file}
                COMMAND ${COMPILER_${compiler}} -std=${standard} ${warnings} -fsyntax-only -I "${include_dir}"
                    -x ${language} "${CMAKE_CURRENT_BINARY_DIR}/${file}.c")
            set_tests_properties(header.${compiler}.${standard}.${file} PROPERTIES LABELS header)
        endforeach()
    endforeach()
endforeach()

# The program in the text at the header's top, as it is printed there: compiled with every warning, and run.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${include_dir}/artifact.h")
file(READ "${include_dir}/artifact.h" text)
string(REGEX MATCH "\n \\*     #include <artifact.h>\n( \\*(     [^\n]*)?\n)+" example "${text}")
string(REGEX REPLACE "\n \\*(     )?" "\n" example "${example}")
if(NOT example MATCHES "int main")
    message(FATAL_ERROR "artifact.h: expected a program in the text at its top, found none")
endif()
set(header_dir "${CMAKE_CURRENT_BINARY_DIR}/header")
file(CONFIGURE OUTPUT "${header_dir}/example.c" CONTENT "${example}" @ONLY)
add_executable(header_example "${header_dir}/example.c")
set_target_properties(header_example PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
target_compile_options(header_example PRIVATE ${warnings})
target_link_libraries(header_example PRIVATE Artifact::artifact_shared)
file(CONFIGURE OUTPUT "${header_dir}/fib.c" @ONLY CONTENT [[
#include <stdint.h>
int64_t fib(int64_t n);
int64_t fib(int64_t n) {
    int64_t a = 0, b = 1;
    while (n-- > 0) b += a, a = b - a;
    return a;
}
]])
add_library(header_fib MODULE "${header_dir}/fib.c")
set_target_properties(header_fib PROPERTIES PREFIX "" OUTPUT_NAME fib LIBRARY_OUTPUT_DIRECTORY "${header_dir}/$<0:>")
target_compile_options(header_fib PRIVATE -O2)
add_dependencies(header_example header_fib)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$") # where code can be loaded
    add_c_test(header.example header 60 $<TARGET_FILE:header_example>)
    set_tests_properties(header.example PROPERTIES WORKING_DIRECTORY "${header_dir}"
        PASS_REGULAR_EXPRESSION "^2880067194370816120\n$")
endif()
