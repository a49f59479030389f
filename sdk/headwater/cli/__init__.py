"""The command line ``headwater``; an extra of the SDK: ``pip install headwater[cli]``."""
