#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tests/model/loaded_model.h"
#include "text/tokenizer.h"

namespace baltoro::testing {

// The oracle's checkpoint has no tokenizer: ids up to 255 stand for a byte each, the next ones for
// the markers of answers, kSpecialSpellings in order. Id 1 ends an answer; the model's vocabulary
// of 600 reaches past the tokenizer's.
Tokenizer byte_tokenizer();

constexpr std::int32_t kStopId = 1;
constexpr std::int32_t kPaddedId = 599;

// An answer's tokens: spellings of markers become their ids.
std::vector<std::int32_t> answer_ids(std::string_view text);

// Asks for drawn tokens as they are, with their log-probabilities.
Request request_of(int n_prompt, int first, int max_tokens);

// Asks for exactly these tokens and whatever is drawn after them.
Request forced_request(std::string_view text, int max_tokens);

// Collects one answer; the test's thread waits for its end.
class Reader {
  public:
    Reader();
    std::shared_ptr<AnswerStream> stream() { return stream_; }

    // Waits until the answer has ended or has `n_tokens` with log-probabilities.
    void read(std::size_t n_tokens = SIZE_MAX);

    std::vector<std::int32_t> ids;
    std::vector<float> logprobs;
    std::vector<TokenLogprob> prompt_logprobs;
    std::vector<AnswerPart> parts;
    AnswerEvents end;

    // The content of `parts`.
    std::string content() const;

  private:
    std::shared_ptr<AnswerStream> stream_ = std::make_shared<AnswerStream>();
    std::mutex mutex_;
    std::condition_variable news_;
    bool has_news_ = false;
};

// The engine on the oracle's k2-tiny, with 2,048 tokens of context and of KV cache.
struct Served {
    LoadedModel loaded;
    Tokenizer tokenizer = byte_tokenizer();
    Engine engine;

    explicit Served(EngineOptions options, kernels::IsaLevel isa = kernels::best_isa());

    std::unique_ptr<Reader> submit(Request request);
    std::unique_ptr<Reader> answer(Request request);
};

EngineOptions parallel(int n);

}  // namespace baltoro::testing
