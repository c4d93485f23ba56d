# Embeds kernel sources, and a script of the benchmark, as byte arrays (string literals have a length limit in C). Used in two ways:
# - included: clfavor_embed_kernels(OUT PREFIX PATTERN...) makes the rule that writes the C file and sets OUT to its path;
# - as a script, when a kernel changed: cmake -DOUTPUT=F "-DFILES=a;b" [-DPREFIX=clfavor] -P EmbedKernels.cmake
# The C file defines PREFIX_kernel_sources and PREFIX_kernel_source_count, of types that kernel_sources.h declares.
# Every file is embedded by its own name, without its folder; src/kernel_load.c resolves the #include lines.

function(clfavor_embed_kernels out prefix)
    file(GLOB files CONFIGURE_DEPENDS ${ARGN})
    set(output "${CMAKE_CURRENT_BINARY_DIR}/${prefix}_kernel_sources.c")
    set(script "${CMAKE_CURRENT_FUNCTION_LIST_FILE}")
    add_custom_command(OUTPUT "${output}"
        COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DFILES=${files}" "-DPREFIX=${prefix}" -P "${script}"
        DEPENDS ${files} "${script}"
        COMMENT "Embedding the kernels"
        VERBATIM)
    set(${out} "${output}" PARENT_SCOPE)
endfunction()

if(NOT CMAKE_SCRIPT_MODE_FILE)
    return()
endif()
cmake_minimum_required(VERSION 3.18)

if(NOT PREFIX)
    set(PREFIX clfavor)
endif()
set(arrays "")
set(rows "")
set(names "")
foreach(file IN LISTS FILES)
    get_filename_component(name "${file}" NAME)
    if(name IN_LIST names)
        message(FATAL_ERROR "two kernel files have the name ${name}; the second is ${file}")
    endif()
    list(APPEND names "${name}")
    list(LENGTH names number)
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    # The 0 after the end keeps an empty file from being an empty array, which C does not have.
    string(APPEND arrays "/* ${name} */\nstatic const unsigned char file_${number}[] = {\n${bytes}0};\n\n")
    string(APPEND rows "    {\"${name}\", file_${number}, sizeof file_${number} - 1},\n")
endforeach()

file(WRITE "${OUTPUT}" "/* Made by EmbedKernels.cmake. */
#include \"kernel_sources.h\"

${arrays}const ${PREFIX}_kernel_source ${PREFIX}_kernel_sources[] = {
${rows}    {0, 0, 0},
};
const size_t ${PREFIX}_kernel_source_count = sizeof ${PREFIX}_kernel_sources / sizeof *${PREFIX}_kernel_sources - 1;
")
