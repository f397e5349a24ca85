#pragma once

/// The version of the library, and the language that it needs.

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 202002L
#error "xsoftmax needs C++20: compile with -std=c++20 or later"
#endif

// CMakeLists.txt takes the project's version from these three lines.
#define XSOFTMAX_VERSION_MAJOR 0
#define XSOFTMAX_VERSION_MINOR 1
#define XSOFTMAX_VERSION_PATCH 0

/// "0.1.0"
#define XSOFTMAX_VERSION XSOFTMAX_VERSION_TEXT(XSOFTMAX_VERSION_MAJOR, XSOFTMAX_VERSION_MINOR, XSOFTMAX_VERSION_PATCH)
#define XSOFTMAX_VERSION_TEXT(a, b, c) XSOFTMAX_VERSION_QUOTED(a, b, c)
#define XSOFTMAX_VERSION_QUOTED(a, b, c) #a "." #b "." #c
