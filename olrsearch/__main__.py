"""`python -m olrsearch`."""

from olrsearch.apps.cli import main

main()
