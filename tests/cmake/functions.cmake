# What CMakeLists.txt adds the tests with.

# A program of the cases in test_<name>.cpp, for each of the names.
function(add_case_program program library) # NAME...
    list(TRANSFORM ARGN REPLACE "(.+)" "test_\\1.cpp" OUTPUT_VARIABLE sources)
    add_executable(${program} ${sources})
    target_link_libraries(${program} PRIVATE ${library} xsoftmax_catch2_main)
endfunction()

# A CTest test of the program's cases that match the filter; it fails where none does.
function(add_case_test test program filter) # ENVIRONMENT...
    add_test(NAME ${test} COMMAND ${program} ${filter} --abortx 10 --min-duration 1)
    set_tests_properties(${test} PROPERTIES
        TIMEOUT 600 ENVIRONMENT "${ARGN}" FAIL_REGULAR_EXPRESSION "No test cases matched;No tests ran")
endfunction()

# The same as a slow test, in which loops leave nothing out (logits.hpp).
function(add_slow_case_test test program filter) # ENVIRONMENT...
    add_case_test(${test}.slow ${program} ${filter} ${ARGN} XSOFTMAX_TEST_THOROUGH=1)
    set_tests_properties(${test}.slow PROPERTIES LABELS slow TIMEOUT 7200)
endfunction()

# An emulated processor takes 20 times as long: it is spared what is slow, and the cases tagged [large], rows of up to 2^24
# elements.
set(without_large $<$<BOOL:${CMAKE_CROSSCOMPILING}>:~[large]>)

# For each of the names <prefix>.<name> and, if it is one of slow_names, <prefix>.<name>.slow.
function(add_case_tests prefix program names) # ENVIRONMENT...
    foreach(name IN LISTS names)
        add_case_test(${prefix}.${name} ${program} "[${name}]~[slow]${without_large}" ${ARGN})
        if(name IN_LIST slow_names AND NOT CMAKE_CROSSCOMPILING)
            add_slow_case_test(${prefix}.${name} ${program} "[${name}]" ${ARGN})
        endif()
    endforeach()
endfunction()

# The contract programs, and their tests; they run in any environment.
function(add_contract_programs suffix library) # FLAG...
    foreach(name IN LISTS contract_names)
        add_executable(xsoftmax_contract_${name}_${suffix} contract/${name}.cpp)
        target_compile_options(xsoftmax_contract_${name}_${suffix} PRIVATE ${ARGN})
        target_link_libraries(xsoftmax_contract_${name}_${suffix} PRIVATE ${library})
    endforeach()
endfunction()

function(add_contract_tests prefix suffix) # ENVIRONMENT...
    foreach(name IN LISTS contract_names)
        add_test(NAME ${prefix}.contract.${name} COMMAND xsoftmax_contract_${name}_${suffix})
        set_tests_properties(${prefix}.contract.${name} PROPERTIES
            PASS_REGULAR_EXPRESSION "${name}: ok" ENVIRONMENT "${ARGN}")
    endforeach()
endfunction()

# A program of one file without Catch2, which prints what the regular expression `passes` matches.
function(add_program_test test program source library passes) # FLAG...
    add_executable(${program} ${source})
    target_compile_options(${program} PRIVATE ${ARGN})
    target_link_libraries(${program} PRIVATE ${library})
    add_test(NAME ${test} COMMAND ${program})
    set_tests_properties(${test} PROPERTIES PASS_REGULAR_EXPRESSION "${passes}")
endfunction()

# Functions compiled with -ffast-math, tested by a program without it.
function(add_fast_math_test architecture)
    set(program xsoftmax_tests_fast_math_${architecture})
    add_library(xsoftmax_fast_math_${architecture} OBJECT fast_math.cpp)
    target_compile_options(xsoftmax_fast_math_${architecture} PRIVATE -ffast-math ${XSOFTMAX_FLAGS_${architecture}})
    target_link_libraries(xsoftmax_fast_math_${architecture} PRIVATE xsoftmax::xsoftmax)
    add_case_program(${program} xsoftmax::xsoftmax fast_math)
    target_sources(${program} PRIVATE $<TARGET_OBJECTS:xsoftmax_fast_math_${architecture}>)
    target_compile_options(${program} PRIVATE ${XSOFTMAX_FLAGS_${architecture}})  # whose bounds are those to keep
    if(architecture IN_LIST runnable)
        add_case_tests(${architecture} ${program} fast_math)
    endif()
endfunction()
