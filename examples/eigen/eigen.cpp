// Eigen's matrices go in as views, whichever way they are stored; its vectors as spans.

#include <Eigen/Core>
#include <xsoftmax/xsoftmax.hpp>

#include <cstdio>
#include <span>
#include <type_traits>
#include <vector>

namespace {

/// A view of any dense Eigen matrix, row-major or column-major, blocks and maps included.
template <class Matrix>
auto view(Matrix&& matrix)
{
    using element = std::remove_pointer_t<decltype(matrix.data())>;
    return xsoftmax::tensor_view<element, 2>(
        matrix.data(), {static_cast<std::size_t>(matrix.rows()), static_cast<std::size_t>(matrix.cols())},
        {matrix.rowStride(), matrix.colStride()});
}

template <class Row>
void print(const char* what, const Row& row)
{
    std::printf("%-22s", what);
    for (Eigen::Index i = 0; i < row.size(); ++i) std::printf(" %.4f", static_cast<double>(row(i)));
    std::puts("");
}

}  // namespace

int main()
{
    // Eigen's default, column-major: a row's elements are apart, and rows are computed side by side.
    Eigen::MatrixXf logits(2, 3);
    logits << 2, 1, -1,  //
        0, 0, 0;
    Eigen::MatrixXf probabilities(2, 3);
    xsoftmax::softmax(view(logits), view(probabilities));
    print("column-major, row 0:", probabilities.row(0));

    // Row-major, in place.
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows = logits;
    xsoftmax::softmax(view(rows), view(rows));
    print("row-major, row 0:", rows.row(0));

    // Along columns instead: axis 0.
    xsoftmax::softmax(view(logits), view(probabilities), {.axis = 0});
    print("along columns, col 0:", probabilities.col(0));

    // A vector is a row.
    const Eigen::VectorXf vector = logits.row(0);
    std::printf("log_sum_exp of a vector %.4f\n",
                static_cast<double>(xsoftmax::log_sum_exp(std::span(vector.data(), std::size_t(vector.size())))));

    // Loss of both rows with their classes, and its gradient by the logits.
    const std::vector<int> classes{0, 2};
    Eigen::MatrixXf gradient(2, 3);
    std::printf("loss %.4f\n", static_cast<double>(xsoftmax::softmax_cross_entropy(
                                   view(logits), classes, view(gradient), {.reduction = xsoftmax::reduction::sum})));
    print("gradient, row 0:", gradient.row(0));
}
