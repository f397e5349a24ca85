// Every function, on rows and matrices of float, masked ones too: what a framework would wrap.
#include <xsoftmax/xsoftmax.hpp>

#include <span>

using row = std::span<const float>;
using row_out = std::span<float>;
using rows = xsoftmax::matrix_view<const float>;
using rows_out = xsoftmax::matrix_view<float>;
using classes = std::span<const int>;
using mask = xsoftmax::mask<float>;

void softmax(row x, row_out y) { xsoftmax::softmax(x, y); }
void softmax(rows x, rows_out y) { xsoftmax::softmax(x, y); }
void softmax(rows x, rows_out y, const mask& m) { xsoftmax::softmax(xsoftmax::masked(x, m), y); }
void log_softmax(row x, row_out y) { xsoftmax::log_softmax(x, y); }
void log_softmax(rows x, rows_out y) { xsoftmax::log_softmax(x, y); }
void log_softmax(rows x, rows_out y, const mask& m) { xsoftmax::log_softmax(xsoftmax::masked(x, m), y); }

float log_sum_exp(row x) { return xsoftmax::log_sum_exp(x); }
void log_sum_exp(rows x, row_out values) { xsoftmax::log_sum_exp(x, values); }
void log_sum_exp(rows x, row_out values, const mask& m) { xsoftmax::log_sum_exp(xsoftmax::masked(x, m), values); }

float loss(row x, int y, row_out g) { return xsoftmax::softmax_cross_entropy(x, y, g); }
float loss(row x, row t, row_out g) { return xsoftmax::softmax_cross_entropy(x, t, g); }
float loss(rows x, classes y, rows_out g) { return xsoftmax::softmax_cross_entropy(x, y, g); }
float loss(rows x, rows t, rows_out g) { return xsoftmax::softmax_cross_entropy(x, t, g); }
float loss(rows x, classes y, rows_out g, const mask& m)
{
    return xsoftmax::softmax_cross_entropy(xsoftmax::masked(x, m), y, g);
}
void losses(rows x, classes y, row_out values, rows_out g) { xsoftmax::cross_entropy_losses(x, y, values, g); }

void backward(row p, row u, row_out g) { xsoftmax::softmax_backward(p, u, g); }
void backward(rows p, rows u, rows_out g) { xsoftmax::softmax_backward(p, u, g); }
void log_backward(row y, row u, row_out g) { xsoftmax::log_softmax_backward(y, u, g); }
void log_backward(rows y, rows u, rows_out g) { xsoftmax::log_softmax_backward(y, u, g); }
