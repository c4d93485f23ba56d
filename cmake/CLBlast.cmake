# CLBlast, an oracle in the tests and a peer in the benchmark. Sets CLBlast_FOUND and defines its target clblast.
set(CLFAVOR_WITH_CLBLAST AUTO CACHE STRING "CLBlast as an oracle in the tests and a peer: AUTO, ON or OFF")

if(CLFAVOR_WITH_CLBLAST STREQUAL "AUTO")
    find_package(CLBlast CONFIG QUIET)
elseif(CLFAVOR_WITH_CLBLAST)
    find_package(CLBlast CONFIG REQUIRED)
endif()
