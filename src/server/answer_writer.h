#pragma once

#include <concepts>
#include <string>

#include "engine/answer_stream.h"
#include "server/api_request.h"

namespace baltoro::server {

// What a dialect does with an answer while it is written; one object per HTTP request, used by one
// coroutine. A request has n answers per prompt (choices); each has an AnswerStream of its own.
//
// Streaming: open() is sent right after validation, then whatever add() and heartbeat() return, in
// order; when every choice has finished, close() ends the stream. A failed choice (events.error)
// makes add() return the dialect's error event.
// Whole: add() is called the same way and its text thrown away; body() is the reply.
template <class W>
concept AnswerWriter = requires(W writer, int choice_idx, AnswerEvents events, double silent_s) {
    // SSE text that starts the stream.
    { writer.open() } -> std::same_as<std::string>;
    // SSE text for new events of one choice; may be empty.
    { writer.add(choice_idx, std::move(events)) } -> std::same_as<std::string>;
    // SSE text that keeps the client waiting, called about every 5 s without events; `silent_s` is
    // how long no content has been sent.
    { writer.heartbeat(silent_s) } -> std::same_as<std::string>;
    // SSE text that ends the stream.
    { writer.close() } -> std::same_as<std::string>;
    // The whole reply, JSON; valid when every choice has finished without an error.
    { writer.body() } -> std::same_as<std::string>;
};

}  // namespace baltoro::server
