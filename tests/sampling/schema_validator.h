#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace baltoro {

// Whether a value satisfies a JSON schema, by the definition of each keyword that is enforced when
// answers are constrained; what the reasons for refusing are is left out. Written from the JSON
// Schema specification (2020-12), not from the code under test. Other keywords are ignored.
bool satisfies(const nlohmann::json& schema,
               const nlohmann::json& value,
               const nlohmann::json& root);

}  // namespace baltoro
