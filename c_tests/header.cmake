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
