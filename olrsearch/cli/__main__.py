"""`python -m olrsearch.cli`."""

from olrsearch.cli import main

main()
