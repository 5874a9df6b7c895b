"""The query language: text → frozen syntax tree → canonical spelling."""
