#pragma once

/// A few elements of T. std::vector would do, but for its functions, which the linker keeps once for all units of a program,
/// whatever instruction set each was compiled for.

#include "../kernels/target.hpp"

#include <cstddef>
#include <memory>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

template <class T>
class elements {
public:
    /// Not initialised.
    explicit elements(std::size_t size) : data_(size == 0 ? nullptr : new T[size]), size_(size) {}

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] T* data() const { return data_.get(); }
    [[nodiscard]] T& operator[](std::size_t i) const { return data_[i]; }

private:
    std::unique_ptr<T[]> data_;
    std::size_t size_;
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
