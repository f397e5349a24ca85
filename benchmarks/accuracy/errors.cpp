#include "errors.hpp"

#include "../suite/json.hpp"
#include "../suite/table.hpp"

#include <logits.hpp>
#include <oracle.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace benchmarks {
namespace {

const std::vector<operation> operations = {operation::softmax,
                                           operation::log_softmax,
                                           operation::log_sum_exp,
                                           operation::cross_entropy,
                                           operation::cross_entropy_gradient,
                                           operation::cross_entropy_targets_gradient};

/// "normal, spread 3.000000" with the number as one would write it.
std::string short_name(const std::string& name)
{
    std::string text;
    for (std::size_t i = 0; i < name.size();) {
        std::size_t length = 0;
        while (i + length < name.size() && (std::isdigit(static_cast<unsigned char>(name[i + length])) != 0 ||
                                            (length > 0 && name[i + length] == '.')))
            ++length;
        if (length == 0) {
            text += name[i++];
            continue;
        }
        char number[32];
        std::snprintf(number, sizeof(number), "%g", std::stod(name.substr(i, length)));
        text += number;
        i += length;
    }
    return text;
}

/// Rows of this length and more are of one distribution: the oracle takes a second for 2^24 elements.
constexpr std::size_t long_row = 200000;
constexpr const char* distribution_of_long_rows = "normal, spread 3";
/// In longer rows not more elements than this are looked at: what is wrong there is wrong throughout.
constexpr std::size_t most_elements = 70000;

struct error {
    double largest = 0;
    double sum = 0;
    std::size_t count = 0;

    void note(double e)
    {
        largest = std::max(largest, e);
        sum += e;
        ++count;
    }

    void note(const error& other)
    {
        largest = std::max(largest, other.largest);
        sum += other.sum;
        count += other.count;
    }

    double mean() const { return sum / static_cast<double>(std::max<std::size_t>(count, 1)); }
};

/// Errors by contender, and by length or distribution.
using error_table = std::map<std::string, std::map<std::string, error>>;

template <class T>
class error_of_row {
public:
    error_of_row(const operands<T>& memory, const oracle::row<T>& exact) : memory_(memory), exact_(exact) {}

    error of(operation what)
    {
        const std::size_t n = memory_.output().size();
        const std::size_t target = static_cast<std::size_t>(memory_.classes().front());
        const T value = memory_.values().front();
        switch (what) {
            case operation::softmax:
                for_elements([&](std::size_t i) { note(exact_.softmax(i), memory_.output()[i]); });
                break;
            case operation::log_softmax:
                for_elements([&](std::size_t i) { note(exact_.log_softmax(i), memory_.output()[i]); });
                break;
            case operation::log_sum_exp: {
                // Where the maximum and the logarithm cancel, what was lost is the maximum's own rounding.
                const long double y = exact_.log_sum_exp();
                note(y, value, std::max(std::abs(y), std::abs(exact_.top())));
                break;
            }
            case operation::cross_entropy: note(exact_.cross_entropy(target), value); break;
            case operation::cross_entropy_gradient:
                for_elements(
                    [&](std::size_t i) { note(exact_.cross_entropy_gradient(i, target), memory_.output()[i]); });
                break;
            default: {
                const std::span<const T> targets(memory_.second().data(), n);
                long double sum = 0;
                for (const T t : targets) sum += t;
                for_elements([&](std::size_t i) {
                    const long double g = exact_.cross_entropy_gradient(i, targets, sum);
                    note(g, memory_.output()[i],
                         std::max({std::abs(g), sum * exact_.softmax(i), static_cast<long double>(targets[i])}));
                });
            }
        }
        return error_;
    }

private:
    template <class F>
    void for_elements(F f)
    {
        const std::size_t n = memory_.output().size();
        // Odd, so that every lane of a vector has its turn: an even stride sees only even places.
        const std::size_t stride = (n / most_elements + 1) | 1;
        for (std::size_t i = 0; i < n; i += stride) f(i);
    }

    void note(long double expected, T got) { note(expected, got, expected); }

    void note(long double expected, T got, long double scale)
    {
        if (expected != 0 && std::abs(expected) < std::numeric_limits<T>::min()) return;
        error_.note(oracle::ulp_error(expected, got, scale));
    }

    const operands<T>& memory_;
    const oracle::row<T>& exact_;
    error error_;
};

/// A contender's call, prepared for the rows of a length.
template <class T>
struct prepared {
    const contender* who;
    operation what;
    operands<T>* memory;
    call run;
};

template <class T>
class measurement {
public:
    measurement(const std::vector<contender>& contenders, const std::vector<std::size_t>& lengths)
        : contenders_(contenders), lengths_(lengths)
    {
    }

    void run(std::vector<std::string>& objects, progress& shown)
    {
        for (const std::size_t n : lengths_) {
            shown.show(std::string("accuracy/") + type_name<T> + '/' + std::to_string(n));
            run_length(n, objects);
        }
        shown.clear();
    }

    void print() const
    {
        for (const operation o : operations) {
            std::vector<std::string> lengths;
            for (const std::size_t n : lengths_) lengths.push_back(std::to_string(n));
            print_table(o, "", by_length_.at(o), lengths);
        }
        for (const operation o : {operation::softmax, operation::log_softmax})
            print_table(o, ", rows of 1000", by_distribution_.at(o), distribution_names());
    }

private:
    static std::vector<std::string> distribution_names()
    {
        std::vector<std::string> names;
        for (const auto& d : logits::distributions<T>()) names.push_back(short_name(d.name));
        return names;
    }

