"""How quality is measured: every protocol as a function over arrays, without store or network."""
