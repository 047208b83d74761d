#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_request.h"
#include "server/json_fields.h"

namespace baltoro::server {

// What a tool_choice says in one word, alone or as the mode of its allowed tools.
ApiRequest::Calls calls_of_mode(const Field& mode);

// The functions that a request declares, whatever its dialect calls their parts: on their way into
// tools_json and the request's format. Functions throw RequestError.
class ToolDeclarations {
  public:
    explicit ToolDeclarations(ApiRequest& request) : request_(request) {}

    // {name, description, PARAMETERS_KEY: schema, strict}.
    void add(const Fields& function, std::string_view parameters_key);

    // The name, if it was declared.
    std::string declared_name(const Field& name) const;

    // All are added: writes tools_json.
    void finish();

    // Only tools of these names may be called, of a choice whose `tools` is `list`; call it after
    // `calls` is set. They all stay in the prompt, whose cached prefix such a choice exists to
    // keep.
    void allow_only(const std::vector<std::string>& names, const Field& list);

    // Without tools nothing can be called; a choice that asks for a call is refused.
    void check_choice(std::string_view choice_key);

  private:
    ApiRequest& request_;
    Json shown_ = Json::array();
};

}  // namespace baltoro::server
