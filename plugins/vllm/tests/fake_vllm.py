#!/usr/bin/env python3
"""A program ``vllm`` for tests: takes the arguments of ``vllm serve`` and speaks its API.

Answers, errors and words are those that the real vLLM 0.32.0 gave here. It answers with the last
message, a word at a time. A model whose folder is named after a fault has that fault.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PARSER = argparse.ArgumentParser("vllm serve", allow_abbrev=False)
PARSER.add_argument("model_tag")
for name in ("served-model-name", "host", "kv-cache-dtype", "quantization", "generation-config",
             "distributed-executor-backend"):  # fmt: skip
    PARSER.add_argument(f"--{name}")
for name in ("port", "max-model-len", "max-num-seqs", "max-num-batched-tokens",
             "tensor-parallel-size", "pipeline-parallel-size"):  # fmt: skip
    PARSER.add_argument(f"--{name}", type=int)
PARSER.add_argument("--gpu-memory-utilization", type=float)
PARSER.add_argument("--enforce-eager", action="store_true")


class Handler(BaseHTTPRequestHandler):
    wanted: argparse.Namespace
    fault = ""

    def do_GET(self) -> None:
        if self.path == "/health":
            self.say(200, b"")
        elif self.fault == "html":
            self.say(200, b"<html>a login page</html>")
        elif not self.knows_key():
            self.say(401, {"error": "Unauthorized"})
        elif self.path == "/v1/models":
            length = 7 if self.fault == "lies" else self.wanted.max_model_len
            entry = {"id": self.wanted.served_model_name, "object": "model", "owned_by": "vllm",
                     "root": self.wanted.model_tag, "max_model_len": length}  # fmt: skip
            self.say(200, {"object": "list", "data": [entry]})
        elif self.path == "/metrics":
            self.say(200, b"vllm:num_requests_running 0.0\n")
        else:
            self.say(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        if not self.knows_key():
            self.say(401, {"error": "Unauthorized"})
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] != self.wanted.served_model_name:
            text = f"The model `{body['model']}` does not exist."
            self.refuse(404, text, "NotFoundError")
            return
        chat = "messages" in body
        texts = [m["content"] for m in body["messages"]] if chat else [body["prompt"]]
        asked = sum(len(text.split()) + 1 for text in texts)
        context = self.wanted.max_model_len
        if asked >= context:
            self.refuse(
                400,
                f"This model's maximum context length is {context} tokens. However, your prompt "
                f"contains at least {asked} input tokens, which exceeds this limit even without "
                "any output tokens. Please reduce the length of the input prompt.",
            )
            return
        most = body.get("max_tokens")
        if most is not None and not 0 < most <= context:
            self.refuse(400, f"max_tokens={most} cannot be greater than max_model_len={context}.")
            return
        pieces = re.findall(r"\s*\S+", texts[-1].strip())
        chosen = pieces[: min(most or context, context - asked)]
        whole = "".join(chosen)
        ends = [whole.find(stop) for stop in body.get("stop") or () if stop in whole]
        text, reason = whole, "length" if len(chosen) < len(pieces) else "stop"
        if ends:
            text, reason = whole[: min(ends)], "stop"
        counts = {"prompt_tokens": asked, "completion_tokens": len(chosen),
                  "total_tokens": asked + len(chosen)}  # fmt: skip
        if body.get("stream"):
            self.stream(text, reason, counts, chat)
        else:
            said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choice = {"index": 0, **said, "finish_reason": reason}
            self.say(200, {"choices": [choice], "usage": counts})

    def stream(self, text: str, reason: str, counts: dict[str, int], chat: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for piece in re.findall(r"\s*\S+|\s+", text):
                self.event(chat, piece)
                if self.fault == "midstream":
                    return
                if self.fault == "dies":
                    os._exit(3)
                time.sleep(0.005)
            self.event(chat, "", reason)
            self.send({"choices": [], "usage": counts})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            return  # nobody listens any more

    def event(self, chat: bool, text: str, reason: str | None = None) -> None:
        part = {"delta": {"content": text}} if chat else {"text": text}
        self.send({"choices": [{"index": 0, **part, "finish_reason": reason}]})

    def send(self, value: Any) -> None:
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()

    def knows_key(self) -> bool:
        key = os.environ.get("VLLM_API_KEY", "")
        return not key or self.headers.get("Authorization") == f"Bearer {key}"

    def refuse(self, status: int, message: str, kind: str = "BadRequestError") -> None:
        self.say(status, {"error": {"message": message, "type": kind, "code": status}})

    def say(self, status: int, value: Any) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing is printed."""


def main() -> None:
    if sys.argv[1:2] != ["serve"]:
        sys.exit("vllm: error: only serve")
    Handler.wanted = PARSER.parse_args(sys.argv[2:])
    Handler.fault = os.path.basename(Handler.wanted.model_tag)
    if seen := os.environ.get("FAKE_VLLM_SEEN"):
        with open(seen, "w", encoding="utf-8") as file:
            json.dump({"arguments": sys.argv[1:], "ray": os.environ.get("RAY_ADDRESS", "")}, file)
    if Handler.fault == "memory":
        sys.stderr.write(
            "ValueError: To serve at least one request with the model's max seq len (512), "
            "(9.1 GiB KV cache is needed, which is larger than the available KV cache memory "
            "(1.2 GiB).\n"
        )
        sys.exit(1)
    ThreadingHTTPServer(("127.0.0.1", Handler.wanted.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
