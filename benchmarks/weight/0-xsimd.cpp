// What any program that includes xsimd pays: the least that is possible.
#include <xsimd/xsimd.hpp>

#include <vector>

void scale(std::vector<float>& x, float factor)
{
    for (float& y : x) y *= factor;
}
