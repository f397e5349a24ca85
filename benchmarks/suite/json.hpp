#pragma once

/// Just enough of JSON to write results down.

#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace benchmarks::json {

inline std::string text(std::string_view s)
{
    std::string quoted = "\"";
    for (const char c : s) {
        if (c == '"' || c == '\\') quoted += '\\';
        if (static_cast<unsigned char>(c) >= 0x20)
            quoted += c;
        else
            quoted += ' ';
    }
    return quoted + '"';
}

/// To four digits, which is more than repeats itself; null where there is none: JSON has neither NaN nor infinity.
inline std::string number(double x)
{
    if (!std::isfinite(x)) return "null";
    char digits[32];
    std::snprintf(digits, sizeof(digits), "%.4g", x);
    return digits;
}

/// An object, member by member.
class object {
public:
    object& add(std::string_view name, const std::string& value)
    {
        members_ += (members_.empty() ? "" : ", ") + text(name) + ": " + value;
        return *this;
    }

    std::string str() const { return '{' + members_ + '}'; }

private:
    std::string members_;
};

/// An array: with a line for each element, or all on one.
inline std::string array(const std::vector<std::string>& elements, bool lines = true)
{
    std::string all;
    for (const std::string& element : elements) all += (all.empty() ? "" : lines ? ",\n    " : ", ") + element;
    return lines ? "[\n    " + all + "\n  ]" : '[' + all + ']';
}

}  // namespace benchmarks::json
