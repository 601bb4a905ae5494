# find_package(outpost) after `cmake --install`.
include(CMakePackageConfigHelpers)
install(TARGETS outpost outpost_shared EXPORT outpost-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/outpost DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT outpost-targets NAMESPACE outpost:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/outpost)
configure_package_config_file(cmake/outpost-config.cmake.in ${CMAKE_BINARY_DIR}/outpost-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/outpost)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/outpost-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/outpost-config.cmake ${CMAKE_BINARY_DIR}/outpost-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/outpost)
if(OUTPOST_APP)
  install(TARGETS outpost_program DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
