"""HTTP with limits: what the hub, the registries and the clients of servers talk through.

A server is a stranger. Every answer that is read whole has a limit in bytes, before and after
unpacking; every line of a stream has one; every exchange has a limit in time as well as one on
silence, so that an answer that drips ends too. Secrets go to the origin that they belong to.

::

    with WebClient("http://127.0.0.1:11434") as web:
        answer = web.fetch("GET", "/api/version", limits=Limits(total=1.5, most_bytes=1 << 16))
        version = text_of(object_of(parse_json(answer.body)).get("version"))

Importing its modules loads no network library.
"""
