# Other libraries: each is found, or passed over with a word. A peer is a file of this folder that registers itself.

# peer.cpp, and the targets to link. NEEDS is a program with the calls that older versions lack: those are passed over.
function(xsoftmax_peer peer label version)
    cmake_parse_arguments(PARSE_ARGV 3 arg "" "NEEDS" "")
    set(libraries ${arg_UNPARSED_ARGUMENTS})
    if(arg_NEEDS)
        set(CMAKE_CXX_STANDARD 20)
        set(CMAKE_REQUIRED_LIBRARIES ${libraries})
        set(CMAKE_REQUIRED_QUIET ON)
        check_cxx_source_compiles("${arg_NEEDS}" XSOFTMAX_PEER_COMPILES_${peer})
        if(NOT XSOFTMAX_PEER_COMPILES_${peer})
            xsoftmax_old_peer(${label} "${version}")
            return()
        endif()
    endif()
    set(object xsoftmax_benchmark_peer_${peer})
    add_library(${object} OBJECT ${CMAKE_CURRENT_SOURCE_DIR}/peers/${peer}.cpp)
    target_link_libraries(${object} PRIVATE xsoftmax::xsoftmax ${libraries})
    target_compile_definitions(${object} PRIVATE XSOFTMAX_BENCHMARK_PEER_VERSION="${version}")
    target_sources(xsoftmax_benchmark_peers INTERFACE $<TARGET_OBJECTS:${object}>)
    target_link_libraries(xsoftmax_benchmark_peers INTERFACE ${libraries})
    string(STRIP "${label} ${version}" named)
    message(STATUS "xsoftmax: compares with ${named}")
endfunction()

function(xsoftmax_old_peer label version)
    message(STATUS "xsoftmax: does not compare with ${label} ${version}, which is too old")
endfunction()

# The package is Debian's.
function(xsoftmax_no_peer label package)
    message(STATUS "xsoftmax: does not compare with ${label}, which is not installed (${package})")
endfunction()

# An imported target for libraries that have no CMake package, or none that serves here.
function(xsoftmax_plain_library target header)
    find_path(${target}_INCLUDE_DIR ${header})
    mark_as_advanced(${target}_INCLUDE_DIR)
    set(found ${${target}_INCLUDE_DIR})
    set(libraries)
    foreach(library IN LISTS ARGN)
        find_library(${target}_${library}_LIBRARY ${library})
        mark_as_advanced(${target}_${library}_LIBRARY)
        list(APPEND libraries ${${target}_${library}_LIBRARY})
        if(NOT ${target}_${library}_LIBRARY)
            set(found)
        endif()
    endforeach()
    if(found)
        add_library(${target} INTERFACE IMPORTED)
        set_target_properties(${target} PROPERTIES
            INTERFACE_INCLUDE_DIRECTORIES "${${target}_INCLUDE_DIR}"
            INTERFACE_LINK_LIBRARIES "${libraries}")
    endif()
endfunction()

if(NOT XSOFTMAX_BENCHMARK_PEERS)
    return()
endif()

find_package(Eigen3 CONFIG QUIET)
if(TARGET Eigen3::Eigen)
    xsoftmax_peer(eigen Eigen "${Eigen3_VERSION}" Eigen3::Eigen)
else()
    xsoftmax_no_peer(Eigen libeigen3-dev)
endif()

# Version 2 is called otherwise, and its package stops the configuration where OpenCL is missing.
find_package(dnnl 3 CONFIG QUIET)
if(TARGET DNNL::dnnl)
    # Debian's has OpenMP's threads, which only OpenMP holds to one.
    find_package(OpenMP COMPONENTS CXX QUIET)
    set(openmp)
    if(TARGET OpenMP::OpenMP_CXX)
        set(openmp OpenMP::OpenMP_CXX)
    endif()
    xsoftmax_peer(onednn oneDNN "${dnnl_VERSION}" DNNL::dnnl ${openmp})
elseif(dnnl_CONSIDERED_VERSIONS)
    xsoftmax_old_peer(oneDNN "${dnnl_CONSIDERED_VERSIONS}")
else()
    xsoftmax_no_peer(oneDNN libdnnl-dev)
endif()

xsoftmax_plain_library(xsoftmax_xnnpack xnnpack.h XNNPACK)
xsoftmax_plain_library(xsoftmax_pthreadpool pthreadpool.h)  # which its header includes
if(XSOFTMAX_BENCHMARK_AVX2)
    message(STATUS "xsoftmax: does not compare with XNNPACK and ONNX Runtime, which cannot be held to AVX2")
elseif(TARGET xsoftmax_xnnpack AND TARGET xsoftmax_pthreadpool)
    # It has no versions; the library's file is named by its day.
    get_filename_component(file "${xsoftmax_xnnpack_XNNPACK_LIBRARY}" REALPATH)
    string(REGEX MATCH "20[0-9]+$" day "${file}")
    xsoftmax_peer(xnnpack XNNPACK "${day}" xsoftmax_xnnpack xsoftmax_pthreadpool NEEDS [[
        #include <xnnpack.h>
        int main()
        {
            xnn_operator_t made = nullptr;
            xnn_create_softmax_nc_f32(0, &made);
            xnn_reshape_softmax_nc_f32(made, 1, 1, 1, 1, nullptr);
            xnn_setup_softmax_nc_f32(made, nullptr, nullptr);
        }]])
else()
    xsoftmax_no_peer(XNNPACK "libxnnpack-dev libpthreadpool-dev")
endif()

find_package(onnxruntime CONFIG QUIET)
if(XSOFTMAX_BENCHMARK_AVX2)
    # Said above.
elseif(TARGET onnxruntime::onnxruntime)
    xsoftmax_peer(onnxruntime "ONNX Runtime" "${onnxruntime_VERSION}" onnxruntime::onnxruntime)
else()
    xsoftmax_no_peer("ONNX Runtime" libonnxruntime-dev)
endif()

# Its own package wants protobuf, warns at length and changes flags.
xsoftmax_plain_library(xsoftmax_pytorch ATen/ATen.h torch_cpu c10)
if(TARGET xsoftmax_pytorch)
    xsoftmax_peer(pytorch PyTorch "" xsoftmax_pytorch)  # its headers tell the version
else()
    xsoftmax_no_peer(PyTorch libtorch-dev)
endif()

find_package(hwy CONFIG QUIET)
if(TARGET hwy::hwy)
    xsoftmax_peer(highway Highway "${hwy_VERSION}" hwy::hwy)
else()
    xsoftmax_no_peer(Highway libhwy-dev)
endif()

# Its CMake package came with version 3.7; the header knows the version.
xsoftmax_plain_library(xsoftmax_sleef sleef.h sleef)
set(CMAKE_REQUIRED_QUIET ON)
check_cxx_source_compiles("#if !defined(__SSE2__) && !defined(__aarch64__)\n#error\n#endif\nint main() {}"
    XSOFTMAX_PEER_KNOWS_PROCESSOR_sleef)
unset(CMAKE_REQUIRED_QUIET)
if(NOT XSOFTMAX_PEER_KNOWS_PROCESSOR_sleef)
    message(STATUS "xsoftmax: does not compare with SLEEF on ${CMAKE_SYSTEM_PROCESSOR}, but on x86-64 and AArch64")
elseif(TARGET xsoftmax_sleef)
    xsoftmax_peer(sleef SLEEF "" xsoftmax_sleef)
else()
    xsoftmax_no_peer(SLEEF libsleef-dev)
endif()
