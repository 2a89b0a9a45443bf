#!/usr/bin/env python
"""Command line of the engine."""

import os
import sys


def main() -> None:
    """Run Django's command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")
    try:
        from mlengine_project.command_line import execute

        execute(sys.argv)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)  # exit code of a program ended by Ctrl-C


if __name__ == "__main__":
    main()
