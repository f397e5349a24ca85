/// Three plain loops over xsimd::exp.

#include "../suite/contender.hpp"
#include "plain_loops.hpp"
#include "rows.hpp"

#include <string>

namespace benchmarks {
namespace {

contender make()
{
    contender c{"xsimd loop", kind::peer,
                std::to_string(XSIMD_VERSION_MAJOR) + '.' + std::to_string(XSIMD_VERSION_MINOR) + '.' +
                    std::to_string(XSIMD_VERSION_PATCH),
                "three plain loops over xsimd::exp"};
    c.prepare_float = plain_loops<xsimd_exp, float>::prepare;
    c.prepare_double = plain_loops<xsimd_exp, double>::prepare;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
