#!/usr/bin/env python
"""Run one of the engine's commands."""

import os
import sys


def main() -> None:
    """Hand the command line to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")
    try:
        from mlengine_project.command_line import execute

        execute(sys.argv)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)  # what a shell expects of a program ended by Ctrl-C


if __name__ == "__main__":
    main()
