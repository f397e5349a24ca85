# The instruction sets to test.
#
# architectures: those that header-only programs are compiled for, least first; elsewhere than on x86-64 what the compiler
# takes for granted, "default", and SVE in the length that this machine has.
# least, best: the first and the last of them.
# runnable: what this machine runs of all.
# XSOFTMAX_FLAGS_<name>: the compiler's flags for it.

set(XSOFTMAX_TEST_ARCHITECTURES "all" CACHE STRING "Instruction sets to test, of: sse2 avx2 avx512; elsewhere: default, SVE")

set(runnable)
if(NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR)
    try_run(XSOFTMAX_CPU_RUNS XSOFTMAX_CPU_COMPILES
        ${CMAKE_CURRENT_BINARY_DIR}/cpu_supports ${CMAKE_CURRENT_SOURCE_DIR}/cpu_supports.cpp
        RUN_OUTPUT_VARIABLE runnable)
endif()

if("sse2" IN_LIST XSOFTMAX_ARCHITECTURES)
    set(architectures ${XSOFTMAX_ARCHITECTURES})
    list(REVERSE architectures)
else()
    set(architectures ${XSOFTMAX_ARCHITECTURES})
    list(FILTER architectures INCLUDE REGEX "^sve")
    foreach(name IN LISTS architectures)
        if(NOT name IN_LIST runnable)
            list(REMOVE_ITEM architectures ${name})
        endif()
    endforeach()
    list(PREPEND architectures default)
endif()
xsoftmax_choose(architectures XSOFTMAX_TEST_ARCHITECTURES ${architectures})
list(GET architectures 0 least)
list(GET architectures -1 best)
message(STATUS "xsoftmax: tests are built for: ${architectures}; this machine runs: ${runnable}")
