"""How quality is measured: protocols P1 to P3 as functions over arrays, without store or network."""
