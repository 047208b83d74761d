#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include <editline/readline.h>
#include <termios.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "tools/answer.h"

namespace baltoro {
namespace {

struct termios g_terminal_at_start {};

// Ctrl-C at the prompt leaves; the line editor has put the terminal into its own mode.
void on_interrupt_at_prompt(int /*signal_number*/) {
    tcsetattr(STDIN_FILENO, TCSANOW, &g_terminal_at_start);
    const ssize_t ignored = write(STDOUT_FILENO, "\n", 1);
    static_cast<void>(ignored);
    _exit(130);
}

// The next line without its end: edited, with history, on a terminal; read plainly otherwise.
std::optional<std::string> read_line(bool is_terminal) {
    if (!is_terminal) {
        std::string line;
        if (!std::getline(std::cin, line)) return std::nullopt;
        return line;
    }
    const auto previous = std::signal(SIGINT, on_interrupt_at_prompt);
    char* line = readline("> ");
    std::signal(SIGINT, previous);
    if (line == nullptr) return std::nullopt;
    const std::string text = line;
    std::free(line);
    if (!text.empty()) add_history(text.c_str());
    return text;
}

nlohmann::ordered_json opening(const std::string& system) {
    nlohmann::ordered_json messages = nlohmann::ordered_json::array();
    if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
    return messages;
}

nlohmann::ordered_json user_message(const std::string& text) {
    return {{"role", "user"}, {"content", text}};
}

// The answer to the last message of a conversation.
std::string answer_to(Answerer& answerer, const nlohmann::ordered_json& messages) {
    const std::string json =
        messages.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    const Runtime& runtime = answerer.runtime();
    return answerer.answer(
        encode_prompt(*runtime.tokenizer, render_chat(runtime.chat_format, json, "")));
}

// Thinking models answer "reasoning</think>text"; their templates want the two apart.
nlohmann::ordered_json assistant_message(const std::string& text) {
    const std::string end = "</think>";
    const std::size_t at = text.find(end);
    if (at == std::string::npos) return {{"role", "assistant"}, {"content", text}};
    std::string reasoning = text.substr(0, at);
    if (reasoning.starts_with("<think>")) reasoning.erase(0, std::string("<think>").size());
    return {{"role", "assistant"},
            {"content", text.substr(at + end.size())},
            {"reasoning_content", reasoning}};
}

void answer_turn(Answerer& answerer, nlohmann::ordered_json& messages, const std::string& line) {
    messages.push_back(user_message(line));
    try {
        const std::string text = answer_to(answerer, messages);
        messages.push_back(assistant_message(text));
    } catch (const Error& error) {
        // The conversation no longer fits; what is there stays usable.
        log_line(std::string("error: ") + error.what() + " (/clear starts anew)");
        messages.erase(messages.size() - 1);
    }
    std::fputs("\n", stdout);
    std::fflush(stdout);
}

}  // namespace

void answer_once(Answerer& answerer, const std::string& system, const std::string& text) {
    nlohmann::ordered_json messages = opening(system);
    messages.push_back(user_message(text));
    answer_to(answerer, messages);
}

int chat(Answerer& answerer, const std::string& system) {
    const bool is_terminal = isatty(STDIN_FILENO) != 0;
    if (is_terminal) {
        tcgetattr(STDIN_FILENO, &g_terminal_at_start);
        log_line(
            "Ctrl-C stops an answer, a second one leaves; /clear forgets, /stats shows speeds, "
            "/exit leaves.");
    }
    nlohmann::ordered_json messages = opening(system);
    while (const std::optional<std::string> line = read_line(is_terminal)) {
        if (line->empty()) continue;
        if (*line == "/exit" || *line == "/quit") break;
        if (*line == "/clear") {
            messages = opening(system);
        } else if (*line == "/stats") {
            log_line(speed_line(answerer.speed()));
        } else if (line->front() == '/' && line->find(' ') == std::string::npos) {
            log_line("unknown command " + *line + "; there are /clear, /stats and /exit");
        } else {
            answer_turn(answerer, messages, *line);
        }
    }
    return 0;
}

}  // namespace baltoro
