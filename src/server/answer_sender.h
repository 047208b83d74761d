#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "engine/answer_stream.h"
#include "server/answer_writer.h"
#include "server/request_log.h"
#include "server/response_writer.h"

namespace baltoro::server {

// Wakes a coroutine that waits for its answers; shared by it and by what the engine calls.
class Wake {
  public:
    explicit Wake(boost::asio::any_io_executor executor) : timer_(std::move(executor)) {}

    // The coroutine's strand only. Returns at `deadline` or when woken.
    boost::asio::awaitable<void> wait_until(std::chrono::steady_clock::time_point deadline) {
        boost::system::error_code ignored;
        timer_.expires_at(deadline);
        co_await timer_.async_wait(
            boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    void wake() { timer_.cancel(); }  // the strand only

    // Any thread. Runs in the strand while the coroutine waits, or before it looks for events, so
    // that no news is lost.
    static void post(const std::shared_ptr<Wake>& wake) {
        boost::asio::post(wake->timer_.get_executor(), [wake] { wake->timer_.cancel(); });
    }

  private:
    boost::asio::steady_timer timer_;
};

// The answers of one request on their way to the client. Whatever ends the coroutine, answers that
// are still being written are cancelled, and the engine is left with nothing of the server's.
class PendingAnswers {
  public:
    explicit PendingAnswers(boost::asio::any_io_executor executor)
        : wake_(std::make_shared<Wake>(std::move(executor))) {}
    ~PendingAnswers();
    PendingAnswers(const PendingAnswers&) = delete;
    PendingAnswers& operator=(const PendingAnswers&) = delete;

    // A stream for one more answer.
    std::shared_ptr<AnswerStream> add();
    // Cancels when the client goes away.
    void cancel_on_disconnect(ResponseWriter& response);

    std::size_t size() const noexcept { return streams_.size(); }
    AnswerStream& stream(std::size_t i) noexcept { return *streams_[i]; }
    Wake& wake() noexcept { return *wake_; }

  private:
    std::shared_ptr<Wake> wake_;
    std::vector<std::shared_ptr<AnswerStream>> streams_;
};

// Everything that has come since the last call, handed to the writer and counted.
template <AnswerWriter Writer>
std::string collect(PendingAnswers& answers, Writer& writer, AnswerTally& tally) {
    std::string text;
    for (std::size_t i = 0; i < answers.size(); i++) {
        if (tally.is_finished(i)) continue;
        AnswerEvents events = answers.stream(i).take();
        if (!tally.add(i, events)) continue;
        text += writer.add(static_cast<int>(i), std::move(events));
    }
    return text;
}

// Sends the answers as they are written, with heartbeats while nothing comes. The reply has begun.
template <AnswerWriter Writer>
boost::asio::awaitable<void> stream_answers(ResponseWriter& response,
                                            PendingAnswers& answers,
                                            Writer& writer,
                                            AnswerTally& tally) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::seconds kHeartbeat{5};
    co_await response.write(writer.open());
    Clock::time_point last_sent = Clock::now();
    Clock::time_point last_content = last_sent;  // not all that is written is shown
    while (!tally.is_done()) {
        std::string text = collect(answers, writer, tally);
        if (!text.empty()) last_content = Clock::now();
        if (text.empty() && !tally.is_done() && Clock::now() >= last_sent + kHeartbeat)
            text = writer.heartbeat(
                std::chrono::duration<double>(Clock::now() - last_content).count());
        if (!text.empty()) {
            co_await response.write(std::move(text));
            last_sent = Clock::now();
        } else if (!tally.is_done()) {
            co_await answers.wake().wait_until(last_sent + kHeartbeat);
        }
    }
    std::string end = writer.close();
    if (!end.empty()) co_await response.write(std::move(end));
    co_await response.end();
}

// Waits for all answers.
template <AnswerWriter Writer>
boost::asio::awaitable<void> gather_answers(PendingAnswers& answers,
                                            Writer& writer,
                                            AnswerTally& tally) {
    while (true) {
        collect(answers, writer, tally);
        if (tally.is_done()) co_return;
        co_await answers.wake().wait_until(std::chrono::steady_clock::now() +
                                           std::chrono::hours(1));
    }
}

}  // namespace baltoro::server
