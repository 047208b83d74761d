"""Checks that the Python SDKs of OpenAI and Anthropic, and LangChain, run against scripted servers (see
checks.py). One line per check. Usage: sdk_python.py [MODULE[.CLASS[.METHOD]]...]"""

import sys
import unittest

from checks import LineResult

MODULES = ["openai_chat_checks", "openai_tools_checks", "openai_responses_checks", "anthropic_checks", "error_checks"]

if __name__ == "__main__":
    result = LineResult()
    unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or MODULES).run(result)
    sys.exit(result.failed)
