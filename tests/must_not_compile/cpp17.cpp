// expect: xsoftmax needs C\+\+20
// standard: 17
#include <xsoftmax/xsoftmax.hpp>
