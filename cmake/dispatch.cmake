# xsoftmax::dispatch: the kernels, compiled once for each architecture, and the choice among them when the program runs.

# The architectures, best first: a name, xsimd's type, and the compiler's flags. The last one is what the compiler takes for
# granted, and what cannot be compiled is left out.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT MSVC AND CMAKE_SIZEOF_VOID_P EQUAL 8)
    set(architectures
        "avx512 xsimd::avx512bw -mavx512f -mavx512cd -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma"
        "avx2 xsimd::fma3<xsimd::avx2> -mavx2 -mfma"
        "sse2 xsimd::sse2")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
    set(architectures
        "sve512 xsimd::detail::sve<512> -march=armv8-a+sve -msve-vector-bits=512"
        "sve256 xsimd::detail::sve<256> -march=armv8-a+sve -msve-vector-bits=256"
        "sve128 xsimd::detail::sve<128> -march=armv8-a+sve -msve-vector-bits=128"
        "neon64 xsimd::neon64")
else()
    set(architectures "baseline xsoftmax::kernels::default_arch")
endif()

set(XSOFTMAX_DISPATCH_ARCHITECTURES "all" CACHE STRING "Architectures in xsoftmax::dispatch, by name; what cannot be compiled is left out")

include(CheckCXXSourceCompiles)
get_target_property(xsimd_includes xsimd INTERFACE_INCLUDE_DIRECTORIES)

set(for_each)
set(generated ${CMAKE_CURRENT_BINARY_DIR}/dispatch)
set(sources cmake/dispatch/dispatch.cpp ${generated}/architectures.hpp)
set(XSOFTMAX_DISPATCHES)
foreach(line IN LISTS architectures)
    string(REGEX MATCH "^([^ ]+) ([^ ]+) ?(.*)$" line "${line}")
    set(name ${CMAKE_MATCH_1})
    set(type ${CMAKE_MATCH_2})
    set(flags ${CMAKE_MATCH_3})
    if(NOT (XSOFTMAX_DISPATCH_ARCHITECTURES STREQUAL "all" OR name IN_LIST XSOFTMAX_DISPATCH_ARCHITECTURES))
        continue()
    endif()
    set(CMAKE_REQUIRED_FLAGS ${flags})
    set(CMAKE_REQUIRED_INCLUDES ${xsimd_includes})
    if(type STREQUAL "xsoftmax::kernels::default_arch")
        set(XSOFTMAX_DISPATCHES_${name} ON)
    endif()
    check_cxx_source_compiles("#include <xsimd/xsimd.hpp>
        #if !defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
        static_assert(${type}::supported());
        float first(xsimd::batch<float, ${type}> x) { return x.get(0); }
        #endif
        int main() {}" XSOFTMAX_DISPATCHES_${name})
    unset(CMAKE_REQUIRED_FLAGS)
    unset(CMAKE_REQUIRED_INCLUDES)
    if(NOT XSOFTMAX_DISPATCHES_${name})
        continue()
    endif()
    list(APPEND XSOFTMAX_DISPATCHES ${name})
    string(APPEND for_each " \\\n    each(${name}, ${type})")
    configure_file(cmake/dispatch/architecture.cpp.in ${generated}/${name}.cpp @ONLY)
    set(XSOFTMAX_FLAGS_${name} ${flags})
    separate_arguments(flags)
    set_source_files_properties(${generated}/${name}.cpp PROPERTIES COMPILE_OPTIONS "${flags}")
    list(APPEND sources ${generated}/${name}.cpp)
endforeach()
configure_file(cmake/dispatch/architectures.hpp.in ${generated}/architectures.hpp @ONLY)
message(STATUS "xsoftmax: xsoftmax::dispatch holds: ${XSOFTMAX_DISPATCHES}")

# Subprojects build it if they link it.
if(PROJECT_IS_TOP_LEVEL AND XSOFTMAX_DISPATCH)
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
