/// The library where there are no exceptions: every function works, and a failed check reaches the handler.

#include <xsoftmax/xsoftmax.hpp>

#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#if defined(__cpp_exceptions)
#error "to be compiled with -fno-exceptions"
#endif

namespace {

std::jmp_buf back;
xsoftmax::error_kind last_kind;
char last_message[300];
bool all_is_well = true;

void record_and_leave(xsoftmax::error_kind kind, const char* message)
{
    last_kind = kind;
    std::snprintf(last_message, sizeof last_message, "%s", message);
    std::longjmp(back, 1);
}

void expect(bool condition, const char* what)
{
    if (condition) return;
    std::printf("no exceptions: failed: %s\n", what);
    all_is_well = false;
}

/// Calls what must fail with a message that has both parts in it.
template <class Call>
void expect_failure(xsoftmax::error_kind kind, const char* part, const char* other_part, Call call)
{
    last_message[0] = '\0';
    if (setjmp(back) == 0) {
        call();
        expect(false, "a check that should have failed");
    }
    expect(last_kind == kind, "the kind of a failure");
    expect(std::strstr(last_message, part) != nullptr, part);
    expect(std::strstr(last_message, other_part) != nullptr, other_part);
}

// Global, so that leaving by longjmp skips no destructor.
std::vector<float> logits{2.3f, 1.1f, -0.4f};
std::vector<float> targets{0.5f, 0.5f, 0.0f};
std::vector<float> out(3);
std::vector<float> too_short(2);

std::vector<float> one_loss(1);
std::vector<unsigned char> keep(4);

bool close(float a, double b) { return std::abs(static_cast<double>(a) - b) < 1e-5; }

}  // namespace

int main()
{
    using xsoftmax::error_kind;
    const auto old_handler = xsoftmax::set_error_handler(&record_and_leave);
    expect(old_handler != nullptr, "a handler from the beginning");
    expect(xsoftmax::set_error_handler(nullptr) == &record_and_leave, "the handler that was set");
    expect(xsoftmax::set_error_handler(&record_and_leave) == old_handler, "nullptr brings back the default");

    xsoftmax::softmax(logits, out);
    expect(close(out[0], 0.73078), "softmax");
    expect(close(xsoftmax::softmax(logits)[1], 0.22011), "softmax as a vector");
    xsoftmax::log_softmax(logits, out);
    expect(close(out[0], -0.31364), "log_softmax");
    expect(close(xsoftmax::log_softmax(logits)[1], -1.51364), "log_softmax as a vector");
    expect(close(xsoftmax::log_sum_exp(logits), 2.61364), "log_sum_exp");
    expect(close(xsoftmax::softmax_cross_entropy(logits, 1), 1.51364), "the loss of a class");
    expect(close(xsoftmax::softmax_cross_entropy(logits, 1, out), 1.51364), "the loss of a class, with gradient");
    expect(close(out[1], -0.77989), "the gradient of a class");
    expect(close(xsoftmax::softmax_cross_entropy(logits, targets), 0.91364), "the loss of targets");
    expect(close(xsoftmax::softmax_cross_entropy(logits, targets, out), 0.91364), "the loss of targets, with gradient");
    expect(close(out[1], -0.27989), "the gradient of targets");

    constexpr auto invalid = error_kind::invalid_argument;
    constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
    out = logits;
    expect_failure(invalid, "xsoftmax::softmax:", "temperature is -1", [] { xsoftmax::softmax(logits, out, {-1}); });
    expect_failure(invalid, "xsoftmax::log_softmax:", "temperature is nan",
                   [] { xsoftmax::log_softmax(logits, out, {not_a_number}); });
    expect_failure(invalid, "xsoftmax::log_sum_exp:", "temperature is -2",
                   [] { (void)xsoftmax::log_sum_exp(logits, {-2}); });
    expect_failure(invalid, "xsoftmax::softmax_cross_entropy:", "temperature is 0",
                   [] { xsoftmax::softmax_cross_entropy(logits, 0, {0}); });
    expect_failure(invalid, "probabilities has 2", "logits has 3", [] { xsoftmax::softmax(logits, too_short); });
    expect_failure(invalid, "targets has 2", "logits has 3",
                   [] { xsoftmax::softmax_cross_entropy(logits, too_short, out); });
    expect_failure(invalid, "gradient overlaps", "targets", [] { xsoftmax::softmax_cross_entropy(logits, out, out); });
    expect_failure(error_kind::out_of_range, "xsoftmax::softmax_cross_entropy:", "target is 3, but must be in [0, 3)",
                   [] { xsoftmax::softmax_cross_entropy(logits, 3, out); });
    expect_failure(error_kind::out_of_range, "target is -1", "[0, 3)",
                   [] { xsoftmax::softmax_cross_entropy(logits, -1); });
    using view = xsoftmax::matrix_view<float>;
    expect_failure(invalid, "xsoftmax::softmax: probabilities has extent 2 on axis 1", "logits has 3",
                   [] { xsoftmax::softmax(view(logits.data(), 1, 3), view(out.data(), 1, 2)); });
    expect_failure(error_kind::out_of_range, "xsoftmax::log_softmax:", "axis is 2",
                   [] { xsoftmax::log_softmax(view(logits.data(), 1, 3), view(out.data(), 1, 3), {.axis = 2}); });
    expect_failure(error_kind::out_of_range, "xsoftmax::cross_entropy_losses:", "target of row 0 is 3", [] {
        constexpr int classes[] = {3};
        xsoftmax::cross_entropy_losses(view(logits.data(), 1, 3), classes, one_loss, view(out.data(), 1, 3));
    });
    expect_failure(invalid, "xsoftmax::softmax: keep has extent 4", "axis 0 of logits", [] {
        xsoftmax::softmax(xsoftmax::masked(view(logits.data(), 3, 1),
                                           {.keep = xsoftmax::matrix_view<const unsigned char>(keep.data(), 4, 1)}),
                          view(out.data(), 3, 1));
    });
    expect_failure(invalid, "xsoftmax::log_softmax: mask keeps nothing of row 0", "", [] {
        xsoftmax::log_softmax(
            xsoftmax::masked(view(logits.data(), 1, 3), {.causal = -1, .fully_masked = xsoftmax::fully_masked::error}),
            view(out.data(), 1, 3));
    });
    expect_failure(invalid, "xsoftmax::softmax_backward:", "temperature is 0",
                   [] { xsoftmax::softmax_backward(logits, targets, out, {0}); });
    expect_failure(invalid, "xsoftmax::log_softmax_backward: gradient has 2 elements", "log_probabilities has 3",
                   [] { xsoftmax::log_softmax_backward(logits, targets, too_short); });
    expect(out == logits, "nothing is written where a check fails");

    if (!all_is_well) return 1;
    std::printf("no exceptions: ok\n");
    return 0;
}
