#include "text/tool_match.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace baltoro;

namespace {

const std::vector<DeclaredTool> kTools = {
    {"read", R"({"required":["path","path"],"properties":{"path":{},"limit":{}}})"},
    {"now", ""},
    {"any", R"({"required":["query"],"additionalProperties":{"type":"string"}})"},
};

}  // namespace

TEST_CASE("arguments with all required and no undeclared keys mean their tool") {
    const ToolMatch match(kTools);
    CHECK(match.only_tool_for(R"({"path":"a"})") == "read");
    CHECK(match.only_tool_for(R"( {"limit":1,"path":null} )") == "read");
    CHECK(match.only_tool_for("{}") == "now");
    CHECK(match.only_tool_for(R"({"query":"a","more":"b"})") == "any");
}

TEST_CASE("arguments that no tool or several accept mean none") {
    std::vector<DeclaredTool> tools = kTools;
    tools.push_back({"write", R"({"properties":{"path":{}}})"});
    const ToolMatch match(tools);
    CHECK(match.only_tool_for(R"({"limit":1})").empty());
    CHECK(match.only_tool_for(R"({"path":"a"})").empty());
    CHECK(match.only_tool_for(R"({"path":"a","limit":1})") == "read");
    CHECK(match.only_tool_for("{}").empty());
    CHECK(ToolMatch(std::vector<DeclaredTool>()).only_tool_for("{}").empty());
}

TEST_CASE("arguments that are no JSON object mean none") {
    const ToolMatch match(kTools);
    for (const char* arguments :
         {"", " ", "[]", "null", "\"path\"", "{\"path\":1", "{} x", "\xff"}) {
        CAPTURE(arguments);
        CHECK(match.only_tool_for(arguments).empty());
    }
}

TEST_CASE("a schema that is broken declares no argument") {
    for (const char* schema :
         {"{", "[]", "true", R"({"properties":[],"required":"x","additionalProperties":false})",
          R"({"properties":{},"required":[1,null]})"}) {
        CAPTURE(schema);
        const ToolMatch match(std::vector<DeclaredTool>{{"odd", schema}});
        CHECK(match.only_tool_for("{}") == "odd");
        CHECK(match.only_tool_for(R"({"x":1})").empty());
    }
}

TEST_CASE("a tool that is declared twice is one tool") {
    CHECK(ToolMatch(std::vector<DeclaredTool>{kTools[1], kTools[1]}).only_tool_for("{}") == "now");
}
