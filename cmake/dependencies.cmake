# Each dependency is taken from the system where it is installed, and downloaded at a fixed version where it is not.

include(FetchContent)

FetchContent_Declare(xsimd
    URL https://github.com/xtensor-stack/xsimd/archive/refs/tags/14.3.0.tar.gz
    URL_HASH SHA256=b3d50e7a73fbf4642ceef30131c93414901d69eee41c2a5302db650b03e2c792)
FetchContent_Declare(Catch2
    URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.7.1.tar.gz
    URL_HASH SHA256=c991b247a1a0d7bb9c39aa35faf0fe9e19764213f28ffba3109388e62ee0269c)
FetchContent_Declare(benchmark
    URL https://github.com/google/benchmark/archive/refs/tags/v1.9.1.tar.gz
    URL_HASH SHA256=32131c08ee31eeff2c8968d7e874f3cb648034377dfc32a4c377fa8796d84981)

# The headers of an installed library are system headers to whoever links it; those of a downloaded one are not, and
# their warnings would be the user's.
function(xsoftmax_fetch name target)
    message(STATUS "xsoftmax: ${name} is not installed, downloading it")
    FetchContent_MakeAvailable(${name})
    set_target_properties(${target} PROPERTIES
        INTERFACE_SYSTEM_INCLUDE_DIRECTORIES $<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>)
endfunction()

# No version is asked for: xsimd calls every other major version incompatible, and 8.1 to 14.3 all serve.
if(NOT TARGET xsimd)
    find_package(xsimd CONFIG QUIET)
    if(xsimd_FOUND)
        message(STATUS "xsoftmax: xsimd ${xsimd_VERSION} from ${xsimd_DIR}")
    else()
        xsoftmax_fetch(xsimd xsimd)
    endif()
endif()
include(${CMAKE_CURRENT_LIST_DIR}/xsoftmax-mend-xsimd.cmake)

if(XSOFTMAX_BUILD_TESTS)
    find_package(Catch2 CONFIG QUIET)
    if(NOT Catch2_FOUND)
        xsoftmax_fetch(Catch2 Catch2)
        # As the tests are: what its library holds depends on the standard.
        target_compile_features(Catch2 PUBLIC cxx_std_20)
    endif()
endif()

if(XSOFTMAX_BUILD_BENCHMARKS)
    find_package(benchmark CONFIG QUIET)
    if(NOT benchmark_FOUND)
        set(BENCHMARK_ENABLE_TESTING OFF)
        set(BENCHMARK_ENABLE_INSTALL OFF)
        set(BENCHMARK_ENABLE_WERROR OFF)
        xsoftmax_fetch(benchmark benchmark)
    endif()
endif()
