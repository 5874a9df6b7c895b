"""The metadata: tables, migrations, the lock, the commit."""
