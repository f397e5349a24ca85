# Every executor that is there, but, for sanitizers, without those whose threads they do not know. And programs that call none
# of oneTBB, whose headers may be there all the same.

set(library $<IF:$<BOOL:${XSOFTMAX_DISPATCH}>,xsoftmax::dispatch,xsoftmax::xsoftmax>)
add_case_program(xsoftmax_tests_threads ${library} threads)
target_link_libraries(xsoftmax_tests_threads PRIVATE Threads::Threads)
add_case_test(threads xsoftmax_tests_threads "[threads]~[first]~[slow]${without_large}")
add_case_test(threads.first xsoftmax_tests_threads "[first]")
if(NOT CMAKE_CROSSCOMPILING)
    add_slow_case_test(threads xsoftmax_tests_threads "[threads]~[first]")
endif()
set(unoptimised $<$<NOT:$<BOOL:${MSVC}>>:-O0>)
add_program_test(threads.executors xsoftmax_executors executors.cpp xsoftmax::xsoftmax "executors: .*: ok" ${unoptimised})

# Sanitizers have an operator new of their own.
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
    return()
endif()
target_compile_definitions(xsoftmax_tests_threads PRIVATE XSOFTMAX_TEST_NO_MEMORY)
if(CMAKE_CROSSCOMPILING)
    return()
endif()
find_package(OpenMP COMPONENTS CXX)
if(OpenMP_CXX_FOUND)
    target_link_libraries(xsoftmax_tests_threads PRIVATE OpenMP::OpenMP_CXX)
    add_program_test(threads.executors_openmp xsoftmax_executors_openmp executors.cpp xsoftmax::xsoftmax
        "executors: .*: ok" ${unoptimised})
    target_link_libraries(xsoftmax_executors_openmp PRIVATE OpenMP::OpenMP_CXX)
endif()
find_package(TBB CONFIG QUIET)
if(TBB_FOUND)
    target_link_libraries(xsoftmax_tests_threads PRIVATE TBB::tbb)
    target_compile_definitions(xsoftmax_tests_threads PRIVATE XSOFTMAX_TEST_ONETBB)
endif()
