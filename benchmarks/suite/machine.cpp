#include "machine.hpp"

#include <xsimd/xsimd.hpp>

#include <ctime>
#include <fstream>
#include <string>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace benchmarks {
namespace {

std::string cpu_name()
{
    std::ifstream file("/proc/cpuinfo");
    std::string name = "unknown", family, model;
    for (std::string text; std::getline(file, text) && !text.empty();) {
        const std::size_t colon = text.find(": ");
        if (colon == std::string::npos) continue;
        const std::string value = text.substr(colon + 2);
        if (text.starts_with("model name")) name = value;
        if (text.starts_with("cpu family")) family = value;
        if (text.starts_with("model\t")) model = value;
    }
    // Virtual machines often hide the name's number; family and model tell the core.
    return family.empty() ? name : name + " (family " + family + ", model " + model + ')';
}

std::string cache_sizes()
{
    std::string text;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    const std::pair<const char*, int> levels[] = {
        {"L1", _SC_LEVEL1_DCACHE_SIZE}, {"L2", _SC_LEVEL2_CACHE_SIZE}, {"L3", _SC_LEVEL3_CACHE_SIZE}};
    for (const auto& [name, parameter] : levels)
        if (const long bytes = sysconf(parameter); bytes > 0)
            text += (text.empty() ? "" : ", ") + std::string(name) + ' ' + std::to_string(bytes / 1024) + " KiB";
#endif
    return text.empty() ? "unknown" : text;
}

std::string system_name()
{
    std::ifstream file("/etc/os-release");
    for (std::string text; std::getline(file, text);)
        if (text.starts_with("PRETTY_NAME=\"")) return text.substr(13, text.size() - 14);
    return "unknown";
}

std::string compiler_name()
{
#if defined(__clang__)
    return "clang++ " + std::to_string(__clang_major__) + '.' + std::to_string(__clang_minor__) + '.' +
           std::to_string(__clang_patchlevel__);
#elif defined(__GNUC__)
    return "g++ " __VERSION__;
#elif defined(_MSC_VER)
    return "MSVC " + std::to_string(_MSC_FULL_VER);
#else
    return "unknown";
#endif
}

}  // namespace

std::vector<std::pair<std::string, std::string>> describe_machine()
{
    const std::string xsimd_version = std::to_string(XSIMD_VERSION_MAJOR) + '.' + std::to_string(XSIMD_VERSION_MINOR) +
                                      '.' + std::to_string(XSIMD_VERSION_PATCH);
    return {{"CPU", cpu_name()},
            {"caches", cache_sizes()},
            {"system", system_name()},
            {"compiler", compiler_name()},
            {"flags", XSOFTMAX_BENCHMARK_FLAGS},
            {"instruction set", xsimd::default_arch::name()},
            {"xsimd", xsimd_version},
            {"xsoftmax", XSOFTMAX_BENCHMARK_VERSION}};
}

std::string commit()
{
    return
#include "commit.inc"
        ;
}

std::string now()
{
    const std::time_t seconds = std::time(nullptr);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", std::gmtime(&seconds));
    return text;
}

}  // namespace benchmarks
