"""Hugging Face: what a repository holds, and what a model in it is, before anything is fetched.

::

    hub = Hub(config.cache, load_catalog(), folder=cache_folder(), sums=sums, say=...)
    model = hub.find("google/gemma-3-4b-it-qat-q4_0-gguf")   # commit, files, sizes, sha256s
    with hub.open(model, model.weights[0]) as file: ...       # read by ranges
    found = hub.search("gemma 3 4b", limit=10)
    pulled = hub.pull(model, on_progress=...)

:class:`~gemmahub.hub.source.Hub` is a source as those of plugins are. huggingface_hub does the
talking (session, proxies, login) and keeps the cache. This package loads it, and anything else of
the network, when a method is called and not before.
"""
