"""SQLite without blocking the event loop: connections that live in their own threads, group commit, read pools."""
