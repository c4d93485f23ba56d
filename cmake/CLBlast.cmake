# CLBlast: a back end of the library, an oracle in the tests and a peer in the benchmark. Sets CLBlast_FOUND and its
# target clblast, and clfavor_has_clblast for the library.
set(CLFAVOR_CLBLAST AUTO CACHE STRING "The library's CLBlast back end: AUTO (where CLBlast is found), ON or OFF")
set(CLFAVOR_WITH_CLBLAST AUTO CACHE STRING "CLBlast as an oracle in the tests and a peer: AUTO, ON or OFF")
set_property(CACHE CLFAVOR_CLBLAST CLFAVOR_WITH_CLBLAST PROPERTY STRINGS AUTO ON OFF)

set(clblast_users CLFAVOR_CLBLAST)
if(CLFAVOR_BUILD_CLI OR CLFAVOR_BUILD_TESTS)
    list(APPEND clblast_users CLFAVOR_WITH_CLBLAST)
endif()
foreach(user IN LISTS clblast_users)
    if(${user})
        find_package(CLBlast CONFIG QUIET)
    endif()
    if(${user} AND NOT CLBlast_FOUND AND NOT ${user} STREQUAL "AUTO")
        message(FATAL_ERROR "${user} is ${${user}}, but CLBlast was not found; install it (libclblast-dev), set CLBlast_DIR "
                            "to the folder of its CLBlastConfig.cmake, or set ${user} to OFF")
    endif()
endforeach()

set(clfavor_has_clblast 0)
if(CLFAVOR_CLBLAST AND CLBlast_FOUND)
    set(clfavor_has_clblast 1)
    message(STATUS "The library has the CLBlast back end (CLFAVOR_CLBLAST=${CLFAVOR_CLBLAST})")
elseif(CLFAVOR_CLBLAST)
    message(STATUS "CLBlast was not found: the library is built without its CLBlast back end")
endif()
if(NOT CLFAVOR_WITH_CLBLAST)
    set(CLBlast_FOUND FALSE) # the library's alone
endif()
