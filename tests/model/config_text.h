#pragma once

#include <map>
#include <string>

namespace baltoro::testing {

// A small valid config.json as field -> JSON text, to be damaged. Shapes: 2 layers, the first
// dense; 4 experts of which 2 are chosen.
class ConfigText {
  public:
    ConfigText();

    ConfigText& set(const std::string& field, const std::string& json);
    ConfigText& drop(const std::string& field);
    std::string text() const;

  private:
    std::map<std::string, std::string> fields_;
};

}  // namespace baltoro::testing
