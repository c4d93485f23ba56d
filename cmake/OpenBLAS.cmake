# OpenBLAS, for the benchmark: a peer, and a measure of the peak. Defines the target clfavor_openblas where it is there.
# Its own cblas.h is wanted (the one beside openblas_config.h), not that of another BLAS, for openblas_set_num_threads.
set(CLFAVOR_WITH_OPENBLAS AUTO CACHE STRING "OpenBLAS as a peer in the benchmark: AUTO, ON or OFF")

if(NOT TARGET clfavor_openblas AND (CLFAVOR_WITH_OPENBLAS STREQUAL "AUTO" OR CLFAVOR_WITH_OPENBLAS))
    find_path(CLFAVOR_OPENBLAS_INCLUDE openblas_config.h
              PATH_SUFFIXES openblas openblas-pthread openblas-openmp openblas-serial)
    find_library(CLFAVOR_OPENBLAS_LIBRARY openblas
                 PATH_SUFFIXES openblas openblas-pthread openblas-openmp openblas-serial)
    mark_as_advanced(CLFAVOR_OPENBLAS_INCLUDE CLFAVOR_OPENBLAS_LIBRARY)
    if(CLFAVOR_OPENBLAS_INCLUDE AND CLFAVOR_OPENBLAS_LIBRARY AND EXISTS "${CLFAVOR_OPENBLAS_INCLUDE}/cblas.h")
        add_library(clfavor_openblas INTERFACE IMPORTED)
        target_include_directories(clfavor_openblas INTERFACE "${CLFAVOR_OPENBLAS_INCLUDE}")
        target_link_libraries(clfavor_openblas INTERFACE "${CLFAVOR_OPENBLAS_LIBRARY}")
    elseif(NOT CLFAVOR_WITH_OPENBLAS STREQUAL "AUTO")
        message(FATAL_ERROR "OpenBLAS was not found (Debian: libopenblas-dev); CMAKE_PREFIX_PATH can tell where it is")
    endif()
endif()
