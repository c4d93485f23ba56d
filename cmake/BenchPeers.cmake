# clfavor_bench_peers: the peers of the benchmark (bench/peers.h), for the program and for the tests. peers.py is
# embedded, so that an installed program has it too.
set(peers_script "${PROJECT_SOURCE_DIR}/bench/peers/peers.py")
set(peers_script_c "${PROJECT_BINARY_DIR}/bench_peers_script.c")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${peers_script}")
file(READ "${peers_script}" peers_hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," peers_bytes "${peers_hex}")
file(CONFIGURE OUTPUT "${peers_script_c}" CONTENT "/* Made by BenchPeers.cmake from peers.py. */
#include <stddef.h>

extern const unsigned char bench_peers_script[];
extern const size_t bench_peers_script_size;
const unsigned char bench_peers_script[] = {@peers_bytes@};
const size_t bench_peers_script_size = sizeof bench_peers_script;
" @ONLY)

add_library(clfavor_bench_peers OBJECT bench/peers.c bench/peers_child.c bench/peers_python.c
                                       $<$<TARGET_EXISTS:clfavor_openblas>:bench/peers_blas.c>
                                       $<$<BOOL:${CLBlast_FOUND}>:bench/peers_clblast.c> "${peers_script_c}")
target_include_directories(clfavor_bench_peers PUBLIC bench include)
target_link_libraries(clfavor_bench_peers PUBLIC PkgConfig::JANSSON OpenCL::OpenCL Threads::Threads m
                                          PRIVATE clfavor_flags)
# Public, so that a test knows what to expect.
if(TARGET clfavor_openblas)
    target_link_libraries(clfavor_bench_peers PUBLIC clfavor_openblas)
    target_compile_definitions(clfavor_bench_peers PUBLIC CLFAVOR_HAVE_OPENBLAS)
endif()
if(CLBlast_FOUND)
    target_link_libraries(clfavor_bench_peers PUBLIC clblast)
    target_compile_definitions(clfavor_bench_peers PUBLIC CLFAVOR_HAVE_CLBLAST)
endif()
