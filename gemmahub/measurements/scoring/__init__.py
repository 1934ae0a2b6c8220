"""Scored texts: perplexity, and the divergence from another model, window by window."""
