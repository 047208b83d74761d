#include "tests/engine/served_model.h"

#include <chrono>
#include <utility>

#include <doctest/doctest.h>

#include "tests/text/parsed_answer.h"
#include "tests/text/tokenizer_fixture.h"

namespace baltoro::testing {
namespace {

constexpr int kMaxRows = 96;  // the experts' panels pay

}  // namespace

Tokenizer byte_tokenizer() {
    std::vector<std::pair<std::string, std::int32_t>> special;
    for (const std::string_view spelling : kSpecialSpellings)
        special.emplace_back(spelling, 256 + static_cast<std::int32_t>(special.size()));
    return Tokenizer::from_ranks(byte_ranks(), std::move(special), "bytes");
}

std::vector<std::int32_t> answer_ids(std::string_view text) {
    return byte_tokenizer().encode_with_special(text);
}

Request request_of(int n_prompt, int first, int max_tokens) {
    Request request;
    for (int i = 0; i < n_prompt; i++)
        request.prompt.push_back((first + 37 * i) % 256);
    request.max_tokens = max_tokens;
    request.ignore_eos = true;
    request.kind = AnswerKind::text;
    request.n_top_logprobs = 0;
    request.sampling.temperature = 1.0;
    request.sampling.seed = static_cast<std::uint64_t>(first);
    return request;
}

Request forced_request(std::string_view text, int max_tokens) {
    Request request;
    request.prompt = {'a', 'b', 'c'};
    request.forced = answer_ids(text);
    request.max_tokens = max_tokens;
    return request;
}

Reader::Reader() {
    stream_->set_notify([this] {
        const std::lock_guard lock(mutex_);
        has_news_ = true;
        news_.notify_one();
    });
}

void Reader::read(std::size_t n_tokens) {
    while (!end.is_finished && ids.size() < n_tokens) {
        {
            std::unique_lock lock(mutex_);
            REQUIRE(news_.wait_for(lock, std::chrono::seconds(60), [&] { return has_news_; }));
            has_news_ = false;
        }
        end = stream_->take();
        for (const TokenLogprob& token : end.logprobs) {
            ids.push_back(token.id);
            logprobs.push_back(token.logprob);
        }
        prompt_logprobs.insert(prompt_logprobs.end(), end.prompt_logprobs.begin(),
                               end.prompt_logprobs.end());
        parts.insert(parts.end(), end.parts.begin(), end.parts.end());
    }
}

std::string Reader::content() const {
    std::string text;
    for (const AnswerPart& part : parts)
        if (part.kind == AnswerPart::Kind::content) text += part.text;
    return text;
}

Served::Served(EngineOptions options, kernels::IsaLevel isa)
    : loaded(std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny", isa, 2, kMaxRows),
      engine(loaded.model, tokenizer, options) {}

std::unique_ptr<Reader> Served::submit(Request request) {
    auto reader = std::make_unique<Reader>();
    engine.submit(std::move(request), reader->stream());
    return reader;
}

std::unique_ptr<Reader> Served::answer(Request request) {
    auto reader = submit(std::move(request));
    reader->read();
    return reader;
}

EngineOptions parallel(int n) {
    EngineOptions options;
    options.n_parallel = n;
    return options;
}

}  // namespace baltoro::testing
