# xsoftmax::dispatch: the kernels, compiled once for each architecture, and the choice among them when the program runs.

set(XSOFTMAX_DISPATCH_ARCHITECTURES "all" CACHE STRING "Architectures in xsoftmax::dispatch, of: ${XSOFTMAX_ARCHITECTURES}")

set(for_each)
set(generated ${CMAKE_CURRENT_BINARY_DIR}/dispatch)
set(sources cmake/dispatch/dispatch.cpp ${generated}/architectures.hpp)
xsoftmax_choose(XSOFTMAX_DISPATCHES XSOFTMAX_DISPATCH_ARCHITECTURES ${XSOFTMAX_ARCHITECTURES})
foreach(name IN LISTS XSOFTMAX_DISPATCHES)
    set(type ${XSOFTMAX_TYPE_${name}})
    string(APPEND for_each " \\\n    each(${name}, ${type})")
    configure_file(cmake/dispatch/architecture.cpp.in ${generated}/${name}.cpp @ONLY)
    set_source_files_properties(${generated}/${name}.cpp PROPERTIES COMPILE_OPTIONS "${XSOFTMAX_FLAGS_${name}}")
    list(APPEND sources ${generated}/${name}.cpp)
endforeach()
configure_file(cmake/dispatch/architectures.hpp.in ${generated}/architectures.hpp @ONLY)
message(STATUS "xsoftmax: xsoftmax::dispatch holds: ${XSOFTMAX_DISPATCHES}")

# A subproject is built if it is linked, or to be installed.
if(XSOFTMAX_DISPATCH AND (PROJECT_IS_TOP_LEVEL OR XSOFTMAX_INSTALL))
    add_library(xsoftmax_dispatch ${sources})
else()
    add_library(xsoftmax_dispatch EXCLUDE_FROM_ALL ${sources})
endif()
add_library(xsoftmax::dispatch ALIAS xsoftmax_dispatch)
target_link_libraries(xsoftmax_dispatch PUBLIC xsoftmax)
target_compile_definitions(xsoftmax_dispatch PUBLIC XSOFTMAX_DISPATCH PRIVATE XSOFTMAX_DISPATCH_BUILDS)
target_include_directories(xsoftmax_dispatch PRIVATE ${generated})
get_target_property(xsoftmax_dispatch_type xsoftmax_dispatch TYPE)
if(xsoftmax_dispatch_type STREQUAL "SHARED_LIBRARY")
    target_compile_definitions(xsoftmax_dispatch PUBLIC XSOFTMAX_DISPATCH_SHARED)
endif()
set_target_properties(xsoftmax_dispatch PROPERTIES
    EXPORT_NAME dispatch
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
