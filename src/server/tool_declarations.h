#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/api_request.h"
#include "server/json_fields.h"

namespace baltoro::server {

// The functions that a request declares, whatever its dialect calls their parts: on their way into
// tools_json and the request's format. Functions throw RequestError.
class ToolDeclarations {
  public:
    explicit ToolDeclarations(ApiRequest& request) : request_(request) {}

    // {name, description, PARAMETERS_KEY: schema}.
    void add(const Fields& function, std::string_view parameters_key);

    // The name, if it was declared.
    std::string declared_name(const Field& name) const;

    // All are added: writes tools_json.
    void finish();

    // Without tools nothing can be called; a choice that asks for a call is refused.
    void check_choice(std::string_view choice_key);

  private:
    ApiRequest& request_;
    Json shown_ = Json::array();
};

}  // namespace baltoro::server
