"""Errors, records, files, the ledger: what every room stands on. Imports no torch and no other room."""
