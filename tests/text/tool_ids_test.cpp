#include "text/tool_ids.h"

#include <chrono>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

using namespace baltoro;
using nlohmann::ordered_json;

namespace {

ordered_json call(const std::string& id, const std::string& name) {
    return {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", "{}"}}}};
}

ordered_json assistant(const std::vector<ordered_json>& calls) {
    return {{"role", "assistant"}, {"content", ""}, {"tool_calls", calls}};
}

ordered_json tool(const std::string& id) {
    return {{"role", "tool"}, {"tool_call_id", id}, {"content", "x"}};
}

ordered_json user() {
    return {{"role", "user"}, {"content", "go on"}};
}

// The ids of calls and tool messages, in their order; "-" where there is none.
std::string ids_after(const ordered_json& messages) {
    std::string ids;
    for (const ordered_json& message : ordered_json::parse(canonical_tool_ids(messages.dump()))) {
        if (message.at("role") == "tool") ids += "=" + message.value("tool_call_id", "-") + " ";
        if (!message.contains("tool_calls")) continue;
        for (const ordered_json& one : message.at("tool_calls"))
            ids += one.value("id", "-") + " ";
    }
    return ids;
}

}  // namespace

TEST_CASE("whatever ids a client sends, calls are counted over the conversation") {
    CHECK(
        ids_after({user(), assistant({call("functions_Bash_0", "Bash"), call("toolu_01A", "Read")}),
                   tool("toolu_01A"), tool("functions_Bash_0"), user(),
                   assistant({call("call_9f", "Bash")}), tool("call_9f")}) ==
        "functions.Bash:0 functions.Read:1 =functions.Read:1 =functions.Bash:0 "
        "functions.Bash:2 =functions.Bash:2 ");
}

TEST_CASE("ids that are canonical stay and so does everything else") {
    const ordered_json messages = {
        {{"role", "system"}, {"content", {{{"type", "text"}, {"text", "é\u2028"}}}}},
        user(),
        assistant({call("functions.a:0", "a"), call("functions.b:1", "b")}),
        tool("functions.b:1"),
        tool("functions.a:0"),
        {{"z", 1}, {"role", "assistant"}, {"content", nullptr}, {"a", {{"n", 12345678901234567}}}}};
    const std::string once = canonical_tool_ids(messages.dump());
    CHECK(ordered_json::parse(once).dump() == messages.dump());
    CHECK(canonical_tool_ids(once) == once);
}

TEST_CASE("an id that is used again means its latest unanswered call") {
    CHECK(ids_after({assistant({call("c", "a")}), tool("c"), assistant({call("c", "b")}),
                     tool("c")}) == "functions.a:0 =functions.a:0 functions.b:1 =functions.b:1 ");
    CHECK(ids_after({assistant({call("c", "a")}), assistant({call("c", "b")}), tool("c"),
                     tool("c")}) == "functions.a:0 functions.b:1 =functions.b:1 =functions.a:0 ");
    CHECK(ids_after({assistant({call("c", "a"), call("c", "b")}), tool("c"), tool("c")}) ==
          "functions.a:0 functions.b:1 =functions.a:0 =functions.b:1 ");
}

TEST_CASE("a second result for an answered call keeps its call") {
    CHECK(
        ids_after({assistant({call("c", "a"), call("d", "b")}), tool("c"), tool("c"), tool("d")}) ==
        "functions.a:0 functions.b:1 =functions.a:0 =functions.a:0 =functions.b:1 ");
}

TEST_CASE("results with unknown ids answer the open calls in order") {
    CHECK(ids_after({assistant({call("c", "a"), call("d", "b"), call("e", "c")}), tool("d"),
                     tool("?"), tool("!")}) ==
          "functions.a:0 functions.b:1 functions.c:2 =functions.b:1 =functions.a:0 "
          "=functions.c:2 ");
    ordered_json nameless = tool("x");
    nameless.erase("tool_call_id");
    CHECK(ids_after({assistant({call("c", "a")}), nameless}) == "functions.a:0 =functions.a:0 ");
}

TEST_CASE("a call that was left open before the user spoke does not take a later result") {
    CHECK(ids_after({assistant({call("c", "a")}), user(), assistant({call("d", "b")}), tool("?"),
                     tool("!")}) == "functions.a:0 functions.b:1 =functions.b:1 =functions.a:0 ");
}

TEST_CASE("a result without a call is counted by its name or keeps its id") {
    ordered_json named = tool("toolu_7");
    named["name"] = "Bash";
    CHECK(ids_after({named, tool("toolu_8"), assistant({call("c", "a")}), tool("c")}) ==
          "=functions.Bash:0 =toolu_8 functions.a:1 =functions.a:1 ");
}

TEST_CASE("nulls that a template would print are left out") {
    CHECK(canonical_tool_ids(R"([
        {"role": "assistant", "name": null, "content": null, "reasoning_content": null,
         "tool_calls": [{"id": null, "type": "function", "function": {"name": "a"}}]},
        {"role": "tool", "tool_call_id": null, "name": null, "content": null},
        {"role": "tool", "tool_call_id": null, "content": ""},
        {"role": "assistant", "tool_calls": null, "content": ""}])") ==
          R"([{"role": "assistant", "content": null, "tool_calls": )"
          R"([{"type": "function", "function": {"name": "a"}, "id": "functions.a:0"}]}, )"
          R"({"role": "tool", "content": null, "tool_call_id": "functions.a:0"}, )"
          R"({"role": "tool", "content": ""}, {"role": "assistant", "content": ""}])");
}

TEST_CASE("what is no conversation passes and what is no JSON is refused") {
    for (const char* text :
         {"{}", "1", "[]", "[1, null, []]", R"([{"role": 1, "tool_calls": [1]}])",
          R"([{"role": "assistant", "tool_calls": {"id": null}}])",
          R"([{"role": "assistant", "tool_calls": [1, {"id": "x", "function": {"name": 1}}]}])"}) {
        CAPTURE(text);
        CHECK(canonical_tool_ids(text) == text);
    }
    CHECK_THROWS_WITH_AS(canonical_tool_ids("[{]"), doctest::Contains("messages[0]: "), Error);
}

TEST_CASE("many calls with one id take linear time") {
    const std::vector<ordered_json> calls(20'000, call("c", "a"));
    ordered_json messages = {assistant(calls)};
    for (std::size_t i = 0; i < calls.size(); ++i)
        messages.push_back(tool(i % 2 == 0 ? "c" : "?"));
    const auto start = std::chrono::steady_clock::now();
    const ordered_json after = ordered_json::parse(canonical_tool_ids(messages.dump()));
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
    CHECK(after.back().at("tool_call_id") == "functions.a:19999");
}
