"""Loads a bundle in a process of its own, and tells what its anonymous memory grew by.

``python load_alone.py BUNDLE CONTEXT``; needs litert-lm-api.
"""

from __future__ import annotations

import sys

import litert_lm
import psutil


def anonymous() -> int:
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
before = anonymous()
engine = litert_lm.Engine(
    sys.argv[1],
    backend=litert_lm.Backend.CPU(thread_count=2),
    max_num_tokens=int(sys.argv[2]),
    cache_dir=":nocache",
)
conversation = engine.create_conversation(automatic_tool_calling=False, max_output_tokens=4)
list(conversation.send_message_async("hi"))
sys.stdout.write(str(anonymous() - before))
