// How sure may a classifier be? Temperature scaling (Guo et al., "On calibration of modern neural networks", 2017) on
// the logits of a network that recognises handwritten digits.

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct sample {
    int label;
    std::array<float, 10> logits;
};

// The line `label,logit_0,…,logit_9`.
bool parse(const std::string& line, sample& result)
{
    std::istringstream fields(line);
    fields >> result.label;
    char comma = 0;
    for (float& logit : result.logits)
        if (!(fields >> comma >> logit) || comma != ',') return false;
    return result.label >= 0 && result.label < 10 && (fields >> std::ws).eof();
}

std::vector<sample> read_samples(const std::string& path)
{
    std::ifstream file(path);
    if (!file) throw std::runtime_error(path + ": cannot be read");
    std::vector<sample> samples;
    std::string line;
    std::getline(file, line);  // the header
    for (int number = 2; std::getline(file, line); ++number) {
        sample next;
        if (!parse(line, next))
            throw std::runtime_error(path + ":" + std::to_string(number) +
                                     ": expected a label from 0 to 9 and ten logits, got \"" + line + "\"");
        samples.push_back(next);
    }
    if (samples.empty()) throw std::runtime_error(path + ": holds no samples");
    return samples;
}

struct figures {
    double accuracy = 0, cross_entropy = 0, confidence = 0;
};

figures evaluate(const std::vector<sample>& samples, double temperature)
{
    figures mean;
    const double weight = 1 / static_cast<double>(samples.size());
    for (const auto& [label, logits] : samples) {
        const std::vector<float> p = xsoftmax::softmax(logits, {temperature});
        const auto top = std::max_element(p.begin(), p.end());
        mean.accuracy += top - p.begin() == label ? weight : 0;
        mean.confidence += weight * static_cast<double>(*top);
        const float loss = xsoftmax::softmax_cross_entropy(logits, label, {temperature});
        mean.cross_entropy += weight * static_cast<double>(loss);
    }
    return mean;
}

int main(int argc, char** argv)
try {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s FILE.csv...\nThe temperature is fitted on the first file.\n", argv[0]);
        return 2;
    }
    double fitted = 0;
    for (int i = 1; i < argc; ++i) {
        const std::vector<sample> samples = read_samples(argv[i]);
        std::printf("%s%s: %zu samples, accuracy %.4f\n\ntemperature  cross-entropy  confidence\n", i > 1 ? "\n" : "",
                    argv[i], samples.size(), evaluate(samples, 1).accuracy);
        double best = 0, least = HUGE_VAL;
        for (const double temperature : {0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0}) {
            const figures mean = evaluate(samples, temperature);
            std::printf("%11.1f  %13.4f  %10.4f\n", temperature, mean.cross_entropy, mean.confidence);
            if (mean.cross_entropy < least) least = mean.cross_entropy, best = temperature;
        }
        std::printf("\nbest in the table: temperature %.1f\n", best);
        if (i == 1) fitted = best;
        const figures before = evaluate(samples, 1), after = evaluate(samples, fitted);
        if (i > 1)
            std::printf("temperature %.1f, fitted on %s: cross-entropy %.4f -> %.4f, confidence %.4f -> %.4f\n", fitted,
                        argv[1], before.cross_entropy, after.cross_entropy, before.confidence, after.confidence);
    }
    std::printf("\nAt temperature 1 the network is more confident than right. Dividing its logits by a temperature "
                "fitted on other data repairs that.\n");
}
catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
