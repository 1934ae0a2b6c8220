"""What a machine runs best: variant, precision, context, cache type and offload weighed together.

Pure: candidates and a machine in, ranked plans with reasons out. ``ranking.recommend`` does it;
``goals`` says what may be wanted, ``records`` what is ranked.
"""
