#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/answer_stream.h"
#include "server/api_request.h"
#include "server/object_prefix.h"

namespace baltoro::server {

// Writes an answer as Anthropic's Messages API does, as a stream or whole (an AnswerWriter). There
// is one choice. Owned by the coroutine of its HTTP request.
class MessagesWriter {
  public:
    // message_id: "msg_..." and unique, because the ids of tool calls are made from it.
    MessagesWriter(const ApiRequest& request, std::string message_id, int prompt_tokens);

    std::string open() const;
    std::string add(int choice_idx, AnswerEvents events);
    std::string heartbeat(double silent_s);
    std::string close();
    std::string body() const;

  private:
    struct Block {
        enum class Kind : std::uint8_t { text, thinking, tool_use };
        Kind kind = Kind::text;
        std::string text{};  // of a call: its arguments as the model wrote them
        std::string id{};
        std::string name{};
        bool is_waiting = false;  // opened by a heartbeat and still empty: not part of the answer
    };

    void add_part(const AnswerPart& part, std::string& out);
    void add_text(Block::Kind kind, std::string_view text, std::string& out);
    void begin_call(const AnswerPart& part, std::string& out);
    void add_arguments(std::string_view text, std::string& out);
    void send_arguments(std::size_t n_bytes, std::string& out);
    void end_call(const AnswerPart& part, std::string& out);
    void open_block(Block block, std::string& out);
    void close_block(std::string& out);
    void send_delta(Block::Kind kind, std::string_view text, std::string& out) const;

    const char* stop_reason() const;

    std::string model_;
    std::string message_id_;
    int prompt_tokens_;
    bool shows_thinking_;

    std::vector<Block> blocks_;  // in the order of their indices; the last one may be open
    bool is_block_open_ = false;
    ObjectPrefix arguments_;        // of the open call
    std::size_t n_sent_bytes_ = 0;  // of them
    int n_complete_calls_ = 0;
    bool has_cut_call_ = false;

    FinishReason reason_ = FinishReason::stop;
    std::string stop_text_;
    AnswerUsage usage_;
    bool has_failed_ = false;
};

}  // namespace baltoro::server
