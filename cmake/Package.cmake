# cpack -G DEB: one package with all that is installed. scripts/package.sh makes and checks it.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The clfavor project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION "A C library, its headers, and a program that measures, fits, advises and verifies.")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON) # which runs ldconfig, too
# A device to compute on, and what programs that use the library are compiled with.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "pocl-opencl-icd | opencl-icd, ocl-icd-opencl-dev")
include(CPack)
