# Other libraries: each is found, or passed over with a word. A peer is a file of this folder that registers itself.

# peer.cpp, and the targets to link.
function(xsoftmax_peer peer label version)
    set(object xsoftmax_benchmark_peer_${peer})
    add_library(${object} OBJECT ${CMAKE_CURRENT_SOURCE_DIR}/peers/${peer}.cpp)
    target_link_libraries(${object} PRIVATE xsoftmax::xsoftmax ${ARGN})
    target_compile_definitions(${object} PRIVATE XSOFTMAX_BENCHMARK_PEER_VERSION="${version}")
    target_sources(xsoftmax_benchmark_peers INTERFACE $<TARGET_OBJECTS:${object}>)
    target_link_libraries(xsoftmax_benchmark_peers INTERFACE ${ARGN})
    message(STATUS "xsoftmax: compares with ${label} ${version}")
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

find_package(dnnl CONFIG QUIET)
if(TARGET DNNL::dnnl)
    xsoftmax_peer(onednn oneDNN "${dnnl_VERSION}" DNNL::dnnl)
else()
    xsoftmax_no_peer(oneDNN libdnnl-dev)
endif()

xsoftmax_plain_library(xsoftmax_xnnpack xnnpack.h XNNPACK)
xsoftmax_plain_library(xsoftmax_pthreadpool pthreadpool.h)  # which its header includes
if(TARGET xsoftmax_xnnpack AND TARGET xsoftmax_pthreadpool)
    # It has no versions; the library's file is named by its day.
    get_filename_component(file "${xsoftmax_xnnpack_XNNPACK_LIBRARY}" REALPATH)
    string(REGEX MATCH "[0-9]+$" day "${file}")
    xsoftmax_peer(xnnpack XNNPACK "${day}" xsoftmax_xnnpack xsoftmax_pthreadpool)
else()
    xsoftmax_no_peer(XNNPACK "libxnnpack-dev libpthreadpool-dev")
endif()

find_package(onnxruntime CONFIG QUIET)
if(TARGET onnxruntime::onnxruntime)
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

find_package(sleef CONFIG QUIET)
if(TARGET sleef::sleef)
    xsoftmax_peer(sleef SLEEF "${sleef_VERSION}" sleef::sleef)
else()
    xsoftmax_no_peer(SLEEF libsleef-dev)
endif()
