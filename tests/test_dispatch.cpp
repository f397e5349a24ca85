// The choice of the instruction set when the program runs. Each test of the other files runs on every one of them.
#include "catch.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <cstdlib>
#include <string>

TEST_CASE("The architecture in use is one that this processor runs, and the one asked for", "[dispatch]")
{
    const auto all = xsoftmax::architectures();
    REQUIRE(!all.empty());
    CHECK(std::count(all.begin(), all.end(), xsoftmax::architecture()) == 1);
    const char* const wanted = std::getenv("XSOFTMAX_ARCH");
    CHECK(xsoftmax::architecture() == (wanted != nullptr ? wanted : all.front()));
}
