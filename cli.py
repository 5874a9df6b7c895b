#!/usr/bin/env python3
"""The `olrsearch` program, started from a checkout."""

from olrsearch.apps.cli import main

if __name__ == "__main__":
    main()
