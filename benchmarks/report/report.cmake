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

if(XSOFTMAX_REPORT_PYTHON)
    message(STATUS "xsoftmax: the report is drawn by ${XSOFTMAX_REPORT_PYTHON}")
else()
    message(STATUS "xsoftmax: the report has no page, since no Python interpreter has matplotlib (python3-matplotlib)")
endif()

function(add_report_target name folder)
    set(files ${folder}/libraries.json ${folder}/kernels.json ${folder}/accuracy.json)
    if(XSOFTMAX_REPORT_PYTHON)
        set(draw ${XSOFTMAX_REPORT_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/report/report.py ${files}
            --html ${folder}/report.html --plots ${folder}/plots)
    else()
        set(draw ${CMAKE_COMMAND} -E echo "Measured: ${folder}. The page is drawn by matplotlib, which was not found.")
    endif()
    add_custom_target(${name}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
        COMMAND xsoftmax_library_benchmarks --table ${ARGN} --json=${folder}/libraries.json
        COMMAND xsoftmax_benchmarks --table ${ARGN} --json=${folder}/kernels.json
        COMMAND xsoftmax_accuracy ${ARGN} --json=${folder}/accuracy.json
        COMMAND ${draw}
        USES_TERMINAL
        VERBATIM)
endfunction()

add_report_target(benchmark_report ${PROJECT_BINARY_DIR}/report)
add_report_target(benchmark_report_quick ${PROJECT_BINARY_DIR}/report-quick --quick)
