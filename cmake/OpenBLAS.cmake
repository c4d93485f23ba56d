# OpenBLAS, for the benchmark: a measure of the peak, and a peer. It is loaded when it is needed, not linked
# (bench/openblas.h says why): the target clfavor_openblas tells where it is, and needs no header of it.
set(CLFAVOR_WITH_OPENBLAS AUTO CACHE STRING "OpenBLAS as a peak and a peer in the benchmark: AUTO, ON or OFF")

add_library(clfavor_openblas INTERFACE)
target_link_libraries(clfavor_openblas INTERFACE ${CMAKE_DL_LIBS})
if(CLFAVOR_WITH_OPENBLAS)
    find_library(OPENBLAS_LIBRARY NAMES openblas libopenblas.so.0
                 PATH_SUFFIXES openblas openblas-pthread openblas-openmp openblas-serial)
    if(OPENBLAS_LIBRARY)
        target_compile_definitions(clfavor_openblas INTERFACE BENCH_OPENBLAS="${OPENBLAS_LIBRARY}")
    elseif(NOT CLFAVOR_WITH_OPENBLAS STREQUAL "AUTO")
        message(FATAL_ERROR "CLFAVOR_WITH_OPENBLAS is ${CLFAVOR_WITH_OPENBLAS}, but OpenBLAS was not found; install it "
                            "(libopenblas-dev) or set OPENBLAS_LIBRARY")
    endif()
endif()
