// Runs every test case in a process of its own, as far as CUDA can tell; what a case leaves behind
// fails it.

#include <cstdio>
#include <memory>

#define DOCTEST_CONFIG_IMPLEMENT
// A case that crashes would wait for its own GPU.
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS
#include <doctest/doctest.h>

#include "tests/cuda_runtime/process.h"

namespace {

using baltoro::cuda_stand_in::Process;

int n_untidy = 0;

struct FreshProcess final : doctest::IReporter {
    explicit FreshProcess(const doctest::ContextOptions& /*options*/) {}

    void test_case_start(const doctest::TestCaseData& data) override {
        name = data.m_name;
        process = std::make_unique<Process>();
    }
    void test_case_end(const doctest::CurrentTestCaseStats& /*stats*/) override {
        const std::string complaints = process->complaints();
        process.reset();
        if (complaints.empty()) return;
        n_untidy++;
        std::printf("ERROR: \"%s\" leaves behind: %s\n", name, complaints.c_str());
    }
    void report_query(const doctest::QueryData& /*data*/) override {}
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats& /*stats*/) override {}
    void test_case_reenter(const doctest::TestCaseData& /*data*/) override {}
    void test_case_exception(const doctest::TestCaseException& /*exception*/) override {}
    void subcase_start(const doctest::SubcaseSignature& /*signature*/) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData& /*data*/) override {}
    void log_message(const doctest::MessageData& /*data*/) override {}
    void test_case_skipped(const doctest::TestCaseData& /*data*/) override {}

    const char* name = "";
    std::unique_ptr<Process> process;
};

REGISTER_LISTENER("fresh process", 1, FreshProcess);

}  // namespace

int main(int argc, char** argv) {
    const int result = doctest::Context(argc, argv).run();
    return n_untidy > 0 ? 1 : result;
}
