// How answers end, on the engine with a model: what is written is forced, so it is known.
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "engine/engine.h"
#include "tests/engine/failing_device.h"
#include "tests/engine/served_model.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

const std::string kStop(1, static_cast<char>(kStopId));

}  // namespace

TEST_CASE("a stop token ends the answer and is no part of it") {
    Served served(parallel(1));
    const auto reader = served.answer(forced_request("abc" + kStop + "d", 100));
    CHECK(reader->content() == "abc");
    CHECK(reader->end.reason == FinishReason::stop);
    CHECK(reader->end.stop_text.empty());
    CHECK(reader->end.error.empty());
    CHECK(reader->end.usage.prompt_tokens == 3);
    CHECK(reader->end.usage.completion_tokens == 3);
    const EngineMetrics metrics = served.engine.metrics();
    CHECK(metrics.generation_tokens_total == 3);
    CHECK(metrics.e2e_request_latency.sum > 0.0);
    CHECK(metrics.cancelled_total == 0);
    CHECK(metrics.n_pages_used == 0);
}

TEST_CASE("stop tokens count as others where they are ignored or come too early") {
    Served served(parallel(1));
    Request ignoring = forced_request("a" + kStop + "b", 3);
    ignoring.ignore_eos = true;
    const auto ignored = served.answer(std::move(ignoring));
    CHECK(ignored->content() == "a" + kStop + "b");
    CHECK(ignored->end.reason == FinishReason::length);
    Request early = forced_request("a" + kStop + "bc" + kStop, 100);
    early.min_tokens = 3;
    const auto reader = served.answer(std::move(early));
    CHECK(reader->content() == "a" + kStop + "bc");
    CHECK(reader->end.reason == FinishReason::stop);
}

TEST_CASE("max_tokens ends the answer and brings out what a stop text held back") {
    Served served(parallel(1));
    Request request = forced_request("one EN", 6);
    request.stop = {"END"};
    const auto reader = served.answer(std::move(request));
    CHECK(reader->content() == "one EN");
    CHECK(reader->end.reason == FinishReason::length);
    CHECK(reader->end.stop_text.empty());
    CHECK(reader->end.usage.completion_tokens == 6);
}

TEST_CASE("a stop text ends the answer and is named") {
    Served served(parallel(1));
    Request request = forced_request("one END two", 100);
    request.stop = {"END"};
    const auto reader = served.answer(std::move(request));
    CHECK(reader->content() == "one ");
    CHECK(reader->end.reason == FinishReason::stop);
    CHECK(reader->end.stop_text == "END");
    CHECK(reader->end.usage.completion_tokens == 7);
}

TEST_CASE("a complete call ends an answer that wants one only") {
    Served served(parallel(1));
    const std::string call =
        "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>";
    Request request = forced_request(call + call, 1000);
    request.one_call_only = true;
    const auto reader = served.answer(std::move(request));
    CHECK(reader->end.reason == FinishReason::stop);
    CHECK(reader->end.usage.completion_tokens == static_cast<int>(answer_ids(call).size()));
    CHECK(reader->parts.back().kind == AnswerPart::Kind::call_end);
    CHECK(reader->parts.back().is_complete);
}

TEST_CASE("a call that the limit cuts is told to be incomplete") {
    Served served(parallel(1));
    const auto reader = served.answer(
        forced_request("<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\"", 19));
    CHECK(reader->end.reason == FinishReason::length);
    CHECK(reader->parts.back().kind == AnswerPart::Kind::call_end);
    CHECK(!reader->parts.back().is_complete);
}

TEST_CASE("reasoning is counted in the usage") {
    Served served(parallel(1));
    Request request = forced_request("hm</think>yes" + kStop, 100);
    request.format.has_reasoning = true;
    request.format.starts_in_reasoning = true;
    const auto reader = served.answer(std::move(request));
    CHECK(reader->content() == "yes");
    CHECK(reader->end.usage.reasoning_tokens == 3);
    CHECK(reader->end.usage.completion_tokens == 6);
}

TEST_CASE("an answer without a limit ends with the context") {
    EngineOptions options = parallel(1);
    options.context_size = 100;
    Served served(options);
    const auto reader = served.answer(request_of(70, 1, 0));
    CHECK(reader->end.reason == FinishReason::context_full);
    CHECK(reader->end.usage.completion_tokens == 31);  // one is drawn from the last logits
    const auto full = served.answer(request_of(100, 1, 50));
    CHECK(full->end.reason == FinishReason::context_full);
    CHECK(full->end.usage.completion_tokens == 1);
}

TEST_CASE("an answer that is cancelled while it waits never runs") {
    Served served(parallel(1));
    const auto running = served.submit(request_of(10, 1, 500));
    running->read(1);
    const auto waiting = served.submit(request_of(10, 2, 500));
    waiting->stream()->cancel();
    waiting->read();
    CHECK(waiting->end.reason == FinishReason::cancelled);
    CHECK(waiting->end.error.empty());
    CHECK(waiting->ids.empty());
    CHECK(waiting->end.usage.completion_tokens == 0);
    CHECK(waiting->end.usage.prefill_s == 0.0);
    running->stream()->cancel();
    running->read();
    CHECK(running->end.reason == FinishReason::cancelled);
    CHECK(running->end.usage.completion_tokens >= 1);
    CHECK(served.engine.metrics().cancelled_total == 2);
}

TEST_CASE("a prompt that is cancelled while it is computed leaves its pages to others") {
    Served served(parallel(1));
    const int n_prompt = served.engine.context_size() - 100;
    const auto gone = served.submit(request_of(n_prompt, 3, 5));
    gone->stream()->cancel();
    gone->read();
    CHECK(gone->end.reason == FinishReason::cancelled);
    CHECK(gone->end.usage.completion_tokens == 0);
    const auto next = served.answer(request_of(n_prompt, 4, 5));
    CHECK(next->end.reason == FinishReason::length);
    CHECK(served.engine.metrics().n_pages_used == 0);
}

TEST_CASE("a step that fails ends its answers with the reason, and the next ones are served") {
    Served healthy(parallel(2));
    LoadedModel loaded(std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny", kernels::best_isa(), 2,
                       healthy.loaded.model.limits().max_rows);
    FailingDevice device(*loaded.device);
    Model model(loaded.config, loaded.checkpoint, device, loaded.team,
                kernels::table_for(kernels::best_isa()), loaded.model.limits());
    Engine engine(model, healthy.tokenizer, parallel(2));
    const auto submitted = [&](int first, int n) {
        auto reader = std::make_unique<Reader>();
        engine.submit(request_of(20, first, n), reader->stream());
        return reader;
    };
    const auto decoding = submitted(1, 100000);
    decoding->read(1);
    device.is_failing = true;
    decoding->read();
    CHECK(decoding->end.error == "the device is gone");
    const auto prefilling = submitted(2, 5);
    prefilling->read();
    CHECK(prefilling->end.error == "the device is gone");
    CHECK(prefilling->ids.empty());
    CHECK(engine.metrics().n_running == 0);
    CHECK(engine.metrics().n_pages_used == 0);
    device.is_failing = false;
    const auto next = submitted(2, 5);
    next->read();
    CHECK(next->end.error.empty());
    CHECK(next->ids == healthy.answer(request_of(20, 2, 5))->ids);
}
