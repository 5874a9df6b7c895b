"""`python -m olrsearch.apps.cli`."""

from olrsearch.apps.cli import main

main()
