#pragma once

/// What is thrown at bad arguments, and says which.

#include "catch.hpp"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

template <class Error, class Call>
std::string message_of(Call&& call)
{
    try {
        call();
    }
    catch (const Error& error) {
        return error.what();
    }
    return "nothing was thrown";
}

/// Does `call` throw an Error whose message holds all of `parts`?
template <class Error, class Call>
bool refuses(Call&& call, std::initializer_list<std::string_view> parts)
{
    const std::string message = message_of<Error>(call);
    UNSCOPED_INFO(message);
    return std::all_of(parts.begin(), parts.end(),
                       [&](std::string_view part) { return message.find(part) != std::string::npos; });
}