    void run_length(std::size_t n, std::vector<std::string>& objects)
    {
        std::map<operation, operands<T>> memory;
        std::vector<prepared<T>> calls;
        for (const operation o : operations) {
            operands<T>& m = memory.try_emplace(o, o, shape{1, n}).first->second;
            for (const contender& who : contenders_)
                if (const call c = who.prepare(m.view())) calls.push_back({&who, o, &m, c});
        }
        const auto distributions = logits::distributions<T>();
        std::vector<std::vector<std::string>> largest(calls.size()), mean(calls.size());
        for (std::size_t d = 0; d < distributions.size(); ++d) {
            const std::string name = short_name(distributions[d].name);
            const bool measured = n < long_row || name == distribution_of_long_rows;
            const std::size_t rows = measured ? std::clamp<std::size_t>(16384 / n, 1, 64) : 0;
            std::map<std::pair<operation, const contender*>, error> errors;
            for (std::size_t salt = 0; salt < rows; ++salt)
                run_row(distributions[d].make(n, salt + 100 * d), calls, memory, errors);
            for (std::size_t c = 0; c < calls.size(); ++c) {
                const error& e = errors[{calls[c].what, calls[c].who}];
                largest[c].push_back(measured ? number(e.largest) : "null");
                mean[c].push_back(measured ? number(e.mean()) : "null");
                by_length_[calls[c].what][calls[c].who->label][std::to_string(n)].note(e);
                if (n == 1000) by_distribution_[calls[c].what][calls[c].who->label][name].note(e);
            }
        }
        for (std::size_t c = 0; c < calls.size(); ++c)
            objects.push_back(json::object()
                                  .add("operation", json::text(name_of(calls[c].what)))
                                  .add("type", json::text(type_name<T>))
                                  .add("columns", std::to_string(n))
                                  .add("contender", json::text(calls[c].who->label))
                                  .add("max_ulp", json::array(largest[c], false))
                                  .add("mean_ulp", json::array(mean[c], false))
                                  .str());
    }

    /// "NaN" where one of the numbers is NaN or infinite, and should not be.
    static std::string number(double ulp)
    {
        char digits[32];
        std::snprintf(digits, sizeof(digits), "%.4g", ulp);
        return std::isfinite(ulp) ? digits : "\"NaN\"";
    }

    static void run_row(const std::vector<T>& x, const std::vector<prepared<T>>& calls,
                        std::map<operation, operands<T>>& memory,
                        std::map<std::pair<operation, const contender*>, error>& errors)
    {
        for (auto& [what, m] : memory) std::copy(x.begin(), x.end(), m.first().begin());
        const oracle::row<T> exact(x, 1);
        for (const prepared<T>& p : calls) {
            p.run();
            errors[{p.what, p.who}].note(error_of_row<T>(*p.memory, exact).of(p.what));
        }
    }

    void print_table(operation what, const char* title, const error_table& errors,
                     const std::vector<std::string>& columns) const
    {
        // Names that are too long for a column's head are written down the side.
        const bool turned = std::any_of(columns.begin(), columns.end(), [](const auto& c) { return c.size() > 10; });
        std::printf("\n%s, %s%s: largest error in ULP\n", name_of(what), type_name<T>, title);
        std::vector<std::string> labels;
        for (const contender& who : contenders_)
            if (errors.count(who.label) != 0) labels.push_back(who.label);
        const std::vector<std::string>&across = turned ? labels : columns, &down = turned ? columns : labels;
        const int side = turned ? 40 : 32;
        std::printf("%*s", side, "");
        for (const std::string& name : across) std::printf(" %10.10s", name.c_str());
        for (const std::string& name : down) {
            std::printf("\n%-*s", side, name.c_str());
            for (const std::string& other : across) {
                const auto& of = errors.at(turned ? other : name);
                const auto found = of.find(turned ? name : other);
                if (found == of.end())
                    std::printf(" %10s", "-");
                else
                    std::printf(found->second.largest < 1e4 ? " %10.2f" : " %10.2g", found->second.largest);
            }
        }
        std::printf("\n");
        std::fflush(stdout);
    }

    const std::vector<contender>& contenders_;
    const std::vector<std::size_t>& lengths_;
    std::map<operation, error_table> by_length_, by_distribution_;
};

}  // namespace

std::vector<std::string> measure_errors(const std::vector<contender>& contenders, bool quick)
{
    std::vector<std::size_t> lengths = {8, 16, 64, 128, 1000, 4096, 32000, 128256};
    if (!quick) lengths.insert(lengths.end(), {std::size_t{1} << 20, std::size_t{1} << 24});
    std::vector<std::string> objects;
    progress shown(2 * lengths.size() - (quick ? 0 : 1));
    measurement<float> of_float(contenders, lengths);
    of_float.run(objects, shown);
    of_float.print();
    const std::vector<std::size_t> lengths_of_double(lengths.begin(), lengths.end() - (quick ? 0 : 1));
    measurement<double> of_double(contenders, lengths_of_double);
    of_double.run(objects, shown);
    of_double.print();
    return objects;
}

std::vector<std::string> names_of_distributions()
{
    std::vector<std::string> names;
    for (const auto& d : logits::distributions<float>()) names.push_back(json::text(short_name(d.name)));
    return names;
}

}  // namespace benchmarks
