# Where xsimd was downloaded, its own rules install it beside this library, and find_package(xsoftmax) finds it there.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Headers alone serve any processor; xsoftmax::dispatch is compiled for one.
if(XSOFTMAX_DISPATCH)
    set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/xsoftmax)
    set(any_processor)
else()
    set(package_directory ${CMAKE_INSTALL_DATADIR}/cmake/xsoftmax)
    set(any_processor ARCH_INDEPENDENT)
endif()

configure_package_config_file(cmake/xsoftmax-config.cmake.in ${PROJECT_BINARY_DIR}/xsoftmax-config.cmake
    INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/xsoftmax-config-version.cmake
    COMPATIBILITY SameMinorVersion
    ${any_processor})

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS xsoftmax EXPORT xsoftmax-targets)
if(XSOFTMAX_DISPATCH)
    install(TARGETS xsoftmax_dispatch EXPORT xsoftmax-targets)
endif()
install(EXPORT xsoftmax-targets NAMESPACE xsoftmax:: DESTINATION ${package_directory})
install(FILES
    ${PROJECT_BINARY_DIR}/xsoftmax-config.cmake
    ${PROJECT_BINARY_DIR}/xsoftmax-config-version.cmake
    cmake/xsoftmax-mend-xsimd.cmake
    DESTINATION ${package_directory})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
