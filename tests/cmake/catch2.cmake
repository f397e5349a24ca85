# One file with a main and one header serve both versions of Catch2; only 3 comes with a main of its own.

add_library(xsoftmax_catch2_main STATIC main.cpp)
target_compile_features(xsoftmax_catch2_main PUBLIC cxx_std_20)
target_include_directories(xsoftmax_catch2_main PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
if(TARGET Catch2::Catch2WithMain AND NOT (Catch2_FOUND AND Catch2_VERSION VERSION_LESS 3))
    target_link_libraries(xsoftmax_catch2_main PUBLIC Catch2::Catch2WithMain)
else()
    target_link_libraries(xsoftmax_catch2_main PUBLIC Catch2::Catch2)
endif()
