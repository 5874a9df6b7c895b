"""P4: how well audits find errors that are put into labels."""
