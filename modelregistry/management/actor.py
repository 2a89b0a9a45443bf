"""Who is at the command line."""

import getpass


def actor() -> str:
    """Name of the user who runs this; in a container that has no name for its user, the word "command"."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "command"
