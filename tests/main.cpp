// Catch2 2 makes the program's main here; Catch2 3 brings it along as a library.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#endif
#include "catch.hpp"
