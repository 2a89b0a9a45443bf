"""User who runs a command."""

import getpass


def actor() -> str:
    """Name of the current user; "command" where the user has no name (containers)."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "command"
