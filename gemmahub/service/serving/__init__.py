"""Models for other programs: the engines' own servers behind one address of this machine.

Which models, and with how much context they fit together: :mod:`.choosing` and :mod:`.room`. When
each is loaded and unloaded: :mod:`.supervisor`. What may be asked, and how it reaches an engine:
:mod:`.front`, :mod:`.requests`, :mod:`.forward`. What ``ps`` and ``stop`` know: :mod:`.known`.
"""
