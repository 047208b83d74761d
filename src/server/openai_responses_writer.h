#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/answer_stream.h"
#include "server/api_request.h"

namespace baltoro::server {

// What a response's output consists of.
struct ResponseItem {
    enum class Kind : std::uint8_t { message, reasoning, function_call };
    Kind kind = Kind::message;
    std::string id{};
    std::string text{};  // of a call: its arguments
    std::string call_id{};
    std::string name{};
    const char* status = "in_progress";
};

// Writes an answer as OpenAI's Responses API does, as a stream or whole (an AnswerWriter). There is
// one choice. Owned by the coroutine of its HTTP request.
class ResponsesWriter {
  public:
    // response_id: "resp_..." and unique, because the ids of items and calls are made from it.
    // created_at_s: Unix time.
    ResponsesWriter(const ApiRequest& request,
                    std::string response_id,
                    int prompt_tokens,
                    std::int64_t created_at_s);

    std::string open();
    std::string add(int choice_idx, AnswerEvents events);
    std::string heartbeat(double silent_s);
    std::string close();
    std::string body() const;

  private:
    void add_part(const AnswerPart& part, std::string& out);
    void add_text(ResponseItem::Kind kind, std::string_view text, std::string& out);
    void begin_call(const AnswerPart& part, std::string& out);
    void add_arguments(std::string_view text, std::string& out);
    void end_call(const AnswerPart& part, std::string& out);
    void open_item(ResponseItem item, std::string& out);
    void close_item(const char* status, std::string& out);

    // `fields_json`: an object with the event's own fields.
    std::string event(const char* type, const std::string& fields_json);
    std::string text_event(const char* type, const char* field, const std::string& text);
    std::string part_event(const char* type, const std::string& text);
    std::string item_event(const char* type);
    std::string response_event(const char* type, const char* status);
    std::string response_json(const char* status) const;
    std::string id_with(const char* prefix, std::size_t idx) const;
    const char* final_status() const noexcept;

    std::string response_id_;
    int prompt_tokens_;
    std::int64_t created_at_s_;
    std::string model_;
    std::string settings_json_;  // the response object's fields that repeat the request

    int sequence_number_ = 0;
    std::vector<ResponseItem>
        items_;  // in the order of their output indices; the last one may be open
    bool is_item_open_ = false;

    FinishReason reason_ = FinishReason::stop;
    AnswerUsage usage_;
    std::string error_;
};

}  // namespace baltoro::server
