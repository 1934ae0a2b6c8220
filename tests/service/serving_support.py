"""``gemmahub serve`` as a program, and who connects to it."""

from __future__ import annotations

import json
import os
import select
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import psutil

from tests.programs import PROGRAM, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO: Any = [{"role": "user", "content": "hello there"}]
TOOLS_TEMPLATE = (
    "{{ bos_token }}{% if tools %}<start_of_turn>system\n{% for tool in tools %}"
    "{{ tool | tojson }}\n{% endfor %}<end_of_turn>\n{% endif %}"
    "{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{% for call in message['tool_calls'] or [] %}"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "{% endfor %}{{ message['content'] or '' }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@dataclass
class Serving:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said_until(self, end: str) -> list[str]:
        """The lines on standard error up to the one with these words."""
        assert self.process.stderr is not None
        found: list[str] = []
        while not found or end not in found[-1]:
            assert select.select([self.process.stderr], [], [], 120)[0], f"only {found}"
            line = self.process.stderr.readline().decode()
            assert line, f"it ended: {found}"
            found.append(line.rstrip())
        return found

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return httpx2.request(
            method, self.url + path, content=content, headers=headers, timeout=120
        )

    def loaded(self) -> list[str]:
        """The models that it says are in memory."""
        rows = self.ask("GET", "/v1/models").json()["data"]
        return [row["id"] for row in rows if row["meta"]["loaded"]]

    def engines(self) -> list[psutil.Process]:
        """The processes of engines."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "--ctx-size" in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found


@contextmanager
def serving(*words: object, data: Path, **environment: str) -> Iterator[Serving]:
    """``gemmahub serve`` with these words, ready to be asked."""
    port = free_port()
    command = [str(PROGRAM), "serve", *map(str, words), "--port", str(port)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "GEMMAHUB_DATA": str(data), **environment},
    )
    found = Serving(process, port, data)
    try:
        found.said_until("ready")
        yield found
    finally:
        process.terminate()
        process.wait(60)
        assert process.stderr is not None
        process.stderr.close()
