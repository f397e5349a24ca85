#pragma once

/// A few elements of T, and filling them. std::vector and std::fill would do, but for their functions, which the linker keeps
/// once for all units of a program, whatever instruction set each was compiled for.

#include "../kernels/target.hpp"

#include <cstddef>
#include <memory>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

template <class T>
class elements {
public:
    /// Not initialised.
    explicit elements(std::size_t size)
        : data_(size == 0 ? nullptr : std::make_unique_for_overwrite<T[]>(size)), size_(size)
    {
    }

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] T* data() const { return data_.get(); }
    [[nodiscard]] T& operator[](std::size_t i) const { return data_[i]; }

private:
    std::unique_ptr<T[]> data_;
    std::size_t size_;
};

template <class T>
void fill(T* to, std::size_t size, T value)
{
    for (std::size_t i = 0; i < size; ++i) to[i] = value;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
