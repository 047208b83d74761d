#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/answer_parts.h"

namespace baltoro {

// Finds the tool that a call means by its arguments, for ids that do not say. Immutable after
// construction; any thread.
class ToolMatch {
  public:
    // Of a schema only the top level's `properties`, `required` and `additionalProperties` count; a
    // schema that is no JSON object declares no argument.
    explicit ToolMatch(const std::vector<DeclaredTool>& tools);

    // The name of the only tool that accepts these arguments: a JSON object with all required keys
    // and no undeclared one. Empty if none or several do.
    std::string_view only_tool_for(std::string_view arguments) const;

  private:
    struct Tool {
        std::string name;
        std::vector<std::string> properties;  // sorted
        std::vector<std::string> required;    // sorted, without repetition
        bool accepts_undeclared = false;
    };
    static bool accepts(const Tool& tool, const std::vector<std::string>& keys);

    std::vector<Tool> tools_;
};

}  // namespace baltoro
