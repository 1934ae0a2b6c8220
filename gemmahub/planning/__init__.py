"""From a variant and a machine to a plan: what goes into the memory model, and what comes out.

The arithmetic is :mod:`gemmahub.memory`'s. Here a variant becomes an architecture with weights
(``model``), an engine is asked what it would allocate (``header``, ``dry_load``, ``engine_plan``),
and a plan is held against a real load (``verify``). What starts engines is imported from its
module, not from here.
"""

from gemmahub.planning.contexts import ContextTotal
from gemmahub.planning.fit import fits_of
from gemmahub.planning.model import images_of, known_places_of, machine_of, model_of
from gemmahub.planning.plan import Plan, make_plan

__all__ = [
    "ContextTotal",
    "Plan",
    "fits_of",
    "images_of",
    "known_places_of",
    "machine_of",
    "make_plan",
    "model_of",
]
