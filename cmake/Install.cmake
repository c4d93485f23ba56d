# cmake --install: headers, library, pkg-config file, CMake package and documents. The program installs itself where it is
# defined.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/clfavor")
# A static library is linked together with what it uses.
set(static_clblast 0)
if(NOT BUILD_SHARED_LIBS)
    set(static_clblast ${clfavor_has_clblast})
endif()
install(TARGETS clfavor EXPORT clfavorTargets)
install(DIRECTORY include/clfavor DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(EXPORT clfavorTargets NAMESPACE clfavor:: DESTINATION "${package_dir}")

configure_package_config_file(cmake/clfavorConfig.cmake.in clfavorConfig.cmake INSTALL_DESTINATION "${package_dir}")
# Before 1.0 a minor version may break the API.
write_basic_package_version_file(clfavorConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/clfavorConfig.cmake" "${PROJECT_BINARY_DIR}/clfavorConfigVersion.cmake"
        DESTINATION "${package_dir}")

# The prefix is found from the file's own place, so that the installed tree can be moved.
file(RELATIVE_PATH pc_prefix "/x/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/x")
set(pc_cflags "")
if(NOT BUILD_SHARED_LIBS)
    set(pc_cflags " -DCLFAVOR_STATIC")
endif()
set(pc_requires_private "")
if(static_clblast)
    set(pc_requires_private "Requires.private: clblast\n")
endif()
configure_file(cmake/clfavor.pc.in clfavor.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/clfavor.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES LICENSE README.md CHANGELOG.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(DIRECTORY docs DESTINATION "${CMAKE_INSTALL_DOCDIR}")
