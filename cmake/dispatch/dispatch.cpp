// Which architecture to run on: asked of xsimd and of the environment, once.
#include "architectures.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#include <sys/prctl.h>
#endif

namespace xsoftmax::dispatch_1 {

constinit std::atomic<const kernels::kernel_table*> current{nullptr};

namespace {

/// May programs use the registers? xsimd 8.1 asks the processor, which may have what the system does not save.
template <class Arch>
bool system_allows()
{
#if defined(__x86_64__) || defined(__i386__)
    if constexpr (std::is_base_of_v<xsimd::avx512f, Arch>)
        return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
    if constexpr (std::is_base_of_v<xsimd::avx, Arch>) return __builtin_cpu_supports("avx") != 0;
#endif
    return true;
}

/// How many bits have the vectors of SVE here? 0 without it. xsimd tells lengths apart from 14 on, and 13 finds none.
[[maybe_unused]] int sve_bits()
{
#if defined(__aarch64__) && defined(__linux__) && defined(HWCAP_SVE) && defined(PR_SVE_GET_VL)
    if ((getauxval(AT_HWCAP) & HWCAP_SVE) != 0) return (prctl(PR_SVE_GET_VL) & PR_SVE_VL_LEN_MASK) * 8;
#endif
    return 0;
}

template <class Arch>
bool processor_has([[maybe_unused]] const char* name)
{
#if defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
    return true;
#elif defined(__aarch64__)
    return std::strncmp(name, "sve", 3) != 0 || std::atoi(name + 3) == sve_bits();
#elif XSIMD_VERSION_MAJOR < 9
    return Arch::version() <= xsimd::available_architectures().best;
#else
    return xsimd::available_architectures().has(Arch{});
#endif
}

/// The tables that this processor runs, best first. The last one of the list is what the compiler takes for granted.
struct runnable_tables {
    std::array<const kernels::kernel_table*, 16> tables{};
    std::array<const char*, 16> names{};
    std::size_t count = 0;

    runnable_tables() noexcept
    {
#define XSOFTMAX_ADD_TABLE(name, ...) add<__VA_ARGS__>(xsoftmax_table_of_##name);
        XSOFTMAX_FOR_EACH_ARCHITECTURE(XSOFTMAX_ADD_TABLE)
#undef XSOFTMAX_ADD_TABLE
    }

    template <class Arch>
    void add(const kernels::kernel_table& table)
    {
        if (!std::is_same_v<Arch, kernels::default_arch> && !(processor_has<Arch>(table.name) && system_allows<Arch>()))
            return;
        tables[count] = &table;
        names[count++] = table.name;
    }
};

const runnable_tables& runnable_here() noexcept
{
    static const runnable_tables found;
    return found;
}

/// The choice among them, with the message that says what is wrong with it.
struct choice {
    const kernels::kernel_table* table = nullptr;
    std::array<char, 240> error{};

    choice() noexcept
    {
        const runnable_tables& here = runnable_here();
        const char* const wanted = std::getenv("XSOFTMAX_ARCH");
        if (here.count == 0) {
            std::snprintf(error.data(), error.size(),
                          "xsoftmax::dispatch was built for none of this machine's architectures");
            return;
        }
        if (wanted == nullptr || *wanted == '\0') {
            table = here.tables[0];
            return;
        }
        for (std::size_t k = 0; k < here.count; ++k)
            if (std::strcmp(wanted, here.names[k]) == 0) table = here.tables[k];
        if (table != nullptr) return;
        int length =
            std::snprintf(error.data(), error.size(), "XSOFTMAX_ARCH is \"%.60s\", but must be one of:", wanted);
        for (std::size_t k = 0; k < here.count && length > 0 && static_cast<std::size_t>(length) < error.size(); ++k)
            length += std::snprintf(error.data() + length, error.size() - static_cast<std::size_t>(length), " %s",
                                    here.names[k]);
    }
};

}  // namespace

found_table find_table() noexcept
{
    static const choice chosen;
    if (chosen.table != nullptr) current.store(chosen.table, std::memory_order_relaxed);
    return {chosen.table, chosen.error.data()};
}

const char* const* runnable(std::size_t* count) noexcept
{
    *count = runnable_here().count;
    return runnable_here().names.data();
}

}  // namespace xsoftmax::dispatch_1
