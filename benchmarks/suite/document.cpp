#include "document.hpp"

#include "json.hpp"
#include "machine.hpp"

#include <fstream>
#include <string>
#include <vector>

namespace benchmarks {
namespace {

std::string json_of(const contender& who)
{
    const char* const kinds[] = {"xsoftmax", "peer", "limit"};
    return json::object()
        .add("label", json::text(who.label))
        .add("kind", json::text(kinds[static_cast<int>(who.kind)]))
        .add("version", json::text(who.version))
        .add("architecture", json::text(who.architecture))
        .add("description", json::text(who.description))
        .str();
}

}  // namespace

bool write_document(const std::string& path, const std::string& question, bool quick,
                    const std::vector<contender>& contenders, const std::vector<results_section>& sections)
{
    json::object machine;
    for (const auto& [name, value] : describe_machine()) machine.add(name, json::text(value));
    std::vector<std::string> who;
    for (const contender& c : contenders) who.push_back(json_of(c));

    std::ofstream file(path);
    file << "{\n  \"format\": 1,\n  \"question\": " << json::text(question) << ",\n  \"date\": " << json::text(now());
    if (!commit().empty()) file << ",\n  \"commit\": " << json::text(commit());
    file << ",\n  \"effort\": " << json::text(quick ? "quick" : "full") << ",\n  \"machine\": " << machine.str()
         << ",\n  \"contenders\": " << json::array(who);
    for (const results_section& section : sections)
        file << ",\n  " << json::text(section.name) << ": " << json::array(section.objects);
    file << "\n}\n";
    return static_cast<bool>(file.flush());
}

}  // namespace benchmarks
