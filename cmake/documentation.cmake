# The interface's documentation in one command, `cmake --build … --target documentation`, where Doxygen is installed.

find_program(XSOFTMAX_DOXYGEN doxygen)
mark_as_advanced(XSOFTMAX_DOXYGEN)
if(XSOFTMAX_DOXYGEN)
    if(XSOFTMAX_WERROR)
        set(XSOFTMAX_DOXYGEN_WARN_AS_ERROR FAIL_ON_WARNINGS)
    else()
        set(XSOFTMAX_DOXYGEN_WARN_AS_ERROR NO)
    endif()
    configure_file(cmake/Doxyfile.in Doxyfile @ONLY)
    add_custom_target(documentation
        COMMAND ${XSOFTMAX_DOXYGEN} ${PROJECT_BINARY_DIR}/Doxyfile
        COMMAND ${CMAKE_COMMAND} -E echo "documentation: ${PROJECT_BINARY_DIR}/documentation/html/index.html"
        VERBATIM)
else()
    add_custom_target(documentation
        COMMAND ${CMAKE_COMMAND} -E echo "Install Doxygen (Debian: doxygen) and configure again."
        COMMAND ${CMAKE_COMMAND} -E false
        VERBATIM)
endif()
