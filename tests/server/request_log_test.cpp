#include "server/request_log.h"

#include <string>

#include <doctest/doctest.h>

using namespace baltoro;
using namespace baltoro::server;

namespace {

AnswerEvents finished_events(int prompt_tokens, int cached_tokens, int completion_tokens) {
    AnswerEvents events;
    events.is_finished = true;
    events.usage.prompt_tokens = prompt_tokens;
    events.usage.cached_tokens = cached_tokens;
    events.usage.completion_tokens = completion_tokens;
    events.usage.queue_s = 0.25;
    events.usage.prefill_s = 2.0;
    events.usage.decode_s = 4.0;
    return events;
}

}  // namespace

TEST_CASE("a tally counts a prompt once, however many answers it has") {
    AnswerTally tally(4, 2);  // two prompts of two choices, which end in any order
    tally.add(1, finished_events(100, 90, 5));
    tally.add(0, finished_events(100, 40, 6));
    CHECK(!tally.is_done());
    tally.add(3, finished_events(10, 10, 7));
    tally.add(2, finished_events(10, 0, 8));
    CHECK(tally.is_done());
    const AnswerUsage usage = tally.usage();
    CHECK(usage.prompt_tokens == 110);
    CHECK(usage.cached_tokens == 40);
    CHECK(usage.completion_tokens == 26);
    CHECK(usage.prefill_s == 4.0);
    CHECK(usage.decode_s == 4.0);  // they are written together
}

TEST_CASE("a request's line says what its answers cost") {
    AnswerTally tally(2, 2);
    tally.add(0, finished_events(100, 40, 21));
    tally.add(1, finished_events(100, 100, 20));
    RequestRecord record;
    record.id = "req_1";
    record.api = "/v1/chat/completions";
    record.status = 200;
    record.answers = &tally;
    const std::string line = log_text(record, LogFormat::text);
    CAPTURE(line);
    CHECK(line.find("prompt 100 (40 cached, 30 tok/s)") != std::string::npos);
    CHECK(line.find("answer 41 (10.0 tok/s)") != std::string::npos);
    CHECK(log_text(record, LogFormat::json).find("\"prompt_tokens\":100") != std::string::npos);
}
