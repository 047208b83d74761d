#include "server/answer_sender.h"

namespace baltoro::server {

std::shared_ptr<AnswerStream> PendingAnswers::add() {
    auto stream = std::make_shared<AnswerStream>();
    stream->set_notify([wake = wake_] { Wake::post(wake); });
    streams_.push_back(stream);
    return stream;
}

PendingAnswers::~PendingAnswers() {
    for (const std::shared_ptr<AnswerStream>& stream : streams_)
        stream->abandon();
}

void PendingAnswers::cancel_on_disconnect(ResponseWriter& response) {
    response.on_disconnect([streams = streams_, wake = wake_] {
        for (const std::shared_ptr<AnswerStream>& stream : streams)
            stream->cancel();
        wake->wake();
    });
}

}  // namespace baltoro::server
