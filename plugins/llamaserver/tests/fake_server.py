"""A llama-server that fails in one of many ways: the variable FAKE_MODE says in which."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE = os.environ.get("FAKE_MODE", "")
ARGUMENTS = """
-m,    --model FNAME                    model path
-c,    --ctx-size N                     size of the prompt context
-np,   --parallel N                     number of slots
-b,    --batch-size N                   logical batch
-ub,   --ubatch-size N                  physical batch
-ctk,  --cache-type-k TYPE              cache type
-ctv,  --cache-type-v TYPE              cache type
-fa,   --flash-attn [on|off|auto]       flash attention
-t,    --threads N                      threads
-ngl,  --gpu-layers, --n-gpu-layers N   layers
--host HOST                             address
--port PORT                             port
--rpc SERVERS                     workers
-dev,  --device <dev1,dev2,..>          devices
-ts,   --tensor-split N0,N1,N2,...      shares
-mg,   --main-gpu INDEX                 main GPU
-ncmoe, --n-cpu-moe N                   experts
-mm,   --mmproj FILE                    projector
"""
DEVICES = """Available devices:
  CUDA0: NVIDIA GeForce RTX 3090 (24135 MiB, 23000 MiB free)
  CUDA1: NVIDIA RTX A2000 (12 GB) (12044 MiB, 11000 MiB free)
"""
CHUNKS = {
    "nonsense": b"data: {]\n\n",
    "deep": b"data: " + b"[" * 200_000 + b"\n\n",
    "endless line": b"data: " + b"x" * (3 << 20),
    "wrong kinds": b'data: {"content":5,"stop":true,"timings":[1],"tokens_evaluated":"x"}\n\n',
    "controls": b'data: {"error":{"message":"\\u001b[2Jout of luck","code":500}}\n\n',
    "endless thought": b"".join(
        b'data: {"content":"%s","stop":false}\n\n' % text
        for text in (b"<|channel>", b"thought\\n", *[b"hm "] * 99)
    ),
    "half": b'data: {"content":"a","stop":false}\n\n',
    "huge numbers": b'data: {"stop":true,"timings":{"predicted_n":-1,"predicted_ms":1e999}}\n\n',
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        if self.path == "/health":
            self.say({"status": "ok"})
        elif MODE == "no context":
            self.say({})
        else:
            self.say({"default_generation_settings": {"n_ctx": 512}, "bos_token": "<bos>"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/tokenize":
            self.say({"tokens": ["no", "numbers"] if MODE == "wrong tokens" else [2, 3]})
            return
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        if MODE == "killed":
            self.wfile.write(b'data: {"content":"a","stop":false}\n\n')
            self.wfile.flush()
            sys.stderr.write("GGML_ASSERT(n_tokens > 0) failed\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        self.wfile.write(CHUNKS[MODE])
        self.close_connection = True

    def say(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if MODE == "hangs":
        subprocess.Popen(["sleep", os.environ["TEST_SLEEP_SECONDS"]])
        time.sleep(600)
    if MODE == "no libraries":
        sys.exit("llama-server: error while loading shared libraries: libllama.so.0: not found")
    if asked == "--version":
        other = {
            "another program": "Python 3.99",
            "unknown commit": "version: 0.5.0-dev (build 0, commit unknown)",
        }.get(MODE, "version: 9123 (abcdef1)")
        sys.stderr.write(f"{other}\nbuilt with a compiler\n")
    elif asked == "--help":
        old = MODE == "too old"
        sys.stdout.write(ARGUMENTS.replace("--flash-attn", "--flash") if old else ARGUMENTS)
    elif asked == "--rpc" and MODE == "no workers":
        sys.exit('error while handling argument "--rpc": RPC not supported in this build')
    elif asked == "--rpc" and MODE == "no handshake":
        os.abort()
    elif "--list-devices" in sys.argv:
        workers = sys.argv[2].split(",") if asked == "--rpc" else []
        sys.stdout.write(DEVICES)
        for number, worker in enumerate(workers):
            sys.stdout.write(f"  RPC{number}: {worker} (8192 MiB, {8000 - number} MiB free)\n")
    elif MODE == "killed while loading":
        os.kill(os.getpid(), signal.SIGKILL)
    elif MODE == "exits":
        sys.exit("0.00.100.000 E srv    load_model: failed to load the moon, 'x.gguf'")
    else:
        port = int(sys.argv[sys.argv.index("--port") + 1])
        ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


main()
