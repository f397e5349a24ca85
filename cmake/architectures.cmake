# The one list of instruction sets: what xsoftmax::dispatch holds, and what tests and benchmarks are compiled for.
#
# XSOFTMAX_ARCHITECTURES: the names of those that this processor's machines may have and that the compiler and xsimd can
# build, best first; the last one is what the compiler takes for granted.
# XSOFTMAX_TYPE_<name>, XSOFTMAX_FLAGS_<name>: xsimd's type, and the compiler's flags as a list.

# Best first: a name, xsimd's type, and flags. (README.md, "How to add", has what else names them.)
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

include(CheckCXXSourceCompiles)
get_target_property(xsimd_includes xsimd INTERFACE_INCLUDE_DIRECTORIES)

set(XSOFTMAX_ARCHITECTURES)
foreach(line IN LISTS architectures)
    string(REGEX MATCH "^([^ ]+) ([^ ]+) ?(.*)$" line "${line}")
    set(name ${CMAKE_MATCH_1})
    set(type ${CMAKE_MATCH_2})
    set(flags ${CMAKE_MATCH_3})
    if(type STREQUAL "xsoftmax::kernels::default_arch")
        set(XSOFTMAX_COMPILES_${name} ON)
    endif()
    set(CMAKE_REQUIRED_FLAGS ${flags})
    set(CMAKE_REQUIRED_INCLUDES ${xsimd_includes})
    check_cxx_source_compiles("#include <xsimd/xsimd.hpp>
        #if !defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
        static_assert(${type}::supported());
        float first(xsimd::batch<float, ${type}> x) { return x.get(0); }
        #endif
        int main() {}" XSOFTMAX_COMPILES_${name})
    unset(CMAKE_REQUIRED_FLAGS)
    unset(CMAKE_REQUIRED_INCLUDES)
    if(XSOFTMAX_COMPILES_${name})
        list(APPEND XSOFTMAX_ARCHITECTURES ${name})
        set(XSOFTMAX_TYPE_${name} ${type})
        separate_arguments(XSOFTMAX_FLAGS_${name} UNIX_COMMAND "${flags}")
    endif()
endforeach()

# What a cache variable, a list or "all", chooses of the names that follow, in their order. Any other name is an error.
function(xsoftmax_choose result variable)
    set(names ${ARGN})
    set(chosen ${names})
    if(NOT ${variable} STREQUAL "all")
        foreach(name IN LISTS ${variable})
            if(NOT name IN_LIST names)
                message(FATAL_ERROR "${variable}: ${name} is none of: ${names}")
            endif()
        endforeach()
        foreach(name IN LISTS names)
            if(NOT name IN_LIST ${variable})
                list(REMOVE_ITEM chosen ${name})
            endif()
        endforeach()
    endif()
    set(${result} ${chosen} PARENT_SCOPE)
endfunction()
