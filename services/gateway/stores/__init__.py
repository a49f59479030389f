"""Audits, rebuilds and earlier versions, passed on."""
