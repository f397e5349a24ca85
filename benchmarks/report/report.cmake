# benchmark_report measures everything and draws the page; benchmark_report_quick shows in two minutes that it works.

# The first python3 on the path need not be the one that has matplotlib.
if(NOT XSOFTMAX_REPORT_PYTHON)
    find_package(Python3 COMPONENTS Interpreter QUIET)
    foreach(candidate IN ITEMS ${Python3_EXECUTABLE} python3 /usr/bin/python3 python)
        execute_process(COMMAND ${candidate} -c "import matplotlib"
            RESULT_VARIABLE failure OUTPUT_QUIET ERROR_QUIET)
        if(failure EQUAL 0)
            set(XSOFTMAX_REPORT_PYTHON ${candidate} CACHE STRING "A Python interpreter that has matplotlib")
            break()
        endif()
    endforeach()
endif()

if(NOT XSOFTMAX_REPORT_PYTHON)
    message(STATUS "xsoftmax: no report, since no Python interpreter has matplotlib (python3-matplotlib)")
    foreach(name IN ITEMS benchmark_report benchmark_report_quick)
        add_custom_target(${name}
            COMMAND ${CMAKE_COMMAND} -E echo
                "The report is drawn by matplotlib: install it (Debian: python3-matplotlib) and configure again."
            COMMAND ${CMAKE_COMMAND} -E false
            VERBATIM)
    endforeach()
    return()
endif()
message(STATUS "xsoftmax: the report is drawn by ${XSOFTMAX_REPORT_PYTHON}")

function(add_report_target name folder)
    set(files ${folder}/libraries.json ${folder}/kernels.json ${folder}/accuracy.json)
    add_custom_target(${name}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
        COMMAND xsoftmax_library_benchmarks --table ${ARGN} --json=${folder}/libraries.json
        COMMAND xsoftmax_benchmarks --table ${ARGN} --json=${folder}/kernels.json
        COMMAND xsoftmax_accuracy ${ARGN} --json=${folder}/accuracy.json
        COMMAND ${XSOFTMAX_REPORT_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/report/report.py ${files}
            --html ${folder}/report.html --plots ${folder}/plots
        USES_TERMINAL
        VERBATIM)
endfunction()

add_report_target(benchmark_report ${PROJECT_BINARY_DIR}/report)
add_report_target(benchmark_report_quick ${PROJECT_BINARY_DIR}/report-quick --quick)
