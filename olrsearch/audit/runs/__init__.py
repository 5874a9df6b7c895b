"""Audits of a store: begun, resumed, kept, asked."""
