"""How hypothesis runs: without a deadline of its own, since machines of CI are slow now and then."""

from hypothesis import settings

settings.register_profile("changeover", deadline=None, print_blob=True)
settings.load_profile("changeover")
