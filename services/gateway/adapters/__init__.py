"""Adapters: what stands behind the gateway's ports."""
