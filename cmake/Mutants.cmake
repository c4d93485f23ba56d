# A tool copies src/ with the bugs of verify/mutants/mutants.txt beside the right code; the program linked with that is
# clfavor-mutants.
set(mutants_dir "${PROJECT_BINARY_DIR}/mutants")
file(MAKE_DIRECTORY "${mutants_dir}")
file(GLOB mutant_headers CONFIGURE_DEPENDS src/*.h)
file(GLOB mutant_kernels CONFIGURE_DEPENDS kernels/*)
set(mutated_sources "${mutants_dir}/mutants_table.c")
foreach(source IN LISTS library_sources)
    get_filename_component(name "${source}" NAME)
    list(APPEND mutated_sources "${mutants_dir}/${name}")
endforeach()

add_executable(clfavor_mutate verify/mutants/mutate.c)
target_link_libraries(clfavor_mutate PRIVATE clfavor_flags)
add_custom_command(
    OUTPUT ${mutated_sources}
    COMMAND clfavor_mutate "${PROJECT_SOURCE_DIR}/verify/mutants/mutants.txt" "${PROJECT_SOURCE_DIR}" "${mutants_dir}"
    DEPENDS clfavor_mutate verify/mutants/mutants.txt ${library_sources} ${mutant_headers} ${mutant_kernels}
    COMMENT "Putting deliberate bugs beside the library's code"
    VERBATIM)

add_executable(clfavor_mutants ${mutated_sources} ${kernel_sources_c} ${cli_sources} verify/mutants/select.c)
set_target_properties(clfavor_mutants PROPERTIES OUTPUT_NAME clfavor-mutants C_EXTENSIONS ON
                      RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
target_compile_definitions(clfavor_mutants PRIVATE CLFAVOR_MUTANTS CLFAVOR_BUILDING CL_TARGET_OPENCL_VERSION=120
                           CLFAVOR_CLBLAST=${clfavor_has_clblast})
# No warnings here: both versions of a line are compiled, and one of them is wrong on purpose.
target_compile_options(clfavor_mutants PRIVATE -ffp-contract=off -w)
target_include_directories(clfavor_mutants PRIVATE "${mutants_dir}" verify/mutants include)
target_link_libraries(clfavor_mutants PRIVATE clfavor_bench clfavor_verify OpenCL::OpenCL Threads::Threads PkgConfig::JANSSON
                                              PkgConfig::XXHASH PkgConfig::LIBZIP m
                                              $<$<BOOL:${clfavor_has_clblast}>:clblast>)
