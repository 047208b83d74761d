#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/api_request.h"
#include "server/json_fields.h"
#include "server/served_model.h"
#include "text/chat_template.h"

namespace baltoro::server {

// The prompt leaves no room for an answer. The dialects word it differently.
class PromptTooLong : public RequestError {
  public:
    PromptTooLong(int context_size, int prompt_tokens);
    int context_size() const noexcept { return context_size_; }
    int prompt_tokens() const noexcept { return prompt_tokens_; }

  private:
    int context_size_;
    int prompt_tokens_;
};

// Most tokens of a request's prompts, once per choice, whose log-probabilities can be asked for: as
// a tree of JSON values they take up to 1 KB each.
inline constexpr std::size_t kMaxScoredTokens = std::size_t{1} << 17;

// The chat template's pieces of a request whose input is messages, with the tool calls' ids in
// the model's own form. Throws RequestError for messages that the template cannot render.
std::vector<PromptPiece> render_messages(const ServedModel& model, const ApiRequest& api);

// The prompts of a request: one, or one per text or token list. Throws RequestError.
std::vector<std::vector<std::int32_t>> build_prompts(const ServedModel& model,
                                                     const ApiRequest& api);

// What the engine is asked for: prompts x n requests, in the order of the choices. Sets the parts
// of api.request that depend on the prompt (forced and banned tokens, the grammar, the size for
// writers). Throws RequestError, PromptTooLong among them.
std::vector<Request> build_requests(const ServedModel& model, ApiRequest& api);

}  // namespace baltoro::server
